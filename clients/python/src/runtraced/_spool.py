"""Events that the daemon could not take, in files. Any process may send them later.

A file is one batch, a line per event. It appears under its name when it is whole. Whoever
sends a file holds a lock on it, and removes it when the daemon has settled it.
"""

from __future__ import annotations

import os
from typing import List, Optional

from ._ids import new_id

_SUFFIX = ".jsonl"


class Claim:
    """A spooled file that this process may send."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def lines(self) -> List[bytes]:
        with open(self.path, "rb") as file:
            return [line for line in file.read().split(b"\n") if line]

    def done(self) -> None:
        """The daemon has settled the events."""
        os.unlink(self.path)
        os.close(self._descriptor)

    def leave(self) -> None:
        """Another attempt comes later."""
        os.close(self._descriptor)


class DiskSpool:
    def __init__(self, folder: str, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def write(self, lines: List[bytes]) -> Optional[str]:
        """Stores a batch. Returns its path, or None if the spool is full."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        content = b"\n".join(lines)
        if self._size() + len(content) > self._limit:
            return None
        path = os.path.join(self._folder, new_id() + _SUFFIX)
        unfinished = path + ".tmp"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(unfinished, path)
        except OSError:  # such as a full disk, which this would leave full
            os.unlink(unfinished)
            raise
        return path

    def _size(self) -> int:
        with os.scandir(self._folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())

    def files(self) -> List[str]:
        """The batches that wait, the oldest first."""
        if not os.access(self._folder, os.R_OK | os.X_OK):
            return []
        names = [name for name in os.listdir(self._folder) if name.endswith(_SUFFIX)]
        return [os.path.join(self._folder, name) for name in sorted(names)]

    def claim(self, path: str) -> Optional[Claim]:
        """A file, unless another process sends it or has sent it."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:  # it is gone, or of another user
            return None
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # not on Windows: there, two processes may send a file twice
            pass
        except OSError:
            os.close(descriptor)
            return None
        if os.path.exists(path):
            return Claim(path, descriptor)
        os.close(descriptor)
        return None
