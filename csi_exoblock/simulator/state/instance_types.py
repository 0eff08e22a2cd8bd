"""List the sizes of instances, and which of them can have volumes.

Source: the vendor's documentation of instance types and of block storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from csi_exoblock.simulator.state import refusals

_FAMILY: Final = "standard"
_BYTES_PER_GIB: Final = 1024**3


class InstanceSize(StrEnum):
    """The sizes of the standard family that this cloud has, smallest first."""

    MICRO = "micro"
    TINY = "tiny"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    EXTRA_LARGE = "extra-large"

    @property
    def can_have_volumes(self) -> bool:
        """Whether volumes can be attached to an instance of that size."""
        return self not in (InstanceSize.MICRO, InstanceSize.TINY)


# CPUs and GiB of memory.
_SHAPES: Final[Mapping[InstanceSize, tuple[int, float]]] = {
    InstanceSize.MICRO: (1, 0.5),
    InstanceSize.TINY: (1, 1),
    InstanceSize.SMALL: (2, 2),
    InstanceSize.MEDIUM: (2, 4),
    InstanceSize.LARGE: (4, 8),
    InstanceSize.EXTRA_LARGE: (4, 16),
}


def id_of(size: InstanceSize) -> UUID:
    """Return the id of an instance type, which is the same in every zone."""
    return uuid5(NAMESPACE_URL, f"{_FAMILY}.{size}")


def describe(id: UUID) -> dict[str, Any]:
    """Return schema `instance-type`, or refuse because there is none of that id."""
    for size, (cpus, memory_gib) in _SHAPES.items():
        if id_of(size) == id:
            return {
                "id": str(id),
                "family": _FAMILY,
                "size": size,
                "cpus": cpus,
                "memory": int(memory_gib * _BYTES_PER_GIB),
                "authorized": True,
            }
    raise refusals.not_found("instance type", id)
