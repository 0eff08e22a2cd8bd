"""The interface for the content of volumes, and an implementation without content."""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol
from uuid import UUID


class Disks(Protocol):
    """Keeps the content of volumes; every call can block."""

    @property
    def why_missing(self) -> str | None:
        """Why volumes have no block devices here; None if they have."""

    def take_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        """Keep the volume's present content."""

    def restore(self, snapshot: UUID, volume: UUID) -> None:
        """Give a new volume the content of a snapshot."""

    def recycle(self, volume: UUID, size_gib: int) -> None:
        """Give a new volume old data, as if a former owner had left it on the disk."""

    def scramble(self, volume: UUID, size_gib: int) -> None:
        """Make a new volume read as random data, like a disk whose host encrypts it."""

    def connect(self, volume: UUID, size_gib: int) -> None:
        """Make the volume a block device of this host."""

    def disconnect(self, volume: UUID) -> None:
        """Remove the block device, if there is one."""

    def resize(self, volume: UUID, size_gib: int) -> None:
        """Grow the volume."""

    def delete_volume(self, volume: UUID) -> None:
        """Forget the content of a volume."""

    def delete_snapshot(self, snapshot: UUID) -> None:
        """Forget the content of a snapshot."""

    def devices(self) -> dict[UUID, str]:
        """Return the path of the block device of each connected volume."""

    def is_in_use(self, volume: UUID) -> bool:
        """Return whether something on this host uses the volume's block device."""

    def pulled(self) -> tuple[UUID, ...]:
        """Return the volumes whose device was removed while something still used it."""

    def keep_only(self, volumes: Set[UUID], snapshots: Set[UUID]) -> None:
        """Forget the content of all other volumes and snapshots: their ids can come again."""

    def clear(self) -> None:
        """Take every block device away and forget all content."""

    def close(self) -> None:
        """Take every block device away."""


class NoDisks:
    """Volumes without content and devices, where they can't have any.

    Args:
        why: Why they can't.
    """

    def __init__(self, why: str) -> None:
        self.why_missing = why

    def take_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        """Do nothing."""

    def restore(self, snapshot: UUID, volume: UUID) -> None:
        """Do nothing."""

    def recycle(self, volume: UUID, size_gib: int) -> None:
        """Do nothing."""

    def scramble(self, volume: UUID, size_gib: int) -> None:
        """Do nothing."""

    def connect(self, volume: UUID, size_gib: int) -> None:
        """Do nothing."""

    def disconnect(self, volume: UUID) -> None:
        """Do nothing."""

    def resize(self, volume: UUID, size_gib: int) -> None:
        """Do nothing."""

    def delete_volume(self, volume: UUID) -> None:
        """Do nothing."""

    def delete_snapshot(self, snapshot: UUID) -> None:
        """Do nothing."""

    def devices(self) -> dict[UUID, str]:
        """Return nothing: there are none."""
        return {}

    def is_in_use(self, volume: UUID) -> bool:
        """Say no: there are no devices."""
        return False

    def pulled(self) -> tuple[UUID, ...]:
        """Return nothing: there are no devices."""
        return ()

    def keep_only(self, volumes: Set[UUID], snapshots: Set[UUID]) -> None:
        """Do nothing."""

    def clear(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
