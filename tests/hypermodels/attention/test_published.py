"""Weights of the mechanisms against the counts that papers and their ports publish."""

from __future__ import annotations

import math

import pytest

from hypermodels.attention import get_mechanism
from hypermodels.attention.eca import kernel_size
from hypermodels.knobs import Value
from hypermodels.settings.presets import preset
from tests.hypermodels.helpers import built, named_weights

RESNET_50 = {256: 3, 512: 4, 1024: 6, 2048: 3}
"""Channels behind a block, and the number of such blocks."""


def trainable(name: str, channels: int, **changes: Value) -> int:
    """Weights as PyTorch counts them, without the statistics of batch norms."""
    layer = built(get_mechanism(name), get_mechanism(name).settings(changes), (4, 4, channels))
    return sum(
        math.prod(weight.shape) for weight in named_weights(layer).values() if weight.trainable
    )


@pytest.mark.parametrize(
    ("channels", "count"),
    [
        # BAM-ResNet-50, behind its first three stages.
        (256, 17_361),
        (512, 68_513),
        (1024, 272_193),
        # BAM in CIFAR ResNets.
        (16, 96),
        (32, 323),
        (64, 1_173),
    ],
)
def test_bam_as_its_authors_code_has_it(channels: int, count: int) -> None:
    code = {key: value for key, value in preset("bam_code").items() if key != "type"}
    assert trainable("bam", channels, **code) == count


def test_bam_as_the_paper_writes_it_has_two_norms() -> None:
    channels, hidden = 256, 16
    hidden_norms, output_norms = 4 * 2 * hidden, 2 * channels + 2
    assert trainable("bam", channels) == 17_361 - hidden_norms + output_norms


@pytest.mark.parametrize(
    ("channels", "size"),
    [(16, 3), (32, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7), (4, 1)],
)
def test_the_adaptive_kernel_of_eca(channels: int, size: int) -> None:
    assert kernel_size(channels, "adaptive") == size
    assert trainable("eca", channels) == size


def test_eca_in_resnet_50() -> None:
    """The paper's abstract: 80 weights; the code's rounding has two more in three blocks."""
    fixed = sum(
        blocks * trainable("eca", channels, eca_kernel_size="5")
        for channels, blocks in RESNET_50.items()
    )
    adaptive = sum(blocks * trainable("eca", channels) for channels, blocks in RESNET_50.items())
    assert (fixed, adaptive) == (80, 86)


@pytest.mark.parametrize("channels", [16, 64, 96])
def test_scse_adds_a_square_and_a_row(channels: int) -> None:
    """The paper's ratio of 2 and no biases: C * C in the channel half, C in the spatial."""
    assert trainable("scse", channels) == channels**2 + channels


@pytest.mark.parametrize("size", [3, 5, 7])
def test_triplet_adds_three_kernels_whatever_the_map(size: int) -> None:
    """6 k^2 of the paper's complexity table, and gamma and beta of three batch norms."""
    for channels in (16, 256):
        count = trainable("triplet", channels, spatial_kernel_size=size)
        assert count == 6 * size**2 + 6


def test_simam_adds_nothing_and_ese_a_full_layer() -> None:
    assert trainable("simam", 64) == 0
    assert trainable("ese", 64) == 64 * 64 + 64
