"""F5: labels that 0.1.0 wrote are read for ever, and those of later versions are left in peace.

The cloud keeps nothing else of the driver. An older version takes over after a roll back, so what
is written today must be read by 0.1.0 as well: a label that is here must not change its meaning.
"""

from __future__ import annotations

import time

import pytest

from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller, StartController, ids, truth
from tests.controller.requests import (
    create_snapshot,
    create_volume,
    delete_volume,
    expand,
    modify,
    publish,
)
from tests.controller.waiting import as_a_sidecar_would
from tests.support.grpc_errors import outcome
from tests.support.simulator_process import SimulatorProcess

CLUSTER = "kubernetes-1"
# What a version that does not exist yet might write.
LATER = {"exoblock/of-a-later-version": "2", "exoblock/name-format": "v9"}

CLAIM = {
    "csi.storage.k8s.io/pvc/name": "data",
    "csi.storage.k8s.io/pvc/namespace": "shop",
}


@pytest.fixture(scope="module")
def today(start_controller: StartController) -> Controller:
    return Controller(start_controller("--cluster-id", CLUSTER).channel)


def labels_of(cloud: SimulatorProcess, handle: str) -> dict[str, str]:
    (seen,) = (
        each for each in (*cloud.volumes(), *cloud.snapshots()) if handle.endswith(each["id"])
    )
    labels: dict[str, str] = seen["labels"]
    return labels


def labels_of_0_1_0(name: str, **others: str) -> dict[str, str]:
    """Return the labels that 0.1.0 gives to what it makes under a name."""
    driver = {"exoblock/driver": "exoblock.csi.exoscale.com", "exoblock/cluster-id": CLUSTER}
    labels = {f"exoblock/{key}": value for key, value in others.items()}
    return {**driver, "exoblock/name": name, **labels}


def test_the_labels_are_those_of_0_1_0(
    today: Controller, cloud: SimulatorProcess, name: str
) -> None:  # F5, N10: written out, so that a change is a decision
    request = create_volume(name, parameters=CLAIM)
    volume = as_a_sidecar_would(lambda: today.CreateVolume(request)).volume.volume_id
    of_volume = create_snapshot(f"{name}-snapshot", volume)
    snapshot = as_a_sidecar_would(lambda: today.CreateSnapshot(of_volume)).snapshot.snapshot_id

    claim = {"pvc": "data", "namespace": "shop"}
    source = volume.split("/")[1]
    assert labels_of(cloud, volume) == labels_of_0_1_0(name, pv=name, **claim)
    assert (
        labels_of(cloud, snapshot).items()
        >= labels_of_0_1_0(f"{name}-snapshot", source=source).items()
    )


def test_a_volume_of_0_1_0_is_found_again_by_its_name(
    today: Controller, cloud: SimulatorProcess, administrator: Administrator, name: str
) -> None:  # F5, D11
    zone = cloud.zones[0]
    cloud.add_volumes(zone, 1, prefix=f"renamed-since-{name}-")
    (made,) = (each for each in cloud.volumes() if f"-{name}-" in each["name"])
    administrator.set_labels(f"{zone}/{made['id']}", labels_of_0_1_0(name))

    request = create_volume(name, made["size"])
    found = as_a_sidecar_would(lambda: today.CreateVolume(request)).volume.volume_id

    assert found == f"{zone}/{made['id']}"


def test_a_growth_that_0_1_0_noted_is_made_up_for(
    today: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    name: str,
    node: str,
) -> None:  # F5, N1: the note is `<GiB>-<Unix time>`
    request = create_volume(name)
    volume = as_a_sidecar_would(lambda: today.CreateVolume(request)).volume.volume_id
    note = {"exoblock/pending-size": f"3-{int(time.time())}"}
    administrator.label_volume(volume, note)

    as_a_sidecar_would(lambda: today.ControllerPublishVolume(publish(volume, node)))

    assert truth(cloud, volume)["size"] == 3


def test_a_growth_that_a_later_version_noted_in_its_own_way_is_none(
    today: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    name: str,
    node: str,
) -> None:  # F5, N1: the resizer asks again, and then the note is one that is understood
    request = create_volume(name)
    volume = as_a_sidecar_would(lambda: today.CreateVolume(request)).volume.volume_id
    administrator.label_volume(volume, {"exoblock/pending-size": "v2/3GiB/2026"})

    as_a_sidecar_would(lambda: today.ControllerPublishVolume(publish(volume, node)))

    assert truth(cloud, volume)["size"] == 1
    assert outcome(lambda: today.ControllerExpandVolume(expand(volume, 2)))[0] != "OK"
    assert labels_of(cloud, volume)["exoblock/pending-size"].startswith("2-")


def test_labels_of_a_later_version_outlive_every_write(
    today: Controller, cloud: SimulatorProcess, administrator: Administrator, name: str
) -> None:  # F5, D12: after a roll forward they are there again
    request = create_volume(name)
    volume = as_a_sidecar_would(lambda: today.CreateVolume(request)).volume.volume_id
    administrator.label_volume(volume, LATER)

    as_a_sidecar_would(lambda: today.CreateVolume(request))
    today.ControllerModifyVolume(modify(volume, labelSpecification_1="team=shop"))
    today.ControllerExpandVolume(expand(volume, 2))

    assert labels_of(cloud, volume).items() >= {**LATER, "team": "shop"}.items()
    today.DeleteVolume(delete_volume(volume))
    assert volume not in ids(cloud)
