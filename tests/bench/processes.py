"""What the kernel says of a running process: memory, time, threads, files."""

from __future__ import annotations

import os
import pathlib
import re
import time
from dataclasses import dataclass

_MIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a process has at one moment."""

    rss_mib: float
    threads: int
    files: int


def footprint(pid: int) -> Footprint:
    """Read what a process has now."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return Footprint(
        rss_mib=round(_number("VmRSS", status) / _MIB, 1),
        threads=_number("Threads", status),
        files=len(os.listdir(f"/proc/{pid}/fd")),
    )


def cpu_seconds(pid: int) -> float:
    """Return the processor time of all threads that a process has or had."""
    # Source: Linux, include/linux/posix-timers.h: the clock CPUCLOCK_SCHED of a process.
    return time.clock_gettime((~pid << 3) | 2)


def _number(name: str, status: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    assert found is not None
    return int(found[1])
