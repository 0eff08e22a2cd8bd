"""`doctor` finds one planted fault for each check, and changes nothing (N11)."""

from __future__ import annotations

import pathlib
import re

import pytest

from csi_exoblock.exoscale.routes import OPERATIONS
from csi_exoblock.tools.doctor_cloud import _NOT_TRIED, _TRIALS
from tests.apiserver.server import REVIEWS, ApiServer, Object
from tests.controller.clocks import TWO_HOURS_AHEAD
from tests.support.simulator_process import API_SECRET, SimulatorProcess, permitted_operations
from tests.tools.conftest import (
    ATTACHMENTS,
    CLASSES,
    CSI_DRIVER,
    CSI_NODES,
    NODES,
    SNAPSHOT_CLASSES,
    VOLUME_SNAPSHOTS,
    VOLUMES,
    AtDesk,
    Run,
)
from tests.tools.installed import DAEMON_SETS, DEPLOYMENTS, PODS, ago
from tests.tools.objects import (
    DRIVER,
    attachment,
    csi_node,
    node,
    persistent_volume,
    storage_class,
    volume_snapshot,
)

UNREGISTERED = (
    "nodes",
    "kubelet of n1 does not know the driver; the plugin's pod csi-exoblock-node-1 is ready",
)


def test_healthy_installation_is_one_line(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    ended = at_desk()

    assert ended.code == 0, ended.output + ended.errors
    (line,) = ended.output.splitlines()
    assert line.startswith("0 wrong, 0 not checked")


def test_everything_that_is_well_can_be_seen(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    output = at_desk("--verbose").output

    assert f"WELL  role: {len(OPERATIONS) - 1} of {len(OPERATIONS)} operations" in output
    assert "WELL  clock:" in output


@pytest.mark.fast
def test_every_operation_of_the_role_is_tried() -> None:  # N11, F14
    assert {*_TRIALS, "list-zones", _NOT_TRIED} == {*OPERATIONS}


def test_nothing_is_changed(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    volumes, snapshots = cloud.volumes(), cloud.snapshots()

    at_desk()

    assert (cloud.volumes(), cloud.snapshots()) == (volumes, snapshots)
    changes = {each.path for each in healthy.received if each.method != "GET"}
    assert all(each.startswith(REVIEWS) for each in changes)


def test_revoked_key_is_found(
    cloud: SimulatorProcess, at_desk: AtDesk, healthy: ApiServer
) -> None:  # N11
    found = at_desk("--output=json", EXOSCALE_API_KEY="EXOnobody").faults()

    assert ("zones" in dict(found)) or ("API" in dict(found))


def test_a_refused_key_is_the_keys_fault(at_desk: AtDesk, healthy: ApiServer) -> None:  # N11, F11
    ended = at_desk("--output=json", EXOSCALE_API_KEY="EXOnobody")

    (remedy,) = (each["remedy"] for each in ended.json["findings"] if each["check"] == "zones")
    assert remedy.startswith("put a valid key into the Secret")
    assert "proxy" not in remedy


@pytest.mark.parametrize(
    ("variable", "value", "says", "time"),
    [
        # There is no time to compare this host's with.
        ("EXOSCALE_API_ENDPOINT", "http://127.0.0.1:1/v2", "Connection refused", ["clock"]),
        ("EXOSCALE_API_KEY", "EXOnobody", "Invalid request signature", []),
    ],
    ids=["API down", "wrong key"],
)
def test_api_that_fails_is_told_once_and_asked_once(
    healthy: ApiServer,
    cloud: SimulatorProcess,
    at_desk: AtDesk,
    variable: str,
    value: str,
    says: str,
    time: list[str],
) -> None:  # N11
    healthy.lists[CSI_NODES] = []

    ended = at_desk(
        "--output=json", **{"CSI_EXOBLOCK_DEFAULT_ZONE": cloud.zones[0], variable: value}
    )

    (first, *others) = ended.faults()
    assert first[0] == "zones"
    assert says in first[1]
    assert others == [UNREGISTERED]
    assert [check for check, _ in ended.skipped()] == [
        "API", *time, "role", "quotas", "classes", "nodes", "volumes",
    ]  # fmt: skip


@pytest.mark.parametrize("operation", ["get-instance-type", "resize-block-storage-volume"])
def test_missing_right_is_named(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk, operation: str
) -> None:  # N11, F14
    cloud.put_key(
        "EXOless", API_SECRET, [each for each in permitted_operations() if each != operation]
    )

    found = at_desk("--output=json", EXOSCALE_API_KEY="EXOless").faults()

    assert [check for check, says in found if says.startswith(f"{operation} is refused")] == [
        "role"
    ]


def test_silent_zone_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    cloud.add_fault(
        fault="refuse", status=500, operation="list-block-storage-volumes", zone=cloud.zones[1]
    )

    found = at_desk("--output=json", "--time-scale=0.2").faults()

    assert any(check == "API" and cloud.zones[1] in says for check, says in found)


def test_slow_zone_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    cloud.add_fault(  # once, as a list that takes too long is asked for again
        fault="delay",
        seconds=3.5,
        operation="list-block-storage-volumes",
        zone=cloud.zones[1],
        count=1,
    )

    found = at_desk("--output=json", "--time-scale=0.5").faults()

    assert any(
        check == "API" and says.startswith(f"zone {cloud.zones[1]} lists 0 volumes in ")
        for check, says in found
    )


def test_wrong_clock_is_found(
    healthy: ApiServer, at_desk: AtDesk, tmp_path: pathlib.Path
) -> None:  # N11
    (tmp_path / "sitecustomize.py").write_text(TWO_HOURS_AHEAD)

    found = at_desk("--output=json", PYTHONPATH=str(tmp_path)).faults()

    ((check, says),) = found  # the cluster's leaders are compared with the cloud's time
    assert check == "clock"
    assert re.fullmatch(r"this host's clock is 72\d\d s ahead of the API's", says)


def test_quota_that_is_nearly_used_up_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    before = cloud.quotas()["block-storage-volume"]
    cloud.set_quota("block-storage-volume", 0)

    found = at_desk("--output=json").faults()
    cloud.set_quota("block-storage-volume", before)

    assert [check for check, _ in found] == ["quotas"]


def test_absent_csi_driver_is_found(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    del healthy.objects[CSI_DRIVER]

    assert at_desk("--output=json").faults() == [("CSIDriver", f"there is none named {DRIVER}")]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"attachRequired": False}, "attachRequired is false, so no volume is ever attached"),
        ({"fsGroupPolicy": "None"}, "fsGroupPolicy is None"),
    ],
)
def test_csi_driver_of_another_version_is_found(
    healthy: ApiServer, at_desk: AtDesk, setting: Object, says: str
) -> None:  # N11
    healthy.objects[CSI_DRIVER]["spec"].update(setting)

    assert at_desk("--output=json").faults() == [("CSIDriver", says)]


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ([], f"no StorageClass has provisioner {DRIVER}"),
        ([storage_class(mode="Immediate")], "exoblock binds immediately, in a cluster of 2 zones"),
        ([storage_class(expand=False)], "exoblock does not allow expansion"),
    ],
)
def test_class_that_does_harm_is_found(
    healthy: ApiServer, at_desk: AtDesk, classes: list[Object], says: str
) -> None:  # N11
    healthy.lists[CLASSES] = classes

    assert at_desk("--output=json").faults() == [("classes", says)]


def test_node_that_kubelet_did_not_register_is_found(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    healthy.lists[CSI_NODES] = []

    found = at_desk("--output=json").faults()

    assert found == [UNREGISTERED]


def test_node_that_promises_too_many_volumes_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11, S9
    healthy.lists[CSI_NODES] = [csi_node("n1", 500)]

    ((check, says),) = at_desk("--output=json").faults()

    assert check == "nodes"
    assert says.startswith("n1 promises 500 volumes")


def test_nodes_that_the_daemon_sets_leave_out_are_no_fault(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11: the chart leaves out small instances, and those that nodeSelector does
    tiny, other = (cloud.add_instance(cloud.zones[0], size=each) for each in ("tiny", "large"))
    healthy.lists[NODES] += [node("n2", tiny, cloud.zones[0]), node("n3", other, cloud.zones[0])]

    ended = at_desk("--output=json")

    assert ended.faults() == []
    assert ended.skipped() == [("nodes", "the DaemonSets leave out 2: n2, n3")]


def test_plugin_that_no_node_is_to_have_is_found(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11: then no volume can be attached at all
    healthy.lists[PODS] = [
        each for each in healthy.lists[PODS] if "controller" in each["metadata"]["name"]
    ]
    healthy.lists[DAEMON_SETS][0]["status"]["desiredNumberScheduled"] = 0

    says = "no node is to have the plugin: the DaemonSets leave out n1"
    assert ("nodes", says) in at_desk("--output=json").faults()


def test_node_whose_plugin_is_missing_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    other = cloud.add_instance(cloud.zones[0])
    healthy.lists[NODES].append(node("n2", other, cloud.zones[0]))
    healthy.lists[DAEMON_SETS][0]["status"]["desiredNumberScheduled"] = 2

    found = at_desk("--output=json").faults()

    says = "kubelet of n2 does not know the driver; no pod of the plugin is there"
    assert ("nodes", says) in found


def test_node_that_is_too_small_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    tiny = cloud.add_instance(cloud.zones[0], size="tiny")
    healthy.lists[NODES] = [node("n1", tiny, cloud.zones[0])]

    assert at_desk("--output=json").faults() == [
        ("nodes", "n1 has size tiny, which takes no volumes")
    ]


def test_node_that_no_cloud_controller_labelled_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11, S10
    del healthy.lists[NODES][0]["metadata"]["labels"]

    ((check, says),) = at_desk("--output=json").faults()

    assert (check, says.partition(":")[0]) == ("nodes", "n1")
    assert "zone ''" in says


def test_node_without_instance_id_is_found_unless_kubelet_knows_the_driver(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11, S10
    healthy.lists[NODES][0]["spec"] = {}

    assert at_desk("--output=json").faults() == []
    healthy.lists[CSI_NODES] = []

    assert at_desk("--output=json").faults() == [
        ("nodes", "n1 has no providerID, and its kubelet does not know the driver")
    ]


def test_node_of_another_cloud_is_left_alone(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    healthy.lists[NODES].append({"metadata": {"name": "n2"}, "spec": {"providerID": "other://2"}})

    assert at_desk("--output=json").faults() == []


def test_dead_node_that_another_provider_named_is_found(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11, S10
    healthy.lists[NODES][0]["spec"] = {"providerID": "k3s://n1"}
    healthy.lists[NODES][0]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    healthy.lists[ATTACHMENTS] = [attachment("pv", "n1")]

    assert ("nodes", "n1 is not ready, and has volumes attached") in at_desk(
        "--output=json"
    ).faults()


def test_key_of_another_organisation_is_no_reason_to_delete_all_nodes(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11: it knows no instance of this cluster
    unknown = (f"00000000-0000-0000-0000-00000000000{each}" for each in (1, 2))
    healthy.lists[NODES] = [
        node(f"n{ordinal}", each, cloud.zones[0]) for ordinal, each in enumerate(unknown, 1)
    ]
    healthy.lists[CSI_NODES] = [csi_node(each, 5) for each in ("n1", "n2")]

    ended = at_desk()

    assert "the API knows none of the 2 instances of this cluster" in ended.output
    assert "kubectl delete node" not in ended.output


def test_node_whose_instance_was_deleted_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11, S1
    gone = "00000000-0000-0000-0000-00000000abcd"
    healthy.lists[NODES] = [node("n1", gone, cloud.zones[0])]

    assert at_desk("--output=json").faults() == [
        ("nodes", f"n1 has no instance any more: zone {cloud.zones[0]} has no {gone}")
    ]


def test_snapshots_that_no_snapshot_controller_cares_for_are_found(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11: the controller is not the driver's, and can run anywhere
    healthy.lists[VOLUME_SNAPSHOTS] = [
        volume_snapshot("young", created=ago(seconds=30)),
        volume_snapshot("taken", content="snapcontent-1"),
        volume_snapshot("foreign", class_name="other"),
        volume_snapshot("unclear", class_name=""),
        volume_snapshot("forgotten", created=ago(hours=3, minutes=1)),
    ]

    assert at_desk("--output=json").faults() == [
        ("snapshots", "shop/forgotten has had no VolumeSnapshotContent for 3h")
    ]


def test_snapshots_without_a_class_have_the_default_one(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    default = {"snapshot.storage.kubernetes.io/is-default-class": "true"}
    healthy.lists[SNAPSHOT_CLASSES][0]["metadata"]["annotations"] = default
    waiting = volume_snapshot("s", created=ago(hours=3, minutes=1), class_name="")
    healthy.lists[VOLUME_SNAPSHOTS] = [waiting]

    assert at_desk("--output=json").faults() == [
        ("snapshots", "shop/s has had no VolumeSnapshotContent for 3h")
    ]


def test_in_a_pod_snapshots_are_not_asked_for_without_the_right(
    run: Run, healthy: ApiServer
) -> None:  # N11, S23
    healthy.withheld.add(("", "list", "volumesnapshots"))

    ended = run("doctor", "--output=json")

    assert ended.faults() == []
    assert VOLUME_SNAPSHOTS not in {each.path for each in healthy.received}
    assert [check for check, _ in ended.skipped()] == ["snapshots"]


def test_what_many_nodes_share_is_read_once(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11, S20
    zone = cloud.zones[0]
    healthy.lists[NODES] = [node(f"n{each}", cloud.add_instance(zone), zone) for each in range(9)]
    healthy.lists[CSI_NODES] = [csi_node(f"n{each}", 5) for each in range(9)]
    cloud.clear_calls()

    assert at_desk().code == 0

    called = cloud.operations_called()
    of_role = of_quotas = 1  # the other checks read each of them as well
    assert called.count("list-quotas") == 1 + of_role + of_quotas
    assert called.count("get-instance-type") == 1 + of_role


def test_kubernetes_is_asked_once_for_each_kind(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    assert at_desk().code == 0

    asked = [each.path for each in healthy.received if each.method == "GET"]
    twice = {each for each in asked if asked.count(each) > 1}
    assert twice == {PODS}  # with the labels of either workload


def test_dead_node_with_volumes_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11, S1
    instance = healthy.lists[NODES][0]["spec"]["providerID"].removeprefix("exoscale://")
    healthy.lists[NODES] = [node("n1", instance, cloud.zones[0], ready=False)]
    healthy.lists[ATTACHMENTS] = [attachment("elsewhere", "n1")]

    assert at_desk("--output=json").faults() == [
        ("nodes", "n1 is not ready, and has volumes attached")
    ]


def test_what_status_marks_is_found(
    cloud: SimulatorProcess, healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11, N20
    gone = f"{cloud.zones[0]}/00000000-0000-0000-0000-000000000001"
    healthy.lists[VOLUMES] = [persistent_volume("pv", gone, claim="data")]

    found = at_desk("--output=json").faults()

    assert found == [("volumes", "shop/data: the volume does not exist")]


def test_in_a_pod_kubernetes_is_not_asked_for_what_its_account_may_not_read(
    run: Run, healthy: ApiServer
) -> None:  # N11, S23
    healthy.withheld |= {("", "get", "csidrivers"), ("", "list", "deployments")}

    ended = run("doctor", "--output=json")

    assert ended.faults() == []
    asked = {each.path for each in healthy.received}
    assert NODES in asked
    assert asked.isdisjoint({CSI_DRIVER, DEPLOYMENTS})
    assert ended.skipped() == [
        (check, f"not checked here, because this service account may not {right}")
        for check, right in [
            ("CSIDriver", "get csidrivers.storage.k8s.io"),
            ("sidecars", "list deployments.apps"),
            ("pods", "list deployments.apps"),
            ("leaders", "list deployments.apps"),
            ("rights", "list deployments.apps"),
        ]
    ]


def test_what_a_kubeconfig_may_not_read_is_not_checked(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    healthy.denied.add(("GET", CLASSES))

    assert "classes" in dict(at_desk("--output=json").skipped())
