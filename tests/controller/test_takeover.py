"""F8: what the vendor's driver made is used under its name, and what is made stays usable by it."""

from __future__ import annotations

import re

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller, StartController, ids, truth
from tests.controller.requests import (
    GIB,
    create_snapshot,
    create_volume,
    delete_snapshot,
    delete_volume,
    expand,
    publish,
    unpublish,
)
from tests.controller.waiting import as_a_sidecar_would
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

VENDORS_KEY = "topology.csi.exoscale.com/zone"


@pytest.fixture(scope="module")
def successor(start_controller: StartController) -> Controller:
    """The controller that took over the vendor's name."""
    flags = ("--driver-name", "csi.exoscale.com", "--cluster-id", "ours")
    return Controller(start_controller(*flags).channel)


@pytest.fixture
def theirs(cloud: SimulatorProcess, name: str) -> str:
    """The id of a volume as the vendor's driver makes it: named by the provisioner, no label."""
    zone = cloud.zones[0]
    cloud.add_volumes(zone, 1, prefix=f"{name}-")
    (made,) = (each for each in cloud.volumes() if each["name"].startswith(f"{name}-"))
    return f"{zone}/{made['id']}"


def size_of(cloud: SimulatorProcess, volume_id: str) -> int:
    return int(truth(cloud, volume_id)["size"])


def test_a_volume_of_the_vendor_lives_on(
    successor: Controller, cloud: SimulatorProcess, theirs: str, node: str
) -> None:  # F8
    size = size_of(cloud, theirs)

    successor.ControllerPublishVolume(publish(theirs, node))
    successor.ControllerPublishVolume(publish(theirs, node))  # the attacher asks once more
    successor.ControllerUnpublishVolume(unpublish(theirs, node))
    successor.ControllerExpandVolume(expand(theirs, size + 1))

    assert size_of(cloud, theirs) == size + 1
    successor.DeleteVolume(delete_volume(theirs))
    assert theirs not in ids(cloud)


def test_an_attachment_of_the_vendor_is_recognised_and_ended(
    successor: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    theirs: str,
    node: str,
) -> None:  # F8: its VolumeAttachments stay as they are
    administrator.attach_volume(theirs, node)
    cloud.clear_calls()

    successor.ControllerPublishVolume(publish(theirs, node))

    assert "attach-block-storage-volume-to-instance" not in cloud.operations_called()
    successor.ControllerUnpublishVolume(unpublish(theirs, node))
    assert truth(cloud, theirs)["state"] == "detached"


def test_snapshots_of_the_vendor_are_restored_and_deleted(
    successor: Controller, cloud: SimulatorProcess, theirs: str, name: str
) -> None:  # F8
    zone, uuid = theirs.split("/")
    snapshot = f"{zone}/{cloud.add_snapshot(zone, uuid, f'{name}-theirs')}"

    request = create_volume(f"{name}-restored", size_of(cloud, theirs), snapshot_id=snapshot)
    request.ClearField("accessibility_requirements")
    restored = as_a_sidecar_would(lambda: successor.CreateVolume(request)).volume

    assert restored.content_source.snapshot.snapshot_id == snapshot
    assert restored.capacity_bytes == size_of(cloud, theirs) * GIB
    successor.DeleteSnapshot(delete_snapshot(snapshot))
    assert uuid not in {each["id"] for each in cloud.snapshots()}


def test_a_volume_of_the_vendor_is_snapshotted_and_cloned(
    successor: Controller, cloud: SimulatorProcess, theirs: str, name: str
) -> None:  # F8
    taken = as_a_sidecar_would(
        lambda: successor.CreateSnapshot(create_snapshot(f"{name}-snapshot", theirs))
    ).snapshot
    request = create_volume(f"{name}-clone", size_of(cloud, theirs))
    request.ClearField("accessibility_requirements")
    request.volume_content_source.volume.volume_id = theirs

    clone = as_a_sidecar_would(lambda: successor.CreateVolume(request)).volume

    assert taken.source_volume_id == theirs
    assert clone.content_source.volume.volume_id == theirs


def test_what_is_made_can_be_used_without_this_driver(
    successor: Controller, cloud: SimulatorProcess, name: str, node: str
) -> None:  # F8: the vendor's driver takes handles of two parts and topologies of one key
    request = create_volume(name)
    zone = cloud.zones[0]
    for terms in (
        request.accessibility_requirements.requisite,
        request.accessibility_requirements.preferred,
    ):
        del terms[:]
        terms.append(csi_pb2.Topology(segments={VENDORS_KEY: zone}))

    made = as_a_sidecar_would(lambda: successor.CreateVolume(request)).volume
    taken = as_a_sidecar_would(
        lambda: successor.CreateSnapshot(create_snapshot(f"{name}-snapshot", made.volume_id))
    ).snapshot

    for handle in (made.volume_id, taken.snapshot_id):
        assert re.fullmatch(rf"{zone}/[0-9a-f-]{{36}}", handle)
    assert [each.segments for each in made.accessible_topology] == [{VENDORS_KEY: zone}]
    assert not any("exoscale.com" in key for key in made.volume_context)
    assert truth(cloud, made.volume_id)["name"] == name


def test_a_claim_that_the_vendor_had_begun_gets_the_volume_made_for_it(
    successor: Controller, cloud: SimulatorProcess, theirs: str
) -> None:  # F8, D11: the provisioner repeats the create under the same name
    seen = truth(cloud, theirs)
    request = create_volume(seen["name"], seen["size"])

    made = as_a_sidecar_would(lambda: successor.CreateVolume(request)).volume

    assert made.volume_id == theirs


def test_a_volume_in_use_is_not_taken_by_its_name(
    successor: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    theirs: str,
    node: str,
) -> None:  # F8, D11: another cluster can have a claim of that name
    seen = truth(cloud, theirs)
    administrator.attach_volume(theirs, node)

    with refused(grpc.StatusCode.ALREADY_EXISTS, seen["name"]):
        as_a_sidecar_would(
            lambda: successor.CreateVolume(create_volume(seen["name"], seen["size"]))
        )
