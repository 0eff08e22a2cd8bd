"""Sizes: whole GiB, never less than asked for, never more than allowed (C5)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi_exoblock.capacity import CSI_MAX_GIB, CapacityRange, SizeLimits, choose_size_gib, gib_ceil
from csi_exoblock.errors import SizeOutOfRange
from csi_exoblock.model import BYTES_PER_GIB

pytestmark = pytest.mark.fast

LIMITS = SizeLimits(min_gib=1, max_gib=10240)
TEN_GIB = 10 * BYTES_PER_GIB
MIB = 1024**2

# Sizes around whole GiB are where rounding goes wrong.
NEAR_GIB = st.builds(
    lambda gib, offset: max(0, gib * BYTES_PER_GIB + offset),
    st.integers(0, 11_000),
    st.integers(-2, 2),
)
BYTES = st.just(0) | NEAR_GIB | st.integers(0, 2**63 - 1)
RANGES = st.builds(CapacityRange, required_bytes=BYTES, limit_bytes=BYTES)
SIZE_LIMITS = st.builds(
    lambda low, more: SizeLimits(min_gib=low, max_gib=low + more),
    st.integers(1, 20),
    st.integers(0, 10_240),
)
SOURCES = st.integers(0, 10_240)


def satisfies(size_gib: int, wanted: CapacityRange, limits: SizeLimits, source_gib: int) -> bool:
    """Say whether a size is right, in bytes and without any rounding."""
    size_bytes = size_gib * BYTES_PER_GIB
    return (
        size_bytes >= wanted.required_bytes
        and (wanted.limit_bytes == 0 or size_bytes <= wanted.limit_bytes)
        and limits.min_gib <= size_gib <= limits.max_gib
        and size_gib >= source_gib
    )


@given(wanted=RANGES, limits=SIZE_LIMITS, source_gib=SOURCES)
def test_chosen_size_is_the_smallest_that_satisfies_all_or_there_is_none(
    wanted: CapacityRange, limits: SizeLimits, source_gib: int
) -> None:  # C5
    asked_gib = max(-(-wanted.required_bytes // BYTES_PER_GIB), limits.min_gib)
    too_small_for_source = bool(wanted.required_bytes) and asked_gib < source_gib
    try:
        chosen = choose_size_gib(wanted, limits, source_gib=source_gib)
    except SizeOutOfRange:
        smallest = max(-(-wanted.required_bytes // BYTES_PER_GIB), source_gib, limits.min_gib)
        assert too_small_for_source or not satisfies(smallest, wanted, limits, source_gib)
    else:
        assert satisfies(chosen, wanted, limits, source_gib)
        assert not satisfies(chosen - 1, wanted, limits, source_gib)
        assert not too_small_for_source


@given(wanted=RANGES, size_gib=st.integers(0, 11_000))
def test_range_allows_exactly_the_sizes_between_its_bounds(
    wanted: CapacityRange, size_gib: int
) -> None:
    anything = SizeLimits(min_gib=0, max_gib=size_gib)

    assert wanted.allows(size_gib) == satisfies(size_gib, wanted, anything, 0)


@given(size_bytes=st.integers(0, 2**63 - 1))
def test_rounding_up_loses_nothing_and_adds_less_than_a_gib(size_bytes: int) -> None:
    assert 0 <= gib_ceil(size_bytes) * BYTES_PER_GIB - size_bytes < BYTES_PER_GIB


@pytest.mark.parametrize(
    ("wanted", "source_gib", "size_gib"),
    [
        (CapacityRange(), 0, 1),
        (CapacityRange(), 7, 7),
        (CapacityRange(required_bytes=1), 0, 1),
        (CapacityRange(required_bytes=1500 * MIB), 0, 2),
        (CapacityRange(required_bytes=TEN_GIB), 0, 10),
        (CapacityRange(required_bytes=TEN_GIB + 1), 0, 11),
        (CapacityRange(required_bytes=TEN_GIB, limit_bytes=TEN_GIB), 0, 10),
        (CapacityRange(limit_bytes=TEN_GIB), 0, 1),
        (CapacityRange(limit_bytes=TEN_GIB), 10, 10),
        (CapacityRange(required_bytes=TEN_GIB), 10, 10),
        (CapacityRange(required_bytes=1500 * MIB), 2, 2),
        (CapacityRange(required_bytes=10240 * BYTES_PER_GIB), 0, 10240),
    ],
)
def test_size_that_is_chosen(wanted: CapacityRange, source_gib: int, size_gib: int) -> None:
    assert choose_size_gib(wanted, LIMITS, source_gib=source_gib) == size_gib


@pytest.mark.parametrize("max_gib", [CSI_MAX_GIB, 2**40])
def test_a_size_whose_bytes_no_message_can_say_is_out_of_range(max_gib: int) -> None:  # C5
    limits = SizeLimits(min_gib=1, max_gib=max_gib)

    with pytest.raises(SizeOutOfRange, match="8589934591 GiB"):
        choose_size_gib(CapacityRange(required_bytes=2**63 - 1), limits)
    largest = CapacityRange(required_bytes=CSI_MAX_GIB * BYTES_PER_GIB)
    assert choose_size_gib(largest, limits) == CSI_MAX_GIB


@pytest.mark.parametrize(
    ("wanted", "source_gib", "message"),
    [
        (CapacityRange(required_bytes=10241 * BYTES_PER_GIB), 0, "at most 10240 GiB"),
        (CapacityRange(limit_bytes=BYTES_PER_GIB - 1), 0, "below 1 GiB"),
        (CapacityRange(required_bytes=1500 * MIB, limit_bytes=1600 * MIB), 0, "below 2 GiB"),
        (CapacityRange(limit_bytes=TEN_GIB), 11, "below 11 GiB"),
        (CapacityRange(required_bytes=TEN_GIB), 11, "the source has 11 GiB"),
        (CapacityRange(required_bytes=TEN_GIB, limit_bytes=1), 0, "limit of 1 bytes"),
    ],
)
def test_size_that_cannot_be_had_names_the_bound_in_the_way(
    wanted: CapacityRange, source_gib: int, message: str
) -> None:  # F11
    with pytest.raises(SizeOutOfRange, match=re.escape(message)):
        choose_size_gib(wanted, LIMITS, source_gib=source_gib)
