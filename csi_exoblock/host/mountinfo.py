"""The lines of mountinfo, of this process or of another one."""

from __future__ import annotations

import os
import re
import select
from pathlib import Path
from typing import NamedTuple, Self

from csi_exoblock.errors import HostError

# Enough to read a busy table once while nothing changes.
_READS = 20
# The fields of a line before the optional ones.
_LEAST_FIELDS = 6
_NUMBER = re.compile(r"[0-9]+:[0-9]+", re.ASCII)


class Line(NamedTuple):
    """A line of mountinfo in its parts, as the kernel writes them."""

    mount_id: str
    number: str
    root: str
    target: str
    options: str
    tags: list[str]
    filesystem: str
    source: str
    super_options: str

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """Return the parts of a line, `None` if it doesn't have the format of proc(5).

        Each file system writes its own options, and some escape nothing: 9p leaves spaces in them,
        and a line break there makes two lines of one. No file system on a disk does that.
        """
        # 36 35 98:0 /root /target rw,noatime shared:1 - ext3 /dev/root rw,errors=continue
        fields, _, rest = line.partition(" - ")
        parts, ending = fields.split(" "), rest.split(" ", 2)
        if len(parts) < _LEAST_FIELDS or not _NUMBER.fullmatch(parts[2]):
            return None
        mount_id, _, number, root, target, options, *tags = parts
        filesystem, source, super_options = (*ending, "", "")[:3]
        return cls(mount_id, number, root, target, options, tags, filesystem, source, super_options)


def unescaped(text: str) -> str:
    """Return a path of mountinfo with its spaces and line breaks restored."""
    if "\\" not in text:
        return text
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def has_been_removed(root: str) -> bool:
    """Return whether what a mount shows is no longer in its folder.

    A disk that leaves takes its device node along, and the next one with its number gets a new one.
    Source: Linux, fs/d_path.c: dentry_path.

    Args:
        root: As a line of mountinfo has it.
    """
    return root.endswith("//deleted")


def whole(table: Path) -> list[str]:
    """Return the lines of this process's mountinfo, none of them left out.

    The kernel hands the table out in pieces, and can leave lines out while it changes.

    Raises:
        HostError: It changes faster than it can be read.
    """
    for _ in range(_READS):
        with table.open("rb", buffering=0) as file:
            content = file.readall()
            if not _has_changed(file.fileno()):
                return os.fsdecode(content).removesuffix("\n").split("\n")
    raise HostError("the table of mounts changes faster than it can be read; retry")


def _has_changed(table: int) -> bool:
    """Return whether the table of mounts has changed since it was opened. Source: proc(5)."""
    poll = select.poll()
    poll.register(table, select.POLLPRI)
    return bool(poll.poll(0))
