"""What another cluster made is neither changed nor deleted from here (D12)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller, StartController, ids, truth
from tests.controller.requests import (
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

WRITES = ("create-", "update-", "delete-", "resize-", "attach-", "detach-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """What the cluster `theirs` has."""

    volume: str
    snapshot: str


@pytest.fixture(scope="module")
def other(start_controller: StartController) -> Controller:
    """The controller of the cluster `theirs`."""
    return Controller(start_controller("--cluster-id", "theirs").channel)


@pytest.fixture(scope="module")
def mine(start_controller: StartController) -> Controller:
    """The controller of the cluster `mine`."""
    return Controller(start_controller("--cluster-id", "mine").channel)


@pytest.fixture(scope="module")
def heir(start_controller: StartController) -> Controller:
    """The controller of the cluster `mine`, after it has inherited from `theirs`."""
    flags = ("--cluster-id", "mine", "--inherited-cluster-ids", "older, theirs")
    return Controller(start_controller(*flags).channel)


@pytest.fixture
def theirs(other: Controller, cloud: SimulatorProcess, name: str) -> Theirs:
    request = create_volume(name)
    volume = as_a_sidecar_would(lambda: other.CreateVolume(request)).volume.volume_id
    of_volume = create_snapshot(f"{name}-snapshot", volume)
    snapshot = as_a_sidecar_would(lambda: other.CreateSnapshot(of_volume)).snapshot.snapshot_id
    cloud.clear_calls()
    return Theirs(volume=volume, snapshot=snapshot)


Change = Callable[[Controller, Theirs], object]

CHANGES: dict[str, Change] = {
    "delete": lambda at, it: at.DeleteVolume(delete_volume(it.volume)),
    "expand": lambda at, it: at.ControllerExpandVolume(expand(it.volume, 2)),
    "modify": lambda at, it: at.ControllerModifyVolume(
        csi_pb2.ControllerModifyVolumeRequest(
            volume_id=it.volume, mutable_parameters={"labels": "tier=gold"}
        )
    ),
    "delete snapshot": lambda at, it: at.DeleteSnapshot(delete_snapshot(it.snapshot)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_anothers_is_refused_with_the_way_out(
    mine: Controller, cloud: SimulatorProcess, theirs: Theirs, change: Change
) -> None:  # D12
    with refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        "cluster theirs",
        "exoblock/cluster-id",
        "--inherited-cluster-ids=theirs",
    ):
        change(mine, theirs)

    assert [each for each in cloud.operations_called() if each.startswith(WRITES)] == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_controller_without_a_cluster_changes_no_clusters_things(
    start_controller: StartController, cloud: SimulatorProcess, theirs: Theirs, change: Change
) -> None:  # D12
    none = Controller(start_controller("--cluster-id", "none").channel)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "cluster theirs"):
        change(none, theirs)

    assert [each for each in cloud.operations_called() if each.startswith(WRITES)] == []


def test_anothers_snapshot_is_not_taken_for_one_of_its_name(
    mine: Controller, cloud: SimulatorProcess, theirs: Theirs, name: str
) -> None:  # D11, S18: a restore from it would be a restore of what others wrote
    request = create_snapshot(f"{name}-snapshot", theirs.volume)

    with refused(grpc.StatusCode.ALREADY_EXISTS, theirs.snapshot, "another cluster"):
        as_a_sidecar_would(lambda: mine.CreateSnapshot(request))

    assert [each for each in cloud.operations_called() if each.startswith(WRITES)] == []


def test_what_is_inherited_is_changed_and_deleted(
    heir: Controller, cloud: SimulatorProcess, theirs: Theirs
) -> None:  # D12: a cluster that was rebuilt keeps its volumes
    for kind in ("expand", "modify", "delete snapshot", "delete"):
        CHANGES[kind](heir, theirs)

    assert theirs.volume not in ids(cloud)


def test_what_is_inherited_is_found_again_by_its_name(
    heir: Controller, mine: Controller, cloud: SimulatorProcess, theirs: Theirs, name: str
) -> None:  # D11
    found = as_a_sidecar_would(lambda: heir.CreateVolume(create_volume(name))).volume.volume_id

    assert found == theirs.volume
    with refused(grpc.StatusCode.ALREADY_EXISTS, "another cluster"):
        as_a_sidecar_would(lambda: mine.CreateVolume(create_volume(name)))


def test_what_bears_no_clusters_label_is_changed_and_deleted(
    mine: Controller, cloud: SimulatorProcess, volume: str, administrator: Administrator
) -> None:  # F9, F8: made by hand, or by the vendor's driver
    administrator.set_labels(volume, {"theirs": "1"})

    mine.ControllerExpandVolume(expand(volume, 2))
    mine.DeleteVolume(delete_volume(volume))

    assert volume not in ids(cloud)


def test_anothers_volume_is_attached_where_a_pv_says_so(
    mine: Controller, cloud: SimulatorProcess, theirs: Theirs, node: str
) -> None:  # F9: this is how a volume moves from one cluster to another
    mine.ControllerPublishVolume(publish(theirs.volume, node))

    assert truth(cloud, theirs.volume)["state"] == "attached"


def test_anothers_note_of_a_growth_is_left_to_its_cluster(
    mine: Controller,
    other: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    theirs: Theirs,
    node: str,
) -> None:  # D12: the right to attach is none to resize and relabel
    note = f"3-{int(time.time())}"
    administrator.label_volume(theirs.volume, {"exoblock/pending-size": note})
    cloud.clear_calls()

    mine.ControllerPublishVolume(publish(theirs.volume, node))

    seen = truth(cloud, theirs.volume)
    assert (seen["size"], seen["labels"]["exoblock/pending-size"]) == (1, note)
    called = cloud.operations_called()
    assert [each for each in called if each.startswith(("resize-", "update-"))] == []
    mine.ControllerUnpublishVolume(unpublish(theirs.volume, node))
    other.ControllerPublishVolume(publish(theirs.volume, node))
    assert truth(cloud, theirs.volume)["size"] == 3


@pytest.mark.parametrize("key", ["exoblock/protect", "Exoblock/Protect"])
def test_protection_holds_in_any_case(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    administrator: Administrator,
    key: str,
) -> None:  # D12
    administrator.label_volume(volume, {key: "yes"})

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "protects"):
        controller.DeleteVolume(delete_volume(volume))

    assert volume in ids(cloud)
