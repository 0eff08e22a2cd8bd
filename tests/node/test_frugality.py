"""A node's process stays small, however many volumes come and go: every machine pays for it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from csi_exoblock.pb import csi_pb2
from tests.driver_process import DriverProcess
from tests.endpoint import Endpoint
from tests.node.conftest import MakeDisk, Volume

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

MIB = 1024**2
LIMIT_MIB = 48
# The C library's heap breathes by up to 2 MiB. A leak of 15 KiB a volume would show.
BREATH_MIB = 3


def test_a_node_is_small_after_a_hundred_volumes_and_grows_no_more(
    start_node: Callable[..., DriverProcess],
    make_disk: MakeDisk,
    make_volume: Callable[..., Volume],
) -> None:
    node = start_node(*Endpoint().flags)
    volume = make_volume(make_disk(), node)

    live(volume, times=100)
    after_a_hundred = resident_mib(node)
    live(volume, times=200)
    after_more = resident_mib(node)

    assert after_a_hundred <= LIMIT_MIB
    assert after_more <= LIMIT_MIB
    assert after_more - after_a_hundred <= BREATH_MIB


def live(volume: Volume, *, times: int) -> None:
    """Have a volume come and go, each time as another one on a blank disk."""
    for _ in range(times):
        volume.disk.become_another()
        volume.stage()
        target = volume.publish()
        volume.usage(target)
        volume.node.NodeGetVolumeHealth(
            csi_pb2.NodeGetVolumeHealthRequest(
                volume_id=volume.disk.volume_id, staging_target_path=str(volume.staging)
            )
        )
        volume.unpublish()
        volume.unstage()


def resident_mib(process: DriverProcess) -> float:
    """Return how much memory a process has now."""
    pages = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096 / MIB
