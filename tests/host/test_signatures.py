"""D1, N19: zeros and noise are proven at both ends of a disk."""

from __future__ import annotations

import os

import pytest

from csi_exoblock.host.signatures import HEAD_BYTES, TAIL_BYTES, Edges

pytestmark = pytest.mark.fast

GIB = 1024**3


def edges(head: bytes, tail: bytes) -> Edges:
    return Edges(head=head, tail=tail, size_bytes=GIB, sector_bytes=4096)


ZEROS = edges(bytes(HEAD_BYTES), bytes(TAIL_BYTES))
NOISE = edges(os.urandom(HEAD_BYTES), os.urandom(TAIL_BYTES))


def test_zeros_at_both_ends_are_zeros() -> None:
    assert ZEROS.zeroed
    assert not ZEROS.is_noise


def test_noise_at_both_ends_is_noise() -> None:
    assert NOISE.is_noise
    assert not NOISE.zeroed


@pytest.mark.parametrize(
    "mixed",
    [edges(bytes(HEAD_BYTES), NOISE.tail), edges(NOISE.head, bytes(TAIL_BYTES))],  # type: ignore[arg-type]  # they are bytes here
    ids=["noise at the end", "zeros at the end"],
)
def test_what_differs_at_its_ends_is_neither(mixed: Edges) -> None:
    assert not mixed.zeroed
    assert not mixed.is_noise


def test_one_byte_at_the_very_end_counts() -> None:
    assert not edges(bytes(HEAD_BYTES), bytes(TAIL_BYTES - 1) + b"\1").zeroed
