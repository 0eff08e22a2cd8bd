"""What the plugin says of itself: capabilities that are true, and ready only once it is (N14)."""

from __future__ import annotations

import pathlib

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.csi.conftest import Driver, Start
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until


def test_volumes_have_zones_and_grow_while_nothing_uses_them(driver: Driver) -> None:  # S7, S12
    identity = csi_pb2_grpc.IdentityStub(driver.channel)
    kinds = csi_pb2.PluginCapability.Service

    offered = identity.GetPluginCapabilities(csi_pb2.GetPluginCapabilitiesRequest()).capabilities

    assert {each.service.type for each in offered if each.HasField("service")} == {
        kinds.CONTROLLER_SERVICE,
        kinds.VOLUME_ACCESSIBILITY_CONSTRAINTS,
        kinds.SNAPSHOT_ACCESSIBILITY_CONSTRAINTS,
    }
    assert [
        each.volume_expansion.type for each in offered if each.HasField("volume_expansion")
    ] == [csi_pb2.PluginCapability.VolumeExpansion.OFFLINE]


def test_a_process_of_both_services_is_ready_once_both_are(
    start: Start, shared_cloud: SimulatorProcess, tmp_path: pathlib.Path
) -> None:  # N14
    nowhere = ("--metadata-sources", "cdrom", "--device-dir", str(tmp_path))
    driver = start("all", *nowhere, ready=False)

    wait_until(lambda: "the cloud answers" in driver.log.read_text())

    assert not csi_pb2_grpc.IdentityStub(driver.channel).Probe(csi_pb2.ProbeRequest()).ready.value


def test_probe_says_ready_once_the_api_has_answered(
    start: Start, shared_cloud: SimulatorProcess
) -> None:  # N14
    fault = shared_cloud.add_fault(fault="refuse", status=503)
    driver = start("controller", ready=False)
    identity = csi_pb2_grpc.IdentityStub(driver.channel)

    before = identity.Probe(csi_pb2.ProbeRequest(), wait_for_ready=True)
    shared_cloud.remove_fault(fault)
    driver.wait_until_ready()
    after = identity.Probe(csi_pb2.ProbeRequest())

    assert (before.ready.value, after.ready.value) == (False, True)
