"""What a figure was measured on, and how several of them are summed up."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PACKAGES = ("tensorflow", "keras", "keras-tuner", "torch", "jax", "numpy")


def described() -> str:
    """Processor, cores, load and versions in one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return (
        f"{time.strftime('%Y-%m-%d')}, {model or platform.processor()}, "
        f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} at the start; "
        f"Python {platform.python_version()}, {', '.join(versions)}"
    )


def interleaved(steps: Mapping[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Times each step `runs` times, one after the other in turn, so that drift hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(runs):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(of: Sequence[float], to: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and greatest ratio of runs that were made in turn."""
    ratios = [one / other for one, other in zip(of, to, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)
