"""The contract every attention mechanism meets, and the registry that knows them all.

A mechanism takes a feature map of shape `(batch, height, width, channels)` and gives one
of the same shape: scaled by the product of its gates, plus its shift if it has one. It is
one file: a Keras layer with its knobs and formulas, and the constant `MECHANISM`; the list in
`__init__.py` names the file, and nothing else in the program does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import keras

from hypermodels.fast.attention import usable as fast_path_applies
from hypermodels.knobs import Knob, KnobError, Value
from hypermodels.registry import Registry
from hypermodels.seeds import derive_seed

PACKAGE = "cbam_search"
MapShape = tuple[int, int, int]
"""Height, width and channels of a feature map."""
BLIND = "blind"
"""A key of resolved attention settings, which no space has: gates that see no image. A
confirmation sets it in an arm that shows what the gates' own weights do without looking."""
SHIFT = "shift"
"""The name under which `attend` returns what is added and not multiplied."""


class AttentionLayer(keras.layers.Layer):
    """Base of the attention layers: same shape out as in, gates computed in float32.

    A subclass defines `knobs`, `attend`, `parameters`, `macs` and `signature`, and `infeasible`
    where a map can be too small for it; the contract suite in `tests/hypermodels/attention`
    runs all of them over every registered mechanism.

    Under mixed precision the feature map keeps its 16-bit type, while pooled statistics
    and gates are float32: sums over a map overflow float16.

    Args:
        seed: Integer or `None`, from which the initial weights are derived.
        blind: Boolean, whether the gates are those of a map of ones and not of the input. The
            layer then has the same weights and applies gates that no image changes.
        **kwargs: The knobs by name, each of which becomes an attribute, and what every
            Keras layer takes.

    Raises:
        KnobError: If a knob cannot take what it is given.
    """

    knobs: ClassVar[tuple[Knob, ...]] = ()
    """What can be set of it, with the defaults of its paper."""

    fast_call: ClassVar[Callable[[Any, Any], Any] | None] = None
    """A method that gives what `attend` gives while training, in fewer passes, or `None`."""

    def __init__(self, *, seed: int | None = None, blind: bool = False, **kwargs: Any) -> None:
        given = {knob.name: kwargs.pop(knob.name, knob.default) for knob in self.knobs}
        super().__init__(**kwargs)
        self.seed, self.blind = seed, blind
        for knob in self.knobs:
            try:
                setattr(self, knob.name, knob.accept(given[knob.name]))
            except KnobError as error:
                raise KnobError(f"{type(self).__name__}({knob.name}=...): {error}") from error

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The knobs are attributes."""

    def part(self, kind: type[AttentionLayer], name: str, **fixed: Value) -> Any:
        """A mechanism within this one, with the knobs that the two share."""
        shared: dict[str, Any] = {
            each.name: getattr(self, each.name, each.default) for each in kind.knobs
        }
        seed, dtype = self.seed_for(name), self.dtype_policy
        return kind(**{**shared, **fixed}, seed=seed, dtype=dtype, name=name)

    def float32_weight(self, name: str, shape: tuple[int, ...], initializer: Any) -> Any:
        """Adds a weight that stays float32 under mixed precision."""
        return self.add_weight(
            shape=shape, initializer=initializer, name=name, dtype="float32", autocast=False
        )

    def seed_for(self, part: str) -> int | None:
        """The seed of one weight or sublayer, derived from the layer's own."""
        return None if self.seed is None else derive_seed(self.seed, part)

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Returns the attended feature map and its gates by name.

        Args:
            inputs: Tensor of shape `(batch, height, width, channels)`.
            training: Whether a batch norm in it takes the batch's statistics.

        Returns:
            A tensor of the same shape and type, and a dict of float32 tensors that
            broadcast to it: `"channel"` of shape `(batch, 1, 1, channels)`, `"spatial"`
            of `(batch, height, width, 1)`, `"height"` of `(batch, height, 1, channels)`,
            `"width"` of `(batch, 1, width, channels)`, `"map"` of the whole shape, or
            whichever of them the mechanism has. The output is the input times all of
            them. A mechanism that adds returns what it adds as `"shift"`; it comes after
            the product.
        """
        raise TypeError(f"{type(self).__name__} must define attend(inputs, training)")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.blind:
            return self._call_blind(inputs, training)
        if self.fast_call is not None and fast_path_applies(inputs, training):
            return self.fast_call(inputs)
        return self.attend(inputs, training)[0]

    def _call_blind(self, inputs: Any, training: bool | None) -> Any:
        """The input times the gates of a map of ones, plus the shift of one."""
        gates = self.attend(keras.ops.ones_like(inputs), training)[1]
        shift = gates.pop(SHIFT, None)
        outputs = keras.ops.cast(inputs, "float32")
        for gate in gates.values():
            outputs = outputs * gate
        if shift is not None:
            outputs = outputs + shift
        return keras.ops.cast(outputs, inputs.dtype)

    def gates(self, inputs: Any) -> dict[str, Any]:
        """The gates that the layer would apply to the feature map `inputs`."""
        gates: dict[str, Any] = self.attend(inputs)[1]
        return gates

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {knob.name: getattr(self, knob.name) for knob in self.knobs}
        blind = {BLIND: True} if self.blind else {}  # as earlier versions wrote it, otherwise
        return {**super().get_config(), "seed": self.seed, **blind, **own}

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        """Number of weights on a map of `shape`, batch-norm statistics included."""
        raise TypeError("an attention layer must define parameters(shape, settings)")

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        """Multiply-adds of its convolutions and dense layers on one map of `shape`."""
        raise TypeError("an attention layer must define macs(shape, settings)")

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        """What truly distinguishes the network at this map: two settings with equal
        signatures build the same network (ratios 16 and 32 over 16 channels both give
        one hidden unit)."""
        raise TypeError("an attention layer must define signature(shape, settings)")

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        """Why it cannot sensibly work on a map of `shape`, or `None` if it can.

        A configuration is refused if every chosen block is infeasible. The reason is asked
        for once more with the largest map and the most channels among them, so it is
        worded for all: `... of every chosen block (at most 64)`.
        """
        return None


@dataclass(frozen=True)
class Mechanism:
    """An attention type as a space names it.

    Args:
        name: String, the value of `attention.type`.
        layer: The `AttentionLayer` class, or `None` for the type that adds nothing.
        summary: String, one line.
        reference: String, where it is defined.
        defaults: Mapping from a knob's name to its default, where it is another than the
            layer's own.
    """

    name: str
    layer: type[AttentionLayer] | None
    summary: str
    reference: str
    defaults: Mapping[str, Value] = field(default_factory=dict)

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The knobs it has, with the defaults of its paper."""
        return tuple(
            replace(knob, default=self.defaults.get(knob.name, knob.default))
            for knob in (self.layer.knobs if self.layer else ())
        )

    def settings(self, attention: Mapping[str, Value]) -> dict[str, Value]:
        """This mechanism's own knobs out of a resolved attention section."""
        return {knob.name: attention.get(knob.name, knob.default) for knob in self.knobs}

    def build(self, attention: Mapping[str, Value], *, name: str, seed: int) -> AttentionLayer:
        """Makes the layer for one site.

        Raises:
            ValueError: If the mechanism adds no layer (`none`).
        """
        if self.layer is None:
            raise ValueError(f"attention type {self.name!r} adds no layer")
        blind = bool(attention.get(BLIND, False))
        return self.layer(**self.settings(attention), name=name, seed=seed, blind=blind)


_MECHANISMS: Registry[Mechanism] = Registry("attention type", "types")


def register(mechanism: Mechanism) -> Mechanism:
    """Makes a mechanism known by its name.

    Raises:
        ValueError: If another mechanism has that name.
    """
    return _MECHANISMS.add(mechanism)


def get_mechanism(name: str) -> Mechanism:
    """The mechanism called `name`.

    Raises:
        ValueError: If there is none; the message lists those there are.
    """
    return _MECHANISMS[name]


def mechanisms() -> tuple[Mechanism, ...]:
    """All registered mechanisms: `none` first, the rest in the order of registration."""
    return tuple(sorted(_MECHANISMS.values(), key=lambda entry: entry.layer is not None))
