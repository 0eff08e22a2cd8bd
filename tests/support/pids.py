"""A limit on the processes and threads of another process, as a container's is."""

from __future__ import annotations

import pathlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_FOLDERS = (pathlib.Path("/sys/fs/cgroup/pids"), pathlib.Path("/sys/fs/cgroup"))


class PidsLimit:
    """The limit, and how to lift it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder

    def leave(self, number: int) -> None:
        """Limit the process to a number of threads more than it has now."""
        current = int((self._folder / "pids.current").read_text())
        (self._folder / "pids.max").write_text(str(current + number))

    def lift(self) -> None:
        """Let it have as many as it wants."""
        (self._folder / "pids.max").write_text("max")


@contextmanager
def pids_limit(pid: int) -> Iterator[PidsLimit]:
    """Move a process into a control group of its own for the block; skip where nobody can."""
    parent = next((each for each in _FOLDERS if _has_pids(each)), None)
    if parent is None:
        pytest.skip("no control group with a limit on pids")
    folder, home = parent / f"csi-exoblock-test-{uuid.uuid4()}", parent / "cgroup.procs"
    folder.mkdir()
    try:
        (folder / "cgroup.procs").write_text(str(pid))
        yield PidsLimit(folder)
    finally:
        for left in (folder / "cgroup.procs").read_text().split():
            home.write_text(left)
        folder.rmdir()


def _has_pids(folder: pathlib.Path) -> bool:
    try:
        controllers = (folder / "cgroup.controllers").read_text().split()
    except OSError:
        return (folder / "cgroup.procs").exists() and folder.name == "pids"
    return "pids" in controllers
