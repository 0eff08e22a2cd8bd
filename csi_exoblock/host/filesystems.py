"""Say what is on a disk: blank, a file system, or something that is none of our business (D1)."""

from __future__ import annotations

from dataclasses import dataclass

from csi_exoblock.errors import HostError
from csi_exoblock.host.commands import Commands, Completed
from csi_exoblock.host.devices import BlockDevice
from csi_exoblock.host.exclusive import alone_with, read_direct
from csi_exoblock.host.signatures import HEAD_BYTES, TAIL_BYTES, Edges
from csi_exoblock.host.superblocks import superblock
from csi_exoblock.model import Filesystem

# blkid's exit codes, from its manual page. It also ends with 2 on a disk that it can't read, which
# is why nothing is concluded from a code alone.
_FOUND = 0
_NOTHING_FOUND = 2
_AMBIVALENT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Blank:
    """Two probers recognise nothing.

    Attributes:
        zeroed: Whether the disk's first 2 MiB and last 1 MiB are zeros as well.
    """

    zeroed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Formatted:
    """A file system that the driver knows how to mount.

    Attributes:
        unfinished: Whether its mkfs was interrupted.
    """

    filesystem: Filesystem
    unfinished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Anything else, named as the probers name it."""

    what: str


Content = Blank | Formatted | Foreign


class Filesystems:
    """Probes disks."""

    def __init__(self, *, commands: Commands) -> None:
        self._commands = commands

    def probe(self, device: BlockDevice) -> Content:
        """Say what is on the device, by direct reads and by blkid, while nobody else uses it.

        Raises:
            OperationPending: The device is in use.
            HostError: A read or the prober failed, so nothing is known.
        """
        with alone_with(device) as file:
            edges = _read_edges(file, device)
            answer = self._commands.run(
                *("blkid", "-p", "-o", "export", str(device.path)),
                allowed=(_FOUND, _NOTHING_FOUND, _AMBIVALENT),
            )
        if answer.exit_code == _AMBIVALENT:
            return Foreign(what="more than one signature")
        kind = _kind(answer)
        if kind in frozenset(Filesystem):
            return _filesystem(Filesystem(kind), edges)
        own = ", ".join(edges.signatures())
        if kind or own:
            return Foreign(what=kind if not own or kind == own else f"{kind or 'nothing'} ({own})")
        return Blank(zeroed=edges.zeroed)


def _read_edges(file: int, device: BlockDevice) -> Edges:
    head, tail = min(HEAD_BYTES, device.size_bytes), min(TAIL_BYTES, device.size_bytes)
    return Edges(
        head=read_direct(file, 0, head),
        tail=read_direct(file, device.size_bytes - tail, tail),
        sector_bytes=device.sector_bytes,
    )


def _kind(answer: Completed) -> str:
    """Return what blkid recognised, empty for nothing at all.

    Raises:
        HostError: It said something that it never says.
    """
    if answer.exit_code == _NOTHING_FOUND:
        if answer.stdout or answer.stderr:
            raise HostError(f"blkid found nothing, but complained: {answer.complaint}")
        return ""
    lines = [line.partition("=") for line in answer.stdout.splitlines()]
    found = {key: value for key, _, value in lines}
    if kind := found.get("TYPE") or found.get("PTTYPE"):
        return kind
    if any(key.startswith("PART_ENTRY_") for key in found):
        return "an empty partition"
    raise HostError(f"blkid gave an answer that can't be read: {answer.complaint}")


def _filesystem(filesystem: Filesystem, edges: Edges) -> Formatted | Foreign:
    """Return the file system that blkid recognised, as its own superblock describes it.

    Raises:
        HostError: There is no such superblock.
    """
    found = superblock(filesystem, edges.head)
    if found is None:
        raise HostError(f"blkid recognises {filesystem}, but there is no superblock of it")
    if found.unit_bytes < edges.sector_bytes:
        return Foreign(
            what=f"{filesystem} made for {found.unit_bytes}-byte sectors, while this disk's are "
            f"{edges.sector_bytes} bytes; copy the data to a new volume instead of the whole disk"
        )
    return Formatted(filesystem=filesystem, unfinished=found.unfinished)
