"""The cores and GPUs of this machine, found without initializing a framework."""

from __future__ import annotations

import os
import shutil
import subprocess


def cpu_count() -> int:
    """The cores this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def gpu_ids() -> list[str]:
    """The GPUs this process may use, found without initializing a framework."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # a driver that hangs computes nothing either
        return []
    return listing.stdout.split() if listing.returncode == 0 else []


def default_workers(threads: int) -> int:
    """One worker a GPU where there are any, else as many as the cores allow."""
    return len(gpu_ids()) or max(1, cpu_count() // threads)
