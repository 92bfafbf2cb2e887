"""What can be built and trained: backbones, attention and their search spaces.

Keras and KerasTuner only, no search. Importing it makes Keras know every layer that an
exported `model.keras` can hold, so that `keras.saving.load_model` opens the file.
"""

from hypermodels import attention, image, serving

__all__ = ["attention", "image", "serving"]
