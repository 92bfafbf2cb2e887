"""What can be built: attention mechanisms, backbones, placement, cost and recipe.

Only Keras and KerasTuner are used here; no files, no clock, no search.
"""
