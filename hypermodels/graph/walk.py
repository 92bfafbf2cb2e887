"""Walks the graph of a functional Keras model back, from a tensor to its sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or of a bare operation.

    Args:
        operation: What was called.
        inputs: The tensors that it took.
    """

    operation: Any
    inputs: list[Any]


def upstream(
    tensors: Iterable[Any], follow: Callable[[Call], list[Any]] = lambda call: call.inputs
) -> Iterator[Call]:
    """Yields the calls that produced the tensors, each once, the last call first.

    Args:
        tensors: Tensors of a functional model.
        follow: Gives the inputs of a call that the way back goes on through.
    """
    seen: set[tuple[str, int]] = set()
    waiting = list(tensors)
    while waiting:
        operation, node, _ = waiting.pop()._keras_history
        if (operation.name, node) not in seen:
            seen.add((operation.name, node))
            call = Call(operation, list(operation._inbound_nodes[node].input_tensors))
            yield call
            waiting += follow(call)
