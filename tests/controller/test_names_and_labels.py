"""Names and labels that classes ask for, at create and later (N10), and ours beside them (C4)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import grpc
import pytest

from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller, StartController, truth
from tests.controller.gate import Gate
from tests.controller.requests import (
    absent_id,
    create_snapshot,
    create_volume,
    delete_volume,
    modify,
    publish,
    unpublish,
)
from tests.controller.waiting import as_a_sidecar_would, wait_until_called
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

CREATE = "create-block-storage-volume"
UPDATE = "update-block-storage-volume"
CLUSTER = "cluster-7"


def about(name: str) -> dict[str, str]:
    """Return what the provisioner adds with --extra-create-metadata."""
    return {
        "csi.storage.k8s.io/pv/name": name,
        "csi.storage.k8s.io/pvc/name": "claim",
        "csi.storage.k8s.io/pvc/namespace": "space",
    }


@pytest.fixture(scope="module")
def cluster(start_controller: StartController) -> Controller:
    """A controller that knows the name of its cluster."""
    started = Controller(start_controller("--cluster-id", CLUSTER).channel)
    started.CreateVolume(create_volume("first-of-cluster"))
    return started


@pytest.fixture(params=["replace", "merge"])
def merging(cloud: SimulatorProcess, request: pytest.FixtureRequest) -> None:
    """Both answers to what an update does with the labels that it does not name."""
    cloud.set_mode("update-labels", request.param)


def test_templates_name_and_label_a_volume(
    cluster: Controller, cloud: SimulatorProcess, name: str
) -> None:
    parameters = {
        "volumeNameTemplate": "{{cluster}}.{{pvc.namespace}}.{{ pv.name }}",
        "labels": "owner={{pvc.namespace}}/{{pvc.name}},tier=gold",
        "labelSpecification_1": "cluster={{cluster}}",
        **about(name),
    }

    made = cluster.CreateVolume(create_volume(name, parameters=parameters)).volume

    seen = truth(cloud, made.volume_id)
    assert seen["name"] == f"{CLUSTER}.space.{name}"
    assert seen["labels"]["owner"] == "space/claim"
    assert seen["labels"]["tier"] == "gold"
    assert seen["labels"]["cluster"] == CLUSTER
    assert seen["labels"]["exoblock/name"] == name


def test_templates_name_and_label_a_snapshot(
    cluster: Controller, cloud: SimulatorProcess, name: str
) -> None:
    volume = cluster.CreateVolume(create_volume(name)).volume.volume_id
    request = create_snapshot(f"{name}-snapshot", volume)
    request.parameters.update(
        {
            "snapshotNameTemplate": "{{snapshot.namespace}}-{{content.name}}",
            "labels": "of={{snapshot.name}}",
            "csi.storage.k8s.io/volumesnapshot/name": "nightly",
            "csi.storage.k8s.io/volumesnapshot/namespace": "space",
            "csi.storage.k8s.io/volumesnapshotcontent/name": f"content-{name}",
        }
    )

    first = cluster.CreateSnapshot(request).snapshot
    second = cluster.CreateSnapshot(request).snapshot

    (seen,) = (each for each in cloud.snapshots() if first.snapshot_id.endswith(each["id"]))
    assert seen["name"] == f"space-content-{name}"
    assert seen["labels"]["of"] == "nightly"
    assert seen["labels"]["exoblock/name"] == f"{name}-snapshot"
    assert second.snapshot_id == first.snapshot_id


@pytest.mark.parametrize("labels", ["kept", "dropped"])
def test_a_templated_name_finds_its_volume_again(
    cluster: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    name: str,
    labels: str,
) -> None:  # also in another process, also where the API dropped the labels (C1)
    cloud.set_mode("create-labels", labels)
    request = create_volume(
        name, parameters={"volumeNameTemplate": "db-{{pv.name}}", **about(name)}
    )
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        cluster.CreateVolume(request)
    heir = Controller(start_controller("--cluster-id", CLUSTER).channel)

    first = as_a_sidecar_would(lambda: cluster.CreateVolume(request))
    second = as_a_sidecar_would(lambda: heir.CreateVolume(request))

    assert second.volume.volume_id == first.volume.volume_id
    assert [each["name"] for each in cloud.volumes()].count(f"db-{name}") == 1


def test_a_renamed_volume_is_found_by_its_label(
    controller: Controller, cloud: SimulatorProcess, name: str, volume: str
) -> None:
    controller.ControllerModifyVolume(
        modify(volume, **{"name": "renamed-{{pv.name}}"}, **about(name))
    )

    found = controller.CreateVolume(create_volume(f"{name}-volume")).volume.volume_id

    assert truth(cloud, volume)["name"] == f"renamed-{name}"
    assert found == volume


def test_a_volume_renamed_to_anothers_name_is_not_taken_for_it(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # D11
    controller.ControllerModifyVolume(modify(volume, name="{{pv.name}}", **about(name)))

    made = controller.CreateVolume(create_volume(name)).volume.volume_id

    assert made != volume


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"volumeNameTemplate": "same-for-all"}, "pv.name"),
        ({"volumeNameTemplate": "{{pvc.name}}"}, "pv.name"),
        ({"volumeNameTemplate": "{{pv.name}}{{nonsense}}"}, "nonsense"),
        ({"volumeNameTemplate": "{{pv.name}}-{{cluster}}"}, "--cluster-id"),
        ({"volumeNameTemplate": "{{pv.name}}" + "x" * 256}, "255"),
        ({"volumeNameTemplate": "{{pv.name}}{{"}, "braces"),
        ({"labels": "a={{snapshot.name}}"}, "snapshot.name"),
        ({"labels": "a"}, "key=value"),
        ({"labels": "a=1", "labelSpecification_1": "a=2"}, "twice"),
        ({"labels": "exoblock/name=x"}, "exoblock/"),
        ({"labelSpecification_N": "a=1"}, "labelSpecification_N"),
        ({"labelSpecification_0": "a=1"}, "labelSpecification_0"),
        ({"labelDeletion_1": "a"}, "labelDeletion_1"),
        ({"snapshotNameTemplate": "{{content.name}}"}, "snapshotNameTemplate"),
    ],
    ids=str,
)
def test_a_bad_template_or_label_is_refused_at_create(
    controller: Controller,
    cloud: SimulatorProcess,
    name: str,
    parameters: dict[str, str],
    says: str,
) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, says):
        controller.CreateVolume(create_volume(name, parameters={**parameters, **about(name)}))

    assert name not in [each["name"] for each in cloud.volumes()]


def test_a_template_fills_a_name_to_its_last_character(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # N10
    longest = "{{pv.name}}" + "x" * (255 - len(name))

    with refused(grpc.StatusCode.INVALID_ARGUMENT, "256 characters"):
        templated(controller, name, longest + "x")
    assert CREATE not in cloud.operations_called()  # the cloud would refuse it as well
    templated(controller, name, longest)

    assert [len(each["name"]) for each in cloud.volumes() if each["name"].startswith(name)] == [255]


def templated(controller: Controller, name: str, template: str) -> None:
    parameters = {"volumeNameTemplate": template, **about(name)}
    controller.CreateVolume(create_volume(name, parameters=parameters))


def test_a_variable_without_a_value_says_which_flag_is_missing(
    controller: Controller, name: str
) -> None:
    request = create_volume(name, parameters={"labels": "owner={{pvc.namespace}}"})
    del request.parameters["csi.storage.k8s.io/pvc/namespace"]

    with refused(grpc.StatusCode.INVALID_ARGUMENT, "--extra-create-metadata"):
        controller.CreateVolume(request)


def test_a_variable_without_a_value_says_so_of_the_resizer_too(
    controller: Controller, volume: str
) -> None:
    request = modify(volume, labels="owner={{pvc.namespace}}")
    del request.mutable_parameters["csi.storage.k8s.io/pvc/namespace"]

    with refused(grpc.StatusCode.INVALID_ARGUMENT, "--extra-modify-metadata"):
        controller.ControllerModifyVolume(request)


def test_values_are_made_to_fit(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:
    short = Controller(start_controller("--label-max-length", "40").channel)
    long = "x" * 60

    made = short.CreateVolume(
        create_volume(name, parameters={"labels": f"note=a b_c,long={long}"})
    ).volume

    labels = truth(cloud, made.volume_id)["labels"]
    assert labels["note"] == "a-b-c"
    assert len(labels["long"]) == 40
    assert labels["long"].startswith("x" * 27 + "-")


def test_names_that_differ_only_in_what_labels_cannot_say_are_different(
    controller: Controller, name: str
) -> None:  # D11: the label `name` replaces what labels can't hold
    first = controller.CreateVolume(create_volume(f"{name} a")).volume.volume_id
    second = controller.CreateVolume(create_volume(f"{name}_a")).volume.volume_id
    third = controller.CreateVolume(create_volume(f"{name}-a")).volume.volume_id

    assert len({first, second, third}) == 3
    assert controller.CreateVolume(create_volume(f"{name} a")).volume.volume_id == first


def test_attributes_at_create_win_over_the_class(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    parameters = {"labels": "tier=silver,gone=1", "volumeNameTemplate": "class-{{pv.name}}"}
    request = create_volume(name, parameters={**parameters, **about(name)})
    request.mutable_parameters.update(  # raw, as csi-provisioner 6.4 hands the class over
        {
            "labels": "tier=gold,owner={{pvc.namespace}}",
            "labelDeletion_1": "gone",
            "name": "attributes-{{pv.name}}",
        }
    )

    made = controller.CreateVolume(request).volume

    seen = truth(cloud, made.volume_id)
    assert seen["name"] == f"attributes-{name}"
    assert seen["labels"]["tier"] == "gold"
    assert seen["labels"]["owner"] == "space"
    assert "gone" not in seen["labels"]


def test_a_class_of_attributes_does_not_say_of_which_volume_it_is(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # D11: two volumes of one name
    request = create_volume(name, parameters=about(name))
    request.mutable_parameters.update({"name": "{{pv.name}}", **about("of-another")})

    made = controller.CreateVolume(request).volume

    assert truth(cloud, made.volume_id)["name"] == name


@pytest.mark.usefixtures("merging")
def test_a_modified_volume_keeps_what_is_not_listed(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    administrator: Administrator,
) -> None:
    administrator.label_volume(volume, {"theirs": "1", "old": "1", "tier": "silver"})
    before = truth(cloud, volume)

    controller.ControllerModifyVolume(
        modify(volume, labels="tier=gold", labelSpecification_2="new=2", labelDeletion_1="old")
    )

    labels = dict(truth(cloud, volume)["labels"])
    assert not labels.pop("old", "")
    assert labels == {
        **{key: value for key, value in before["labels"].items() if key != "old"},
        "tier": "gold",
        "new": "2",
    }
    assert truth(cloud, volume)["name"] == before["name"]


@pytest.mark.usefixtures("merging")
@pytest.mark.parametrize("read", [2, 3], ids=["before the write", "after the write"])
def test_labels_that_others_add_meanwhile_stay(
    controller: Controller,
    behind: Controller,
    gate: Gate,
    cloud: SimulatorProcess,
    volume: str,
    administrator: Administrator,
    read: int,
) -> None:  # N10, D12: a volume that was protected meanwhile was deleted
    administrator.label_volume(volume, {"old": "1"})
    held = gate.hold("GET", volume.split("/")[1], number=read)
    with ThreadPoolExecutor(1) as thread:
        request = modify(volume, labels="tier=gold", labelDeletion_1="old")
        answer = thread.submit(behind.ControllerModifyVolume, request)
        with held:
            administrator.label_volume(volume, {"exoblock/protect": "yes"})
        answer.result()

    labels = truth(cloud, volume)["labels"]
    assert labels["exoblock/protect"] == "yes"
    assert labels["tier"] == "gold"
    assert not labels.get("old")
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "protect"):
        controller.DeleteVolume(delete_volume(volume))


def test_a_repair_of_labels_that_hangs_undoes_no_later_change(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # N10, D12: it would take a label that protects the volume away as well
    cloud.set_mode("create-labels", "dropped")
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    cloud.add_fault(fault="hang", operation=UPDATE, count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name))
    creating = controller.CreateVolume.future(create_volume(name))
    wait_until_called(cloud, UPDATE)
    wait_until(lambda: cloud.operations_called()[-1] != UPDATE)  # it asks what became of it
    creating.cancel()
    (made,) = (each for each in cloud.volumes() if each["name"] == name)
    (repair,) = (each for each in cloud.operations() if each["state"] == "pending")
    request = modify(f"{made['zone']}/{made['id']}", labels="tier=gold")

    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        controller.ControllerModifyVolume(request, timeout=1)
    cloud.finish_operation(repair["zone"], repair["id"])
    as_a_sidecar_would(lambda: controller.ControllerModifyVolume(request))

    labels = truth(cloud, f"{made['zone']}/{made['id']}")["labels"]
    assert (labels["tier"], labels["exoblock/name"]) == ("gold", name)


def test_a_change_that_hangs_holds_up_no_detach(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S5, N10: the resizer would repeat it for ever, and the pod could not move
    controller = Controller(start_controller("--time-scale", "1").channel)  # follows it for 90 s
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.add_fault(fault="hang", operation=UPDATE)
    change = controller.ControllerModifyVolume.future(modify(volume, labels="team=a"))
    wait_until_called(cloud, UPDATE)

    controller.ControllerUnpublishVolume(unpublish(volume, node), timeout=60)

    assert truth(cloud, volume)["state"] == "detached"
    change.cancel()


def test_a_change_that_shows_is_made_again_if_an_older_one_would_undo_it(
    controller: Controller, cloud: SimulatorProcess, administrator: Administrator, volume: str
) -> None:  # N10, S5
    cloud.add_fault(fault="hang", operation=UPDATE, count=1)
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        controller.ControllerModifyVolume(modify(volume, labels="tier=gold"), timeout=3)
    administrator.label_volume(volume, {"tier": "silver"})
    request = modify(volume, labels="tier=silver")

    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        controller.ControllerModifyVolume(request, timeout=1)
    (older,) = (
        each
        for each in cloud.operations()
        if each["state"] == "pending" and volume.split("/")[1] in str(each)
    )
    cloud.finish_operation(older["zone"], older["id"])
    as_a_sidecar_would(lambda: controller.ControllerModifyVolume(request))

    assert truth(cloud, volume)["labels"]["tier"] == "silver"


def test_labels_that_others_overwrite_meanwhile_are_written_again(
    behind: Controller,
    gate: Gate,
    cloud: SimulatorProcess,
    volume: str,
    administrator: Administrator,
) -> None:  # N10: who reads, thinks and writes beside the driver takes nothing away from it
    before = dict(truth(cloud, volume)["labels"])
    held = gate.hold("GET", volume.split("/")[1], number=3)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(behind.ControllerModifyVolume, modify(volume, labels="tier=gold"))
        with held:
            administrator.set_labels(volume, {**before, "theirs": "1"})
        answer.result()

    assert truth(cloud, volume)["labels"] == {**before, "theirs": "1", "tier": "gold"}


@pytest.mark.usefixtures("merging")
def test_what_is_modified_already_costs_no_write(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    administrator: Administrator,
    name: str,
) -> None:
    administrator.label_volume(volume, {"old": "1"})
    request = modify(
        volume, name="n-{{pv.name}}", labels="a=1", labelDeletion_1="old", **about(name)
    )
    controller.ControllerModifyVolume(request)
    cloud.clear_calls()

    controller.ControllerModifyVolume(request)

    assert cloud.operations_called() == ["get-block-storage-volume"]


def test_a_volume_in_use_can_be_modified(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    controller.ControllerPublishVolume(publish(volume, node))

    controller.ControllerModifyVolume(modify(volume, labels="tier=gold"))

    assert truth(cloud, volume)["labels"]["tier"] == "gold"


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"labels": "exoblock/protect=no"}, "exoblock/"),
        ({"labels": "Exoblock/protect=no"}, "exoblock/"),
        ({"labelDeletion_1": "EXOBLOCK/protect"}, "exoblock/"),
        ({"labelDeletion_1": "exoblock/cluster-id"}, "exoblock/"),
        ({"labelDeletion_1": "a b"}, "a b"),
        ({"labels": "a=1", "labelDeletion_1": "a"}, "both"),
        ({"name": "one-for-all"}, "pv.name"),
        ({"zone": "ch-gva-2"}, "zone"),
        ({"iops": "5000"}, "iops"),
    ],
    ids=str,
)
def test_what_may_not_be_modified_is_refused(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    parameters: dict[str, str],
    says: str,
) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, says):
        controller.ControllerModifyVolume(modify(volume, **parameters))

    assert UPDATE not in cloud.operations_called()


def test_a_volume_that_is_gone_cannot_be_modified(
    controller: Controller, cloud: SimulatorProcess
) -> None:
    for missing in (absent_id(cloud.zones[0]), "nonsense"):
        with refused(grpc.StatusCode.NOT_FOUND, missing):
            controller.ControllerModifyVolume(modify(missing, labels="a=1"))


@pytest.mark.parametrize("state", ["deleting", "deleted"])
def test_a_volume_that_goes_cannot_be_modified(
    controller: Controller, cloud: SimulatorProcess, volume: str, state: str
) -> None:  # also where it has all that is asked for
    zone, uuid = volume.split("/")
    cloud.set_volume_state(zone, uuid, state)

    for request in (modify(volume, labels="a=1"), modify(volume, labelDeletion_1="a")):
        with refused(grpc.StatusCode.NOT_FOUND, volume, state):
            controller.ControllerModifyVolume(request)


def test_a_conflict_that_nothing_explains_lets_the_user_choose_another_class(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # S4
    cloud.add_fault(fault="refuse", operation=UPDATE, status=409)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, volume):
        controller.ControllerModifyVolume(modify(volume, labels="a=1"))


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, grpc.StatusCode.PERMISSION_DENIED), (409, grpc.StatusCode.FAILED_PRECONDITION)],
)
def test_a_refused_key_is_not_taken_for_a_volume_in_use(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
    status: int,
    code: grpc.StatusCode,
) -> None:  # S4, F11
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.add_fault(fault="refuse", operation=UPDATE, status=status)

    with refused(code, volume, str(status)):
        controller.ControllerModifyVolume(modify(volume, labels="a=1"))


def test_a_change_that_is_refused_but_shows_is_made(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # requirements, section 7: a refusal is explained by reading
    cloud.set_latency("update", 0.0)
    cloud.add_fault(fault="refuse", operation=UPDATE, status=412, when="after", count=1)

    controller.ControllerModifyVolume(modify(volume, labels="a=1"))

    cloud.set_latency("update", 0.05)
    assert truth(cloud, volume)["labels"]["a"] == "1"


def test_a_change_that_the_api_takes_and_does_not_make_is_not_made(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # N10
    done = {"id": str(uuid4()), "state": "success", "reference": {"id": volume.split("/")[1]}}
    cloud.add_fault(fault="refuse", operation=UPDATE, status=200, body=json.dumps(done))

    with refused(grpc.StatusCode.UNAVAILABLE, volume, "does not show"):
        controller.ControllerModifyVolume(modify(volume, labels="tier=gold"))
    cloud.clear_faults()
    controller.ControllerModifyVolume(modify(volume, labels="tier=gold"))

    assert truth(cloud, volume)["labels"]["tier"] == "gold"


def test_a_lost_answer_of_a_change_is_settled_by_reading(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:
    cloud.add_fault(fault="drop", operation=UPDATE, when="after", count=1)

    as_a_sidecar_would(
        lambda: controller.ControllerModifyVolume(modify(volume, labels="tier=gold"))
    )

    assert truth(cloud, volume)["labels"]["tier"] == "gold"


def test_labels_that_the_api_drops_are_written_again(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # C4
    cloud.set_mode("create-labels", "dropped")
    fresh = Controller(start_controller().channel)

    for each in (name, f"{name}-second"):  # a zone that drops labels once does so again
        request = create_volume(each)
        made = as_a_sidecar_would(lambda: fresh.CreateVolume(request)).volume.volume_id  # noqa: B023 - called at once

        assert truth(cloud, made)["labels"]["exoblock/name"] == each


def test_labels_of_snapshots_that_the_api_drops_are_written_again(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C6
    cloud.set_mode("create-labels", "dropped")

    made = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot

    (seen,) = (each for each in cloud.snapshots() if made.snapshot_id.endswith(each["id"]))
    assert seen["labels"]["exoblock/name"] == name


def test_what_is_made_bears_its_labels_from_the_start(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C4, C6: a driver may die before it writes any
    made = controller.CreateVolume(create_volume(name)).volume.volume_id
    controller.CreateSnapshot(create_snapshot(name, made))

    (snapshot,) = (each for each in cloud.snapshots() if each["name"] == name)
    assert truth(cloud, made)["labels"]["exoblock/name"] == name
    assert snapshot["labels"]["exoblock/name"] == name
    assert not [each for each in cloud.operations_called() if each.startswith("update-")]


def test_whether_labels_are_kept_is_asked_once(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # S20
    fresh = Controller(start_controller().channel)
    as_a_sidecar_would(lambda: fresh.CreateVolume(create_volume(f"{name}-1")))
    cloud.clear_calls()

    fresh.CreateVolume(create_volume(f"{name}-2"))

    assert "get-block-storage-volume" not in cloud.operations_called()
