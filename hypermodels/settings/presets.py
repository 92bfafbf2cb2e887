"""Attention settings as published or as widely copied code has them.

`cbam_keras` and `se_keras` are the settings of the Keras port that most tutorials copy;
with them the parameter totals of the ResNets equal that port's. `bam_code` is BAM as its
authors' code has it, which multiplies where the paper adds.
"""

from __future__ import annotations

from collections.abc import Mapping

from hypermodels.knobs import Value

PRESETS: Mapping[str, Mapping[str, Value]] = {
    "none": {"type": "none"},
    "se_paper": {"type": "se", "reduction_ratio": 16, "mlp_bias": True},
    "se_keras": {"type": "se", "reduction_ratio": 8, "mlp_bias": True},
    "cbam_paper": {
        "type": "cbam",
        "reduction_ratio": 16,
        "mlp_bias": True,
        "spatial_kernel_size": 7,
        "spatial_norm": "bn_zero_gamma",
        "order": "channel_first",
    },
    "cbam_keras": {
        "type": "cbam",
        "reduction_ratio": 8,
        "mlp_bias": True,
        "spatial_kernel_size": 7,
        "spatial_norm": "none",
        "order": "channel_first",
    },
    "ese_paper": {"type": "ese", "gate": "sigmoid"},
    "eca_paper": {"type": "eca", "eca_kernel_size": "adaptive", "eca_padding": "zero"},
    "bam_paper": {
        "type": "bam",
        "reduction_ratio": 16,
        "dilation": 4,
        "combine": "sum",
        "bam_norm": "output",
        "placement": "post",
        "stages": "all_but_last",
        "blocks": "last",
    },
    "bam_code": {
        "type": "bam",
        "reduction_ratio": 16,
        "dilation": 4,
        "combine": "product",
        "bam_norm": "hidden",
        "placement": "post",
        "stages": "all_but_last",
        "blocks": "last",
    },
    "scse_paper": {"type": "scse", "reduction_ratio": 2, "mlp_bias": False, "combine": "sum"},
    "gc_paper": {
        "type": "gc",
        "reduction_ratio": 16,
        "context_pooling": "attention",
        "fusion": "add",
    },
    "simam_paper": {"type": "simam", "simam_lambda": 1e-4},
    "coord_paper": {"type": "coord", "reduction_ratio": 32, "min_hidden": 8},
    "triplet_paper": {"type": "triplet", "spatial_kernel_size": 7},
}
"""Preset name to the attention knobs it fixes; the rest have their defaults."""


def preset(name: str) -> Mapping[str, Value]:
    """The attention settings called `name`.

    Raises:
        ValueError: If there are none; the message lists those there are.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}. Known presets: {', '.join(PRESETS)}.")
    return PRESETS[name]
