"""Compiled code, made by one trial of a session and shared with the others.

Every trial has a process of its own, and XLA compiles the attention's passes anew in each:
a second or so, more than everything else in the first step of a small network. XLA can
keep what it compiled in files, and the code is the same, so are the results to the bit.

The files serve one session. They are not whole after a power cut, and belong to one kind of
CPU; the next session may be on another.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from search.errors import RunDirectoryError
from search.storage.entries import ensure_folder, remove
from search.storage.files import storage_errors


class CompiledCode:
    """A folder for compiled code.

    Args:
        folder: The folder; whatever is in it belongs to an earlier session.
    """

    def __init__(self, folder: Path) -> None:
        # The folder's own name is not resolved: a link of that name is not followed.
        self.folder = folder.parent.resolve() / folder.name

    def open(self) -> None:
        """Makes the folder, empty.

        Raises:
            StorageError: If the machine refuses.
            RunDirectoryError: If anything else has its name and cannot be removed.
        """
        self.remove()
        with storage_errors("compiled code", self.folder):
            ensure_folder(self.folder)

    def remove(self) -> None:
        """Deletes the folder, as far as the machine lets it; a link in its place alone."""
        with contextlib.suppress(OSError, RunDirectoryError):
            remove(self.folder)

    def use(self, backend: str) -> None:
        """Makes this process use the folder's compiled code and add what is missing.

        Must come before the framework first compiles.
        """
        if backend == "tensorflow":
            path = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
            flags = (
                os.environ.get("TF_XLA_FLAGS", ""),
                f'--tf_xla_persistent_cache_directory="{path}"',
                "--tf_xla_persistent_cache_device_types=CPU",
            )
            os.environ["TF_XLA_FLAGS"] = " ".join(flags)
        elif backend == "jax":
            import jax

            jax.config.update("jax_compilation_cache_dir", str(self.folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

    def refused(self, error: Exception) -> bool:
        """Whether an error is the machine's refusal to write or read the folder.

        XLA does not go on without its file: a full disk ends the step with the framework's
        own error, which names the file.
        """
        return str(self.folder) in str(error)
