"""The content of a disk: blank, a file system that can be mounted, or anything foreign (D1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.commands import Commands, Completed
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.exclusive import alone_with, read_direct
from csi_exoblock.host.signatures import HEAD_BYTES, MBR, TAIL_BYTES, Edges, Trace, is_zero
from csi_exoblock.host.superblocks import Extent, btrfs_id, extent_of, obstacle, superblock
from csi_exoblock.model import Filesystem

# blkid's exit codes, from its manual page. It also ends with 2 on a disk that it can't read, so the
# code alone proves nothing.
_FOUND = 0
_NOTHING_FOUND = 2
_AMBIVALENT = 8
_AMBIGUOUS = "more than one signature"
# btrfs has the latest superblock of the driver's file systems, at 64 KiB.
_START_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Blank:
    """A disk on which two probers recognise nothing.

    Attributes:
        zeroed: Whether the disk's first 2 MiB and last 1 MiB are zeros as well.
        is_noise: Whether they are pure noise, like unwritten blocks of encrypted disks (N19).
    """

    zeroed: bool
    is_noise: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Formatted:
    """A file system of a type that the driver mounts.

    Attributes:
        unfinished: Whether its mkfs was interrupted.
    """

    filesystem: Filesystem
    unfinished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Any other content, named as the probers name it.

    Attributes:
        way_out: How to proceed, for the message; empty if that depends on the case.
    """

    what: str
    way_out: str = ""


Content = Blank | Formatted | Foreign


class Filesystems:
    """Probes the content of disks."""

    def __init__(self, *, commands: Commands, disk_calls: DiskCalls) -> None:
        self._commands = commands
        self._disk_calls = disk_calls

    def probe(
        self, device: BlockDevice, wanted: Filesystem, deadline: Deadline | None = None
    ) -> Content:
        """Return the device's content, by direct reads and by blkid, with exclusive access.

        blkid reports a foreign signature first, even one inside a file. So a whole superblock of
        the wanted type decides by itself, and everything within its extent is its data (D15).

        Args:
            wanted: The file system that the volume should have.
            deadline: The call's, `None` inside a job.

        Raises:
            OperationPending: The device is in use.
            HostError: The disk doesn't answer, or a read or a prober failed.
            DeadlineExceeded: The call's time ended first.
        """
        return self._disk_calls.run(device, lambda: self._probe(device, wanted), deadline)

    def seems_blank(self, device: BlockDevice, deadline: Deadline) -> bool:
        """Return whether the first 128 KiB are zeros, so that no known file system begins there.

        It is quick, and proves nothing: the disk can hold anything else.

        Raises:
            OperationPending: The device is in use.
            HostError: The disk doesn't answer, or the read failed.
            DeadlineExceeded: The call's time ended first.
        """

        def look() -> bool:
            with alone_with(device) as file:
                return is_zero(read_direct(file, 0, min(_START_BYTES, device.size_bytes)))

        return self._disk_calls.run(device, look, deadline)

    def _probe(self, device: BlockDevice, wanted: Filesystem) -> Content:
        with alone_with(device) as file:
            edges = _read_edges(file, device)
            answer = self._commands.run(
                *("blkid", "-p", "-o", "export", str(device.path)),
                allowed=(_FOUND, _NOTHING_FOUND, _AMBIVALENT),
            )
            kind = _AMBIGUOUS if answer.exit_code == _AMBIVALENT else _kind(answer)
            extent = extent_of(wanted, edges.head, device.size_bytes)
            if extent is not None and kind:
                traces = () if kind == wanted else self._traces_on(device)
                outside = _outside(extent, (*edges.traces(), *traces), edges)
                return _beside(wanted, outside, device) or _filesystem(wanted, edges)
        if kind in frozenset(Filesystem):
            return _filesystem(Filesystem(kind), edges)
        own = ", ".join(edges.signatures())
        if kind or own:
            return Foreign(what=kind if not own or kind == own else f"{kind or 'nothing'} ({own})")
        zeroed = edges.zeroed
        return Blank(zeroed=zeroed, is_noise=not zeroed and edges.is_noise)

    def _traces_on(self, device: BlockDevice) -> tuple[Trace, ...]:
        """Return every signature that libblkid recognises, with its offset; write nothing.

        Raises:
            HostError: wipefs failed, or its answer can't be read.
        """
        answer = self._commands.run(
            *("wipefs", "--no-act", "--json", "--output", "OFFSET,TYPE", str(device.path))
        )
        try:
            listed = json.loads(answer.stdout or '{"signatures": []}')["signatures"]
            return tuple(Trace(name=each["type"], offset=int(each["offset"], 0)) for each in listed)
        except (ValueError, KeyError, TypeError) as error:
            raise HostError(f"wipefs gave an answer that can't be read: {error!r}") from error


class Twins:
    """Finds mounted disks by their btrfs' id, which a restored volume shares with its source.

    The kernel refuses to mount a second btrfs with the id of a mounted one (D9).
    """

    def __init__(self, *, sysfs: Path = Path("/sys")) -> None:
        self._mounted = sysfs / "fs" / "btrfs"

    def mounted(self, device: BlockDevice) -> str | None:
        """Return the name of another mounted disk with the id of this device's btrfs, if any.

        Raises:
            HostError: The device can't be read.
        """
        try:
            with device.path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            raise HostError(f"device {device.path} can't be read: {error.strerror}") from error
        devices = self._mounted / str(btrfs_id(head)) / "devices"
        names = {each.name for each in devices.iterdir()} if devices.is_dir() else set()
        return min(names - {device.name}, default=None)


def _read_edges(file: int, device: BlockDevice) -> Edges:
    head, tail = min(HEAD_BYTES, device.size_bytes), min(TAIL_BYTES, device.size_bytes)
    return Edges(
        head=read_direct(file, 0, head),
        tail=read_direct(file, device.size_bytes - tail, tail),
        size_bytes=device.size_bytes,
        sector_bytes=device.sector_bytes,
    )


def _kind(answer: Completed) -> str:
    """Return the type that blkid recognised, empty if it recognised nothing.

    Raises:
        HostError: Its answer can't be read.
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


def _outside(extent: Extent, traces: tuple[Trace, ...], edges: Edges) -> tuple[Trace, ...]:
    """Return the traces that are not the file system's own data; a boot sector is no trace."""
    return tuple(
        trace
        for trace in traces
        if trace.offset not in extent and (edges.has_partitions or trace.name not in (MBR, "dos"))
    )


def _beside(wanted: Filesystem, outside: tuple[Trace, ...], device: BlockDevice) -> Foreign | None:
    if not outside:
        return None
    where = ", ".join(f"{trace.name} at byte {trace.offset}" for trace in outside[:4])
    wipes = f"wipefs --offset {outside[0].offset:#x} {device.path}"
    return Foreign(
        what=f"{wanted}, but outside of it {where}: the disk is or was a part of something else",
        way_out=(
            "if this trace is left from an earlier use, take a snapshot, remove it with "
            f"`{wipes}` on a node that has the disk attached, and retry; otherwise copy the data "
            "to a new volume"
        ),
    )


def _filesystem(filesystem: Filesystem, edges: Edges) -> Formatted | Foreign:
    """Return the file system that blkid recognised, as its own superblock describes it.

    Raises:
        HostError: There is no such superblock.
    """
    found = superblock(filesystem, edges.head)
    if found and (why := obstacle(filesystem, edges.head)):
        return Foreign(what=why[0], way_out=why[1])
    if found is None:
        raise HostError(f"blkid recognises {filesystem}, but there is no superblock of it")
    if found.unit_bytes < edges.sector_bytes:
        return Foreign(
            what=f"{filesystem} made for {found.unit_bytes}-byte sectors, but this disk's have "
            f"{edges.sector_bytes} bytes; copy its files, not the whole disk, to a new volume"
        )
    return Formatted(filesystem=filesystem, unfinished=found.unfinished)
