"""The lines of mountinfo, of this process or of another one."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

# Of a line of mountinfo: those before the optional ones.
_LEAST_FIELDS = 6
_NUMBER = re.compile(r"[0-9]+:[0-9]+", re.ASCII)

# Where device nodes live: the kernel's own folder, or a container's.
_NODE_HOMES = frozenset({"devtmpfs", "tmpfs"})


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
        """Return the parts of a line, `None` for one that isn't written as proc(5) says.

        Each file system writes its own options, and some escape nothing: 9p leaves spaces in them,
        and a line break makes two lines of one. Such lines are never about a disk.
        """
        # 36 35 98:0 /root /target rw,noatime shared:1 - ext3 /dev/root rw,errors=continue
        fields, _, rest = line.partition(" - ")
        parts, ending = fields.split(" "), rest.split(" ", 2)
        if len(parts) < _LEAST_FIELDS or not _NUMBER.fullmatch(parts[2]):
            return None
        mount_id, _, number, root, target, options, *tags = parts
        filesystem, source, super_options = (*ending, "", "")[:3]
        return cls(mount_id, number, root, target, options, tags, filesystem, source, super_options)

    @property
    def hides_its_device(self) -> bool:
        """Whether the device that is seen may be another one than the number says."""
        return self.filesystem == "btrfs" or self.shows_a_node

    @property
    def shows_a_node(self) -> bool:
        """Whether what is bound to the target may be a device node."""
        return self.filesystem in _NODE_HOMES and self.root != "/"


def unescaped(text: str) -> str:
    """Return a path of mountinfo as it is, spaces and line breaks included."""
    if "\\" not in text:
        return text
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
