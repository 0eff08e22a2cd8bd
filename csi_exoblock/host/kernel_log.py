"""The kernel's log, and its messages about a device during an attempt, such as a mount (S17)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

# The kernel hands out one record per read; none is longer.
_RECORD_BYTES = 8192
_SHOWN_CHARACTERS = 200


class Record(NamedTuple):
    """A line that the kernel has logged.

    Attributes:
        micros: The microseconds since boot, as the kernel writes them; `?` if it doesn't say.
    """

    micros: str
    message: str


def open_log(path: Path) -> int:
    """Open the kernel's log for reading what there is, without waiting for more.

    Raises:
        OSError: It can't be read.
    """
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def read_record(log: int) -> Record | None:
    """Return the next line of an open log, `None` if it has an end and that is reached.

    Raises:
        BlockingIOError: There is nothing more for now.
        BrokenPipeError: Lines were lost while others wrote; the next read returns later ones.
    """
    # 6,339,5140900,-;EXT4-fs (vdb): mounted filesystem …
    if not (record := os.read(log, _RECORD_BYTES)):
        return None
    head, _, said = record.decode(errors="replace").partition(";")
    micros = head.split(",")[2] if head.count(",") >= 2 else "?"
    return Record(micros, said.partition("\n")[0])


class KernelLog:
    """Collects the kernel's messages inside a block; none where reading them is not allowed."""

    def __init__(self, device: Path = Path("/dev/kmsg")) -> None:
        self._device = device
        self._file: int | None = None

    def __enter__(self) -> Self:
        try:
            self._file = open_log(self._device)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError:
            self._close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def last_about(self, device: Path) -> str:
        """Return the last line so far that names the device, in brackets, or an empty text."""
        lines = [line for line in self._lines() if f"{device.name})" in line]
        return f"(kernel: {lines[-1][:_SHOWN_CHARACTERS]})" if lines else ""

    def _lines(self) -> Iterator[str]:
        if self._file is None:
            return
        try:
            while record := read_record(self._file):
                yield record.message
        except OSError:  # nothing more for now, or lines were lost while others wrote
            return

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
