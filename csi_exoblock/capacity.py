"""Sizes: CSI requests bytes, the cloud sells whole GiB."""

from __future__ import annotations

from dataclasses import dataclass

from csi_exoblock.errors import SizeOutOfRange
from csi_exoblock.model import BYTES_PER_GIB

CSI_MAX_GIB = 2**33 - 1
"""The largest size in GiB whose bytes fit into the signed 64 bits of a CSI message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityRange:
    """The smallest and the largest size that a request allows, in bytes; 0 means no bound.

    Source: CSI 1.13, CapacityRange.
    """

    required_bytes: int = 0
    limit_bytes: int = 0

    def allows(self, size_gib: int) -> bool:
        """Return whether a volume of this size satisfies the range."""
        size_bytes = size_gib * BYTES_PER_GIB
        return size_bytes >= self.required_bytes and (
            not self.limit_bytes or size_bytes <= self.limit_bytes
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeLimits:
    """The smallest and the largest volume that the cloud sells, in GiB."""

    min_gib: int
    max_gib: int


def choose_size_gib(wanted: CapacityRange, limits: SizeLimits, *, source_gib: int = 0) -> int:
    """Return the smallest size in whole GiB that satisfies range, source and limits (C5).

    Rounding and the minimum come first: the source was rounded up too when it was created, so a
    clone can request the same size as the claim of its source did.

    Args:
        source_gib: Size in GiB of the volume that the content comes from, 0 for an empty volume.

    Raises:
        SizeOutOfRange: No such size exists; the message says which bound is in the way.
    """
    size_gib = max(gib_ceil(wanted.required_bytes), limits.min_gib)
    if wanted.required_bytes and size_gib < source_gib:
        raise SizeOutOfRange(
            f"{wanted.required_bytes} bytes were asked for, but the source has {source_gib} GiB; "
            "ask for at least that"
        )
    size_gib = max(size_gib, source_gib)
    max_gib = min(limits.max_gib, CSI_MAX_GIB)
    if size_gib > max_gib:
        raise SizeOutOfRange(f"{size_gib} GiB were asked for; a volume has at most {max_gib} GiB")
    if not wanted.allows(size_gib):
        raise SizeOutOfRange(
            f"the limit of {wanted.limit_bytes} bytes is below {size_gib} GiB, the smallest volume "
            "that satisfies the request; "
            f"sizes are whole GiB, at least {limits.min_gib}"
        )
    return size_gib


def gib_ceil(size_bytes: int) -> int:
    """Round bytes up to whole GiB."""
    return -(-size_bytes // BYTES_PER_GIB)
