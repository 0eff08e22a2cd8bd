"""The node's process ends, is killed, is stuck: S15, S22, N14."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from csi_exoblock.pb import csi_pb2_grpc
from tests.node.conftest import MakeDisk, Volume, block_capability, mount_capability
from tests.node.disks import IN_A_CONTAINER, mounts_of, run
from tests.node.gates import Gate
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.grpc_errors import outcome
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

MakeVolume = Callable[..., Volume]
StartNode = Callable[..., DriverProcess]
FILESYSTEMS = ("ext4", "xfs", "btrfs")


def test_a_killed_driver_leaves_mounts_that_its_successor_knows(
    start_node: StartNode, make_volume: MakeVolume, make_disk: MakeDisk
) -> None:  # S15: what kubelet repeats after a restart or an upgrade changes nothing
    first = start_node()
    capabilities = {
        make_volume(make_disk(), first): each
        for each in (*map(mount_capability, FILESYSTEMS), block_capability())
    }
    for volume, capability in capabilities.items():
        volume.stage_as(capability)
        volume.publish(capability=capability)
    before = {volume: mount_ids(volume.disk.path) for volume in capabilities}

    first.kill()
    node = csi_pb2_grpc.NodeStub(start_node().channel)

    for old, capability in capabilities.items():
        volume = replace(old, node=node)
        volume.stage_as(capability)
        target = volume.publish(capability=capability)
        assert mount_ids(volume.disk.path) == before[old]
        assert volume.usage(target)
        volume.unpublish()
        volume.unstage()
        assert mounts_of(volume.disk.path) == []


def test_sigterm_lets_a_stage_finish(
    start_node: StartNode, make_volume: MakeVolume, make_disk: MakeDisk
) -> None:  # S22
    driver = start_node(
        *("--time-scale", "1", "--log-level", "debug"),
        *("--device-wait-timeout", "60s", "--shutdown-timeout", "60s"),  # on a busy machine too
    )
    volume = make_volume(make_disk(), driver)
    volume.disk.link.unlink()

    with ThreadPoolExecutor() as kubelet:
        call = kubelet.submit(outcome, volume.stage)
        wait_until(lambda: "finding the device" in driver.log.read_text(), "the stage")
        os.kill(driver.pid, signal.SIGTERM)
        wait_until(lambda: not driver.socket.exists() or refuses(volume), "the end of new calls")
        volume.disk.attach()
        ended = call.result()

    assert ended == ("OK", "")
    assert driver.stop() == 0
    assert mounts_of(volume.disk.path) == [str(volume.staging)]


@pytest.mark.parametrize("patience", [60, 1])
def test_sigterm_waits_for_work_that_no_call_waits_for_any_more(
    start_node: StartNode,
    make_volume: MakeVolume,
    make_disk: MakeDisk,
    gate: Callable[[str], Gate],
    folder: pathlib.Path,
    patience: int,
) -> None:  # D10: the kernel kills what is left when process 1 of a container ends
    driver = start_node(
        *("--time-scale", "1", "--shutdown-timeout", f"{patience}s"),
        wrapper=(*IN_A_CONTAINER, "--pid", "--fork", "--kill-child", "--mount-proc"),
    )
    volume, mkfs = make_volume(make_disk(), driver), gate("mkfs.ext4")
    mkfs.outlast(lambda: volume.stage(seconds=1.0))
    process_1 = int(run("pgrep", "--parent", str(driver.pid)))

    os.kill(process_1, signal.SIGTERM)
    wait_until(lambda: "waiting for long work" in driver.log.read_text(), "its end to begin")
    if patience > 1:
        mkfs.open()
    driver.wait()

    work = "the end of mkfs" if patience > 1 else "what it left behind"
    assert ("long work is left behind" in driver.log.read_text()) == (patience == 1), work
    mkfs.open()
    later = volume.served_by(start_node())
    later.stage()
    assert mkfs.runs() == (1 if patience > 1 else 2)


def test_a_process_whose_pool_is_stuck_is_not_alive(
    start_node: StartNode, make_volume: MakeVolume, make_disk: MakeDisk
) -> None:  # N14
    endpoint = Endpoint()
    driver = start_node(
        *("--grpc-workers", "2", *endpoint.flags),
        *("--time-scale", "0.05", "--device-wait-timeout", "600m"),
    )
    volumes = [make_volume(make_disk(), driver) for _ in range(2)]
    for volume in volumes:
        volume.disk.link.unlink()
    assert endpoint.get("/livez") == 200

    with ThreadPoolExecutor() as kubelet:
        calls = [kubelet.submit(outcome, volume.stage) for volume in volumes]
        wait_until(lambda: endpoint.get("/livez") == 503, "that it is seen to be stuck")
        for volume in volumes:
            volume.disk.attach()
        assert [call.result() for call in calls] == [("OK", "")] * 2

    wait_until(lambda: endpoint.get("/livez") == 200, "that it is seen to be alive again")


def refuses(volume: Volume) -> bool:
    return outcome(volume.unpublish)[0] == "UNAVAILABLE"


def mount_ids(path: pathlib.Path) -> list[str]:
    """Return the ids of a device's mounts, of which the kernel gives every mount a new one."""
    targets = set(mounts_of(path))
    lines = [line.split() for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted(fields[0] for fields in lines if fields[4] in targets)
