"""Where every random number of a model comes from: the search seed and a name.

Keras draws the seed of an unseeded initializer from process-wide state, so two builds of
one network differ. Here each layer's seed is a hash of (search seed, layer name), so the
same layer starts from the same weights in every trial of a search, on every machine of
one kind, in any process: trials are compared under common random numbers.
"""

from __future__ import annotations

import hashlib
from typing import Any


def derive_seed(*parts: object) -> int:
    """Hashes `parts` to a seed in `[0, 2**31)`; equal parts give equal seeds anywhere."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF


def seeded(config: Any, *parts: object) -> Any:
    """Copies a Keras config with a derived seed wherever it has a `seed` entry.

    Initializers, dropout and random layers all keep their seed under the key `seed` of
    their own config, so one walk over the nested config reaches all of them. Each gets a
    seed of its own, derived from `parts` and its place in the config.
    """
    if isinstance(config, dict):
        return {
            key: derive_seed(*parts, key) if key == "seed" else seeded(value, *parts, key)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(seeded(value, *parts, place) for place, value in enumerate(config))
    return config
