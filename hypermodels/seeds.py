"""Where every random number of a model comes from: the search seed and a name.

Keras draws the seed of an unseeded initializer from process-wide state, so two builds of
one network differ. Here each layer's seed is a hash of (search seed, layer name), so the
same layer starts from the same weights in every trial of a search, on every machine of
one kind, in any process: trials are compared under common random numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

GLOBAL_GENERATOR = "global_seed_generator"
"""Keras's own name of the generator that draws for whoever names none."""


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
        return type(config)(seeded(value, *parts, index) for index, value in enumerate(config))
    return config


@contextlib.contextmanager
def drawn_from(*parts: object) -> Iterator[None]:
    """Derives all unseeded random numbers from `parts` in the block.

    A person's own layer may draw its initial weights as it likes: by an initializer without
    a seed, which asks Python's generator for one, or with NumPy. No config shows that.
    The generators are as they were when the block ends.
    """
    from keras.src.backend.common import global_state

    python, numpy = random.getstate(), np.random.get_state()
    keras = global_state.get_global_attribute(GLOBAL_GENERATOR)
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed)
    global_state.set_global_attribute(GLOBAL_GENERATOR, None)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        global_state.set_global_attribute(GLOBAL_GENERATOR, keras)


def seed_python(*parts: object) -> None:
    """Seeds Python's and NumPy's generators, for code that draws while a step is traced."""
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed)


def restart_global_generator(*parts: object) -> None:
    """Restarts Keras's global generator, which draws for layers without their own.

    It is no part of any model, so no checkpoint has it: an epoch that starts it anew from
    (seed, epoch) draws the same numbers in whatever process it is trained.
    """
    import keras
    from keras.src.backend.common import global_state

    if keras.config.backend() == "jax":
        return  # there, a layer must have a generator of its own
    seed = derive_seed(*parts)
    generator = global_state.get_global_attribute(GLOBAL_GENERATOR)
    if generator is None:
        generator = keras.random.SeedGenerator(seed, name=GLOBAL_GENERATOR)
        global_state.set_global_attribute(GLOBAL_GENERATOR, generator)
    generator.state.assign(np.array([seed, 0]))
