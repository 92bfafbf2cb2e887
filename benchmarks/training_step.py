"""What attention costs a training step of ResNet-20, and what PyTorch's costs; prints a table.

    python -m benchmarks.training_step [--threads 1] [--runs 15] [--batch 128]

The steps are taken in turn in one process, so that the machine's drift hits all alike, and
compared as ratios. `plain attention` is the definition of the attention layer, operation by
operation, and `as in Keras` that and Keras's own batch norm, as a network of stock Keras
layers computes. PyTorch, where it is installed, runs in the same process, eager,
with channels_last memory, and CBAM as timm has it (7x7 convolution with batch norm).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.machine import described, interleaved, ratio

KINDS: dict[str, dict[str, Any]] = {
    "none": {},
    "se": {"type": "se", "reduction_ratio": 8},
    "cbam": {"type": "cbam", "reduction_ratio": 8},
    "cbam bn": {"type": "cbam", "reduction_ratio": 8, "spatial_norm": "bn"},
    "eca": {"type": "eca"},
    "bam": {"type": "bam", "placement": "post", "blocks": "last", "stages": "all_but_last"},
}


FAST_PATHS = {
    "plain attention": "hypermodels.fast.attention.usable",
    "as in Keras": "hypermodels.fast.conditions.open_to",
}
"""What is kept from taking the fast path, by the name of the step."""


def keras_step(
    attention: dict[str, Any], batch: int, without: str = "", precision: str = "float32"
) -> Callable[[], object]:
    from hypermodels.image import ImageSpec
    from hypermodels.settings.configuration import Configuration
    from hypermodels.settings.recipe import Budget
    from hypermodels.training.model import training_model

    configuration = Configuration.resolve(
        {
            "backbone": {"family": "resnet_v1", "depth": 20},
            "attention": attention,
            "recipe": {"precision": precision},
        }
    )
    model = training_model(configuration, ImageSpec((32, 32, 3), 10), Budget(9, 100), seed=1)
    x, y = data(batch)
    labels = np.eye(10, dtype="float32")[y]

    def step() -> object:
        return model.train_on_batch(x, labels)

    if without:  # the layers decide when they are traced, in the first step
        with mock.patch(FAST_PATHS[without], lambda inputs, training: False):
            step()
    step()
    return step


def torch_step(cbam: bool, batch: int) -> Callable[[], object]:
    import torch
    from torch import nn

    class Cbam(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.one = nn.Conv2d(channels, max(1, channels // 8), 1, bias=False)
            self.two = nn.Conv2d(max(1, channels // 8), channels, 1, bias=False)
            self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
            self.norm = nn.BatchNorm2d(1)

        def forward(self, x: Any) -> Any:
            mean, largest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
            gate = self.two(self.one(mean).relu()) + self.two(self.one(largest).relu())
            x = x * gate.sigmoid()
            maps = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
            return x * self.norm(self.conv(maps)).sigmoid()

    class Block(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1)
            self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
            self.cbam = Cbam(width) if cbam else nn.Identity()
            same = stride == 1 and inputs == width
            self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, width, 1, stride)

        def forward(self, x: Any) -> Any:
            y = self.bn1(self.conv1(x)).relu()
            y = self.cbam(self.bn2(self.conv2(y)))
            return (self.shortcut(x) + y).relu()

    blocks = [
        Block(inputs, width, stride)
        for width, before in ((16, 16), (32, 16), (64, 32))
        for inputs, stride in ((before, 1 if width == 16 else 2), (width, 1), (width, 1))
    ]
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, nesterov=True, weight_decay=1e-4)
    raw, y = data(batch)
    x = torch.tensor(raw.transpose(0, 3, 1, 2) / 127.5 - 1, dtype=torch.float32)
    x, labels = x.to(memory_format=torch.channels_last), torch.tensor(y)

    def step() -> object:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    step()
    return step


def data(batch: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, 32, 32, 3), dtype="uint8")
    return images, np.arange(batch) % 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    machine = described()
    steps = {name: keras_step(kind, options.batch) for name, kind in KINDS.items()}
    for name in ("none", "se", "cbam"):
        for without in FAST_PATHS if name == "cbam" else ("as in Keras",):
            steps[f"{name}, {without}"] = keras_step(KINDS[name], options.batch, without)
    for name in ("none", "cbam"):
        step = keras_step(KINDS[name], options.batch, precision="mixed_bfloat16")
        steps[f"{name}, mixed_bfloat16"] = step
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(options.threads)
        steps["PyTorch none"] = torch_step(False, options.batch)
        steps["PyTorch cbam"] = torch_step(True, options.batch)
    seconds = interleaved(steps, options.runs)
    print(f"Training step of ResNet-20, batch {options.batch}, {options.threads} thread(s).")
    print(f"{machine}. {options.runs} runs in turn.\n")
    print("| step | median, ms | over none | least to greatest | over PyTorch cbam |")
    print("|---|---:|---:|---:|---:|")
    for name, runs in seconds.items():
        middle, least, greatest = ratio(runs, seconds["none"])
        beside = "PyTorch cbam" in seconds and f"{ratio(runs, seconds['PyTorch cbam'])[0]:.2f}"
        print(
            f"| {name} | {1000 * statistics.median(runs):.0f} | {middle:.3f} | "
            f"{least:.3f} to {greatest:.3f} | {beside or '-'} |"
        )


if __name__ == "__main__":
    main()
