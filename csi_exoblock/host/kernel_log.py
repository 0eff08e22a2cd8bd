"""The kernel's messages about a device during an attempt, such as a mount (S17)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

# The kernel hands out one record per read; none is longer.
_RECORD_BYTES = 8192
_SHOWN_CHARACTERS = 200


class KernelLog:
    """Collects the kernel's messages inside a block; none where reading them is not allowed."""

    def __init__(self, device: Path = Path("/dev/kmsg")) -> None:
        self._device = device
        self._file: int | None = None

    def __enter__(self) -> Self:
        try:
            self._file = os.open(self._device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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
            while record := os.read(self._file, _RECORD_BYTES):
                # 6,339,5140900,-;EXT4-fs (vdb): mounted filesystem …
                yield record.decode(errors="replace").partition(";")[2].partition("\n")[0]
        except OSError:  # nothing more for now, or lines were lost while others wrote
            return

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
