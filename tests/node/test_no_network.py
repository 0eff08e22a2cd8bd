"""The node plugin calls nobody: all of a volume's life on a node goes without a network (F2)."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from csi_exoblock.pb import csi_pb2
from tests.node.conftest import Volume
from tests.node.disks import Disk
from tests.support.driver_process import DriverProcess

pytestmark = pytest.mark.root


def test_a_volume_lives_on_a_node_that_is_cut_off(
    start_node: Callable[..., DriverProcess],
    make_volume: Callable[..., Volume],
    disk: Disk,
) -> None:
    node = start_node(network=False)
    volume = make_volume(disk, node)

    volume.stage()
    target = volume.publish()
    (target / "file").write_text("mine")
    used = volume.usage(target)[csi_pb2.VolumeUsage.BYTES].used
    volume.disk.grow(2)
    volume.unpublish()
    volume.unstage()
    volume.stage()

    assert used > 0
    assert (volume.staging / "file").read_text() == "mine"
    assert interfaces_of(node) == ["lo"]


def interfaces_of(process: DriverProcess) -> list[str]:
    """Return the names of the network interfaces that a process has."""
    lines = pathlib.Path(f"/proc/{process.pid}/net/dev").read_text().splitlines()
    return [line.partition(":")[0].strip() for line in lines[2:]]
