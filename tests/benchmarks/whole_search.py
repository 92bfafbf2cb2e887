"""A whole search by plain KerasTuner, as a person writes it, and by this package.

    python -m tests.benchmarks.whole_search [--images 2000] [--max-epochs 9]

Both search the same space over ResNet-8 with none, SE and CBAM by Hyperband, with the same
factor, full budget, batch size and images. KerasTuner's side is the attention of widely
copied code, built of stock Keras layers, and `kt.Hyperband(...).search(x, y)`. The two do
not draw the same configurations and stock brackets hold a few more trials, so the wall
time is given as it is and for each epoch of training. Also printed: where the time of our
workers went. About ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from search.profile import in_training
from tests.benchmarks.machine import described
from tests.search.command import run

SPACE = """\
backbone: {family: resnet_v1, depth: DEPTH}
attention:
  type: {choice: [none, se, cbam]}
  reduction_ratio: {choice: [2, 4, 8]}
recipe: {learning_rate: {float: [0.03, 0.3], sampling: log}}
data: {name: IMAGES, validation: 400, batch_size: BATCH}
search: {max_epochs: EPOCHS, factor: 3, seed: 1}
"""


def plain_kerastuner(folder: Path, images: Path, max_epochs: int) -> dict[str, Any]:
    """Runs in a process of its own; see `main`."""
    import keras
    import keras_tuner as kt
    import numpy as np
    from keras import layers, ops

    with np.load(images) as data:
        x, y = data["x_train"].astype("float32") / 255, data["y_train"]

    class ChannelMaximum(layers.Layer):
        def call(self, x: Any) -> Any:
            return ops.max(x, axis=-1, keepdims=True)

    class ChannelMean(layers.Layer):
        def call(self, x: Any) -> Any:
            return ops.mean(x, axis=-1, keepdims=True)

    def attention(x: Any, kind: str, ratio: int) -> Any:
        channels = x.shape[-1]
        if kind == "none":
            return x
        one = layers.Dense(channels // ratio, "relu", kernel_initializer="he_normal")
        two = layers.Dense(channels, kernel_initializer="he_normal")
        mean = layers.Reshape((1, 1, channels))(layers.GlobalAveragePooling2D()(x))
        gate = two(one(mean))
        if kind == "cbam":
            largest = layers.Reshape((1, 1, channels))(layers.GlobalMaxPooling2D()(x))
            gate = layers.Add()([gate, two(one(largest))])
        x = layers.Multiply()([x, layers.Activation("sigmoid")(gate)])
        if kind == "cbam":
            maps = layers.Concatenate()([ChannelMean()(x), ChannelMaximum()(x)])
            gate = layers.Conv2D(1, 7, padding="same", activation="sigmoid", use_bias=False)(maps)
            x = layers.Multiply()([x, gate])
        return x

    def build(hp: Any) -> Any:
        kind = hp.Choice("type", ["none", "se", "cbam"])
        ratio = hp.Choice("reduction_ratio", [2, 4, 8])
        inputs = layers.Input((32, 32, 3))
        z = layers.ReLU()(
            layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(inputs))
        )
        for stage, width in enumerate((16, 32, 64)):
            strides = 2 if stage else 1
            h = layers.Conv2D(width, 3, strides, padding="same")(z)
            h = layers.ReLU()(layers.BatchNormalization()(h))
            h = layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same")(h))
            h = attention(h, kind, ratio)
            shortcut = layers.Conv2D(width, 1, strides)(z) if stage else z
            z = layers.ReLU()(layers.Add()([shortcut, h]))
        outputs = layers.Dense(10, "softmax")(layers.GlobalAveragePooling2D()(z))
        model = keras.Model(inputs, outputs)
        rate = hp.Float("learning_rate", 0.03, 0.3, sampling="log")
        model.compile(
            keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    tuner = kt.Hyperband(
        build, "val_accuracy", max_epochs, factor=3, seed=1, directory=folder, project_name="kt"
    )
    # Stock KerasTuner imports tensorboard here, which TensorFlow 2.21 does not bring along.
    tuner._configure_tensorboard_dir = lambda callbacks, trial, execution=0: None
    began = time.perf_counter()
    tuner.search(x[400:], y[400:], validation_data=(x[:400], y[:400]), batch_size=64, verbose=0)
    seconds = time.perf_counter() - began
    values = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    epochs = sum(each["tuner/epochs"] - each["tuner/initial_epoch"] for each in values)
    return {"seconds": seconds, "trials": len(values), "epochs": epochs}


def ours(folder: Path, images: Path, max_epochs: int) -> dict[str, Any]:
    space = written_space(folder, images, max_epochs)
    began = time.perf_counter()
    run("--space", space, "--directory", folder, "--name", "run")
    seconds = time.perf_counter() - began
    summary = json.loads((folder / "run" / "summary.json").read_text())
    epochs = (folder / "run" / "journal.jsonl").read_bytes().count(b'"type":"epoch"')
    return {
        "seconds": seconds,
        "trials": len(summary["trials"]),
        "epochs": epochs,
        "profile": summary["profile"],
    }


def written_space(
    folder: Path, images: Path, max_epochs: int, depth: int = 8, batch_size: int = 64
) -> Path:
    """Writes the space that is searched to a file."""
    values = {"IMAGES": images, "EPOCHS": max_epochs, "DEPTH": depth, "BATCH": batch_size}
    text = SPACE
    for word, value in values.items():
        text = text.replace(word, str(value))
    path = folder / "space.yaml"
    path.write_text(text)
    return path


def sample(folder: Path, count: int) -> Path:
    """Images of the sample that ships with the package, all of them as training images.

    Of its 2,500 images the 500 test images come last, as nothing here looks at scores.
    """
    import numpy as np

    from search.data import load_dataset

    dataset = load_dataset("cifar10-sample")
    train, test = dataset.train, dataset.test
    assert test is not None
    path = folder / "images.npz"
    np.savez(
        path,
        x_train=np.concatenate([train.images, test.images])[:count],
        y_train=np.concatenate([train.labels, test.labels])[:count],
        x_test=np.asarray(test.images),
        y_test=np.asarray(test.labels),
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--max-epochs", type=int, default=9)
    parser.add_argument("--kerastuner", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kerastuner:
        folder, images = map(Path, options.kerastuner)
        print(json.dumps(plain_kerastuner(folder, images, options.max_epochs)))
        return
    machine = described()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = sample(folder, options.images)
        mine = ours(folder, images, options.max_epochs)
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.whole_search", "--max-epochs",
             str(options.max_epochs), "--kerastuner", str(folder), str(images)],
            capture_output=True, text=True, check=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        whole = time.perf_counter() - began
    theirs = {**json.loads(done.stdout.splitlines()[-1]), "seconds": whole}
    print(f"Hyperband over ResNet-8, {options.images} images, R={options.max_epochs}, factor 3.")
    print(f"{machine}. One run each, from starting the process to its end; ours exports too.\n")
    print("| | trials | epochs | wall, s | s an epoch |")
    print("|---|---:|---:|---:|---:|")
    for who, result in (("plain KerasTuner", theirs), ("cbam-search", mine)):
        each = result["seconds"] / result["epochs"]
        print(
            f"| {who} | {result['trials']} | {result['epochs']} | {result['seconds']:.0f} | "
            f"{each:.2f} |"
        )
    by_wall = theirs["seconds"] / mine["seconds"]
    by_epoch = (theirs["seconds"] / theirs["epochs"]) / (mine["seconds"] / mine["epochs"])
    print(f"\nKerasTuner's wall time over ours: {by_wall:.2f}; an epoch's: {by_epoch:.2f}.")
    print(f"Where our workers' time went, in seconds: {mine['profile']}.")
    share = in_training(mine["profile"])
    print(f"Share of it in training steps, the first ones included: {share:.2f}.")


if __name__ == "__main__":
    main()
