"""The processes of schedules: a driver that ends by itself at its start is no planned death."""

from __future__ import annotations

import pathlib

import pytest

from tests.chaos import tampering
from tests.chaos.fleet import Fleet


def test_a_driver_that_ends_at_its_start_is_told_of(tmp_path: pathlib.Path) -> None:
    fleet = Fleet(
        tmp_path,
        tampering=tampering.__name__,
        arguments=("controller", "--no-such-flag"),
        environment={},
    )

    with fleet, pytest.raises(AssertionError, match="ended at its start with 2"):
        fleet.start()
