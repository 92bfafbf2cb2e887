"""Attention settings as published or as widely copied code has them.

`cbam_keras` and `se_keras` are the settings of the Keras port that most tutorials copy;
with them the parameter totals of the ResNets equal that port's.
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
