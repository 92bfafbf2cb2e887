"""A whole search by plain KerasTuner, as a person writes it, and by this package.

    python -m benchmarks.whole_search [--images 2000] [--max-epochs 9] [--runs 1]

Both search the same space over ResNet-8 with none, SE and CBAM by Hyperband, with the same
factor, full budget, batch size and images. KerasTuner's side is the attention of widely
copied code, built of stock Keras layers, and `kt.Hyperband(...).search(x, y)`. The two do
not draw the same configurations and stock brackets hold a few more trials, so the wall
time is given as it is and for each epoch of training. Also printed: where the time of our
workers went, and how much of either side's went into training steps. With `--runs` both are
run several times in turn and medians are printed. About five minutes a run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import described, ratio
from search.analysis.profile import in_training
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

    class InBatches(keras.callbacks.Callback):
        """Adds up what `fit` spends in training batches, fetching them included."""

        seconds = 0.0  # of the class, as KerasTuner copies callbacks for every execution

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            InBatches.seconds += time.perf_counter() - self.began

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
    tuner.search(
        x[400:],
        y[400:],
        validation_data=(x[:400], y[:400]),
        batch_size=64,
        verbose=0,
        callbacks=[InBatches()],
    )
    values = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    epochs = sum(each["tuner/epochs"] - each["tuner/initial_epoch"] for each in values)
    return {"training": InBatches.seconds, "trials": len(values), "epochs": epochs}


def theirs(folder: Path, images: Path, max_epochs: int) -> dict[str, Any]:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.whole_search", "--max-epochs",
         str(max_epochs), "--kerastuner", str(folder), str(images)],
        capture_output=True, text=True, check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    seconds = time.perf_counter() - began
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**result, "seconds": seconds, "share": result["training"] / seconds}


def ours(
    folder: Path, images: Path, max_epochs: int, workers: int | None = None
) -> dict[str, Any]:
    space = written_space(folder, images, max_epochs)
    began = time.perf_counter()
    crew = ("--workers", workers) if workers else ()
    run("--space", space, "--directory", folder, "--name", "run", *crew)
    seconds = time.perf_counter() - began
    summary = json.loads((folder / "run" / "summary.json").read_text())
    epochs = (folder / "run" / "journal.jsonl").read_bytes().count(b'"type":"epoch"')
    return {
        "seconds": seconds,
        "trials": len(summary["trials"]),
        "epochs": epochs,
        "profile": summary["profile"],
        "share": in_training(summary["profile"]),
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
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--kerastuner", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kerastuner:
        folder, images = map(Path, options.kerastuner)
        print(json.dumps(plain_kerastuner(folder, images, options.max_epochs)))
        return
    machine = described()
    results: dict[str, list[dict[str, Any]]] = {"plain KerasTuner": [], "cbam-search": []}
    with tempfile.TemporaryDirectory() as name:
        images = sample(Path(name), options.images)
        for number in range(options.runs):
            folder = Path(name) / str(number)
            folder.mkdir()
            results["cbam-search"].append(ours(folder, images, options.max_epochs))
            results["plain KerasTuner"].append(theirs(folder, images, options.max_epochs))
    runs = "One run each" if options.runs == 1 else f"Medians of {options.runs} runs in turn"
    print(f"Hyperband over ResNet-8, {options.images} images, R={options.max_epochs}, factor 3.")
    print(f"{machine}. {runs}, from starting the process to its end; ours exports too.\n")
    report(results["plain KerasTuner"], results["cbam-search"])


def report(stock: list[dict[str, Any]], mine: list[dict[str, Any]]) -> None:
    def median(results: list[dict[str, Any]], key: str) -> float:
        return float(statistics.median(result[key] for result in results))

    print("| | trials | epochs | wall, s | s an epoch |")
    print("|---|---:|---:|---:|---:|")
    for who, results in (("plain KerasTuner", stock), ("cbam-search", mine)):
        each = statistics.median(pace(results))
        print(
            f"| {who} | {median(results, 'trials'):g} | {median(results, 'epochs'):g} | "
            f"{median(results, 'seconds'):.0f} | {each:.2f} |"
        )
    walls = [[result["seconds"] for result in results] for results in (stock, mine)]
    print(
        f"\nKerasTuner's wall time over ours: {spread(*walls)}; "
        f"an epoch's: {spread(pace(stock), pace(mine))}."
    )
    last = "" if len(mine) == 1 else " of the last run"
    print(f"Where our workers' time{last} went, in seconds: {mine[-1]['profile']}.")
    print(
        f"Share of it in training steps, the first ones included: {median(mine, 'share'):.2f}; "
        f"of KerasTuner's wall time in training batches: {median(stock, 'share'):.2f}."
    )


def pace(results: list[dict[str, Any]]) -> list[float]:
    return [result["seconds"] / result["epochs"] for result in results]


def spread(of: list[float], to: list[float]) -> str:
    """Median of the runs' ratios and, of more than one run, the least and greatest."""
    middle, least, greatest = ratio(of, to)
    return f"{middle:.2f}" + (f" ({least:.2f} to {greatest:.2f})" if len(of) > 1 else "")


if __name__ == "__main__":
    main()
