"""Python code that a test runs in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def script(
    code: str, *arguments: object, cwd: Path = ROOT, timeout: float = 300, **environment: str
) -> str:
    """Runs code with this interpreter, the checkout on its path, and returns what it prints.

    Fails with the end of what it wrote to standard error if it does not end well.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout
