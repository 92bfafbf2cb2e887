"""A worker process from its first line to its last: one task, then it ends."""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from search.errors import CbamSearchError, DataError, RunDirectoryError, StorageError
from search.imports.clean_start import arrive
from search.messages import (
    Began,
    EpochDone,
    MachineFault,
    Task,
    TrialDone,
    TrialFailed,
    WorkerLost,
)
from search.worker.compiled_code import CompiledCode

_MACHINE_ERRORS = {
    errno.EACCES,
    errno.EAGAIN,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
}


def run_task(
    task: Task,
    connection: Connection,
    output: Connection,
    gpu: str | None,
    compiled: CompiledCode,
) -> None:
    """Runs a task and sends its events; the target of every worker process.

    Args:
        task: The `Task`.
        connection: Where events go; its other end is the driver's.
        output: Where everything goes that the process prints.
        gpu: The GPU to compute on, if any.
        compiled: Where compiled code is shared.
    """
    started = time.monotonic()
    try:
        function = _prepared(task, connection, output, gpu, compiled)
    except Exception as error:  # none of the task's own code has run
        with contextlib.suppress(OSError):
            connection.send(WorkerLost(task.trial_id, _in_one_line(error)))
        return

    def report(epoch: int, metrics: dict[str, float]) -> None:
        connection.send(EpochDone(task.trial_id, epoch, metrics))

    try:
        start = max(0.0, time.time() - task.handed_out)
        connection.send(Began(task.trial_id))
        result = function(task.payload, report) or {}
        if "profile" in result:
            result["profile"]["start"] = start
        connection.send(TrialDone(task.trial_id, time.monotonic() - started, result))
    except (StorageError, DataError, RunDirectoryError) as error:
        connection.send(MachineFault(task.trial_id, str(error), type(error)))
    except Exception as error:
        with contextlib.suppress(OSError):  # the driver may be gone
            traceback.print_exc()
            sys.stderr.flush()
        if compiled.refused(error) or _is_machine_fault(error):
            connection.send(MachineFault(task.trial_id, str(error)))
            return
        reason = _in_one_line(error)
        connection.send(TrialFailed(task.trial_id, reason, time.monotonic() - started))


def _prepared(
    task: Task,
    connection: Connection,
    output: Connection,
    gpu: str | None,
    compiled: CompiledCode,
) -> Callable[..., Any]:
    """Makes the process ready for its task; returns the task's function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    arrive()
    threading.Thread(target=_end_with_driver, args=(connection,), daemon=True).start()
    # What the fork server imported lives as long as the process: without this, each of the
    # collections while a step is traced walks over all of it, a fifth of a second in all.
    gc.freeze()
    _send_output_to(output)
    _configure_device(task.threads, gpu, compiled)
    module, _, name = task.function.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _in_one_line(error: Exception) -> str:
    name = "" if isinstance(error, CbamSearchError) else f"{type(error).__name__}: "
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{name}{first[:300]}"


def _is_machine_fault(error: Exception) -> bool:
    """Whether the machine refused something that does not depend on the configuration."""
    if isinstance(error, OSError):
        return error.errno in _MACHINE_ERRORS
    if isinstance(error, ImportError):  # a library that cannot be mapped
        return "annot allocate memory" in str(error) or "failed to map" in str(error)
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


def _end_with_driver(connection: Connection) -> None:
    """Waits for the driver's end of the pipe to close, then ends this process at once.

    What is on disk is whole at any moment, and a worker without a driver would compete
    with those of the next.
    """
    try:
        connection.recv()
    except (EOFError, OSError):
        os._exit(1)


def _send_output_to(output: Connection) -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    # They are missing where the search was started without standard streams.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _configure_device(threads: int, gpu: str | None, compiled: CompiledCode) -> None:
    """Fixes the number of threads and the GPU, and has the framework take them.

    What it needs for that (threads, memory on the GPU) depends on no configuration, so it is
    asked for here, before the task begins.
    """
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    import keras

    compiled.use(keras.config.backend())
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        if gpu is not None:
            tf.config.experimental.enable_op_determinism()
    keras.ops.convert_to_tensor(0.0)
