"""A small run as its journal tells it, written by hand."""

from __future__ import annotations

from typing import Any

from search.runs.journal import Record
from search.space.loading import parse_space

SPACE = """\
backbone: {family: resnet_v1, depth: 8}
attention:
  type: {choice: [none, se, cbam]}
  reduction_ratio: {choice: [4, 8]}
  placement: {choice: [residual, post]}
recipe: {learning_rate: {float: [0.01, 1.0], sampling: log}}
search: {max_epochs: 3, factor: 3, objective: %s}
presets: [none]
"""
ATTENTION: dict[str, dict[str, Any]] = {
    "0000": {"type": "none"},
    "0001": {"type": "se", "reduction_ratio": 8, "mlp_bias": True, "placement": "post"},
    "0002": {"type": "cbam", "reduction_ratio": 4, "mlp_bias": True, "placement": "residual"},
    "0003": {"type": "none"},
}
RATES = {"0000": 0.1, "0001": 0.2, "0002": 0.3, "0003": 0.5}


def run(objective: str = "val_accuracy") -> Record:
    return {
        "type": "run",
        "format": 1,
        "space": parse_space(SPACE % objective).to_dict(),
        "data": "ab12",
        "versions": {"keras": "3.15.0"},
        "started": "2024-05-17T10:00:00+0000",
    }


def trial(
    name: str, *, epochs: int = 1, rung: int = 0, bracket: int = 1, lineage: str | None = None
) -> Record:
    first = name.partition("-")[0]
    return {
        "type": "trial",
        "trial": name,
        "lineage": lineage or first,
        "configuration": {
            "backbone": {"family": "resnet_v1", "depth": 8},
            "attention": ATTENTION[first],
            "recipe": {"optimizer": "sgd", "learning_rate": RATES[first]},
        },
        "preset": "none" if first == "0000" else None,
        "iteration": 0,
        "bracket": bracket,
        "rung": rung,
        "epochs": epochs,
        "full_epochs": 9,
        "parent": first if rung else None,
        "parameters": 78_042 + int(first),
        "macs": 12_000_000,
    }


def epoch(name: str, number: int, accuracy: float, loss: float = 1.0) -> Record:
    return {
        "type": "epoch",
        "trial": name,
        "lineage": name.partition("-")[0],
        "epoch": number,
        "metrics": {"loss": loss, "val_loss": loss, "val_accuracy": accuracy},
    }


def ended(name: str, score: float | None, reason: str = "", seconds: float = 2.0) -> Record:
    return {
        "type": "ended",
        "trial": name,
        "status": "FAILED" if score is None else "COMPLETED",
        "score": score,
        "reason": reason,
        "seconds": seconds,
    }


def death(name: str, seconds: float = 1.0) -> Record:
    return {"type": "death", "trial": name, "reason": "killed by signal 9", "seconds": seconds}


REASON = "ResourceExhausted: 2 | 3\nno room"

EXPORTED: dict[str, Any] = {
    "test": {"accuracy": 0.5, "correct": 5},
    "test_images": 10,
    "classes": 10,
    "largest_difference": {"saved_model": 0.0, "keras": 0.0},
}

RECORDS: list[Record] = [
    run(),
    trial("0000"),
    trial("0001"),
    epoch("0001", 1, 0.4, 1.9),
    ended("0001", 0.4),
    trial("0002"),
    epoch("0000", 1, 0.3, 2.0),
    ended("0000", 0.3),
    death("0002"),
    epoch("0002", 1, 0.35, 1.95),
    death("0002"),
    ended("0002", None, REASON),
    trial("0001-1", epochs=3, rung=1),
    epoch("0001-1", 2, 0.5, 1.5),
    epoch("0001-1", 3, 0.55, 1.4),
    ended("0001-1", 0.55, seconds=4.04),
    trial("0003", epochs=3, bracket=0),
    epoch("0003", 1, 0.2, 2.2),
    {"type": "test_read", "purpose": "export"},
    {"type": "export", "trial": "0001-1", "metrics": EXPORTED},
]
"""Two brackets: `0001` is promoted, `0002` fails, `0003` is still being trained."""
