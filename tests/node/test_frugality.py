"""A node's process stays as small as it was, however many volumes come and go.

How small that is, `make bench` tells.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from tests.node.conftest import MakeDisk, Volume
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint

pytestmark = [pytest.mark.thorough, pytest.mark.root, pytest.mark.timeout(900)]

MIB = 1024**2
# The C library's heap breathes by up to 2 MiB. A leak of 40 KiB a volume would show.
BREATH_MIB = 3


def test_a_node_grows_no_more_once_it_has_seen_some_volumes(
    start_node: Callable[..., DriverProcess],
    make_disk: MakeDisk,
    make_volume: Callable[..., Volume],
) -> None:
    node = start_node(*Endpoint().flags)
    volume = make_volume(make_disk(), node)

    live(volume, times=40)
    after_some = resident_mib(node)
    live(volume, times=80)
    after_more = resident_mib(node)

    assert after_more - after_some <= BREATH_MIB


def live(volume: Volume, *, times: int) -> None:
    """Have a volume come and go, each time as another one on a blank disk."""
    for _ in range(times):
        volume.disk.become_another()
        volume.stage()
        target = volume.publish()
        volume.usage(target)
        volume.health(staging=volume.staging)
        volume.unpublish()
        volume.unstage()


def resident_mib(process: DriverProcess) -> float:
    """Return how much memory a process has now."""
    pages = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096 / MIB
