"""`doctor` finds one planted fault for each check of the driver's own pods (N11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from csi_exoblock.kubernetes.access import Right
from csi_exoblock.kubernetes.workloads import Workload
from csi_exoblock.tools.doctor_rights import needed_by
from csi_exoblock.tools.doctor_sidecars import FLAGS, TESTED
from tests.apiserver.server import ApiServer, Object
from tests.tools.conftest import SNAPSHOT_CLASSES, SNAPSHOTS, AtDesk
from tests.tools.installed import (
    DAEMON_SETS,
    DEPLOYMENTS,
    LEASES,
    MANIFESTS,
    NAMESPACE,
    PODS,
    ago,
    condition,
    containers,
    manifest,
    pod,
)
from tests.tools.objects import DRIVER

POD = "csi-exoblock-controller-1"


def controller(cluster: ApiServer, container: str) -> Any:
    """Return a container of the Deployment's template."""
    return named(containers(cluster.lists[DEPLOYMENTS][0]), container)


def status(cluster: ApiServer, container: str) -> Any:
    """Return the status of a container of the controller's pod."""
    return named(cluster.lists[PODS][0]["status"]["containerStatuses"], container)


def named(found: list[Any], name: str) -> Any:
    (only,) = (each for each in found if each["name"] == name)
    return only


def found(at_desk: AtDesk, check: str) -> str:
    """Return the text of the only fault, which is this check's."""
    ((name, says),) = at_desk("--output=json").faults()
    assert name == check
    return says


def test_installation_without_label_is_not_checked(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    healthy.lists[DEPLOYMENTS] = healthy.lists[DAEMON_SETS] = []

    ended = at_desk("--output=json")

    assert ended.faults() == []
    assert [check for check, _ in ended.skipped()] == ["pods"]


def test_pods_of_another_driver_are_left_alone(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    driver = controller(healthy, "csi-exoblock")
    driver["args"] = [each.replace(DRIVER, "other.example.com") for each in driver["args"]]
    controller(healthy, "csi-attacher")["image"] = "registry.example.com/csi-attacher:v1.0.0"

    assert at_desk("--output=json").faults() == []


def test_absent_sidecar_is_found(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    containers(healthy.lists[DEPLOYMENTS][0]).remove(controller(healthy, "csi-resizer"))

    assert found(at_desk, "sidecars") == "there is no csi-resizer"


def test_snapshotter_is_missed_where_a_class_needs_it(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    containers(healthy.lists[DEPLOYMENTS][0]).remove(controller(healthy, "csi-snapshotter"))

    assert found(at_desk, "sidecars") == (
        "there is no csi-snapshotter, but VolumeSnapshotClass exoblock needs it"
    )


@pytest.mark.parametrize("has_classes", [True, False], ids=["snapshotter: false", "no CRDs"])
def test_without_snapshots_no_snapshotter_is_missed(
    healthy: ApiServer, at_desk: AtDesk, has_classes: bool
) -> None:  # N11, F6
    containers(healthy.lists[DEPLOYMENTS][0]).remove(controller(healthy, "csi-snapshotter"))
    healthy.lists[SNAPSHOT_CLASSES] = [
        {"metadata": {"name": "other"}, "driver": "other.example.com"}
    ]
    if not has_classes:
        del healthy.objects[SNAPSHOTS], healthy.lists[SNAPSHOT_CLASSES]

    assert at_desk("--output=json").faults() == []


@pytest.mark.parametrize(
    "image",
    [
        "registry.example.com/mirror/sig-storage--csi-attacher:v4.13.0",
        "registry.example.com/3f5c0d@sha256:0123",
    ],
    ids=["prefix", "digest"],
)
def test_mirrored_sidecar_is_known(
    healthy: ApiServer, at_desk: AtDesk, image: str
) -> None:  # N11, F3
    controller(healthy, "csi-attacher")["image"] = image

    assert at_desk("--output=json").faults() == []


def test_sidecar_in_a_container_of_another_name_is_known(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    controller(healthy, "csi-attacher")["name"] = "attacher"

    assert at_desk("--output=json").faults() == []


@pytest.mark.parametrize("digest", ["", "@sha256:0123"])
def test_old_sidecar_is_found(healthy: ApiServer, at_desk: AtDesk, digest: str) -> None:  # N11
    image = f"registry.example.com:5000/sig-storage/csi-attacher:v4.8.1{digest}"
    controller(healthy, "csi-attacher")["image"] = image

    assert found(at_desk, "sidecars").startswith("csi-attacher v4.8.1 is older than v4.13")


@pytest.mark.parametrize(
    ("sidecar", "flag", "says"),
    [
        ("csi-provisioner", "--strict-topology", "without --strict-topology=true"),
        ("csi-attacher", "--timeout=180s", "without --timeout"),
        ("csi-resizer", "--handle-volume-inuse-error=false", "without --handle-volume-inuse-error"),
    ],
)
def test_sidecar_without_a_flag_is_found(
    healthy: ApiServer, at_desk: AtDesk, sidecar: str, flag: str, says: str
) -> None:  # N11
    controller(healthy, sidecar)["args"].remove(flag)

    assert f"{sidecar} runs {says}" in found(at_desk, "sidecars")


def test_replicas_that_elect_no_leader_are_found(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11, F16
    controller(healthy, "csi-attacher")["args"].remove("--leader-election")

    assert "without --leader-election" in found(at_desk, "sidecars")


@pytest.mark.fast
def test_versions_and_flags_are_those_of_the_chart() -> None:  # N11
    deployment = Workload.parse(manifest("Deployment"))
    sidecars = {each.sidecar: each for each in deployment.containers[1:]}

    assert sidecars.keys() == TESTED.keys()
    for name, sidecar in sidecars.items():
        assert sidecar.tag.startswith("v{}.{}.".format(*TESTED[name]))
        for flag, value in FLAGS[name].items():
            assert sidecar.flags[flag] == value or not value


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [("OOMKilled", "raise its memory limit"), ("Error", "--container csi-exoblock --previous")],
)
def test_container_that_restarted_lately_is_found(
    healthy: ApiServer, at_desk: AtDesk, reason: str, remedy: str
) -> None:  # N11
    driver = status(healthy, "csi-exoblock")
    driver["restartCount"] = 3
    driver["lastState"] = {
        "terminated": {"finishedAt": ago(minutes=5, seconds=30), "reason": reason}
    }

    ended = at_desk("--output=json")

    ((_, says),) = ended.faults()
    assert says == (
        f"csi-exoblock in {POD} on node n1 has restarted 3 times, the last time 5m ago: {reason}"
    )
    assert any(each["remedy"].endswith(remedy) for each in ended.json["findings"])


def test_restart_of_long_ago_is_none(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    status(healthy, "csi-attacher")["lastState"] = {"terminated": {"finishedAt": ago(days=3)}}

    assert at_desk("--output=json").faults() == []


def test_container_that_does_not_start_is_found(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    status(healthy, "csi-attacher")["state"] = {"waiting": {"reason": "ImagePullBackOff"}}

    assert found(at_desk, "pods").endswith("does not run: ImagePullBackOff")


def test_init_container_that_fails_is_found(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    crashing = {"name": "wait", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    waiting = {"name": "csi-exoblock", "state": {"waiting": {"reason": "PodInitializing"}}}
    not_ready(healthy.lists[PODS][1])["status"] |= {
        "initContainerStatuses": [crashing],
        "containerStatuses": [waiting],
    }

    assert found(at_desk, "pods") == (
        "wait in csi-exoblock-node-1 on node n1 does not run: CrashLoopBackOff"
    )


def test_pod_that_is_not_ready_is_found(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11, N14
    not_ready(healthy.lists[PODS][0])

    assert found(at_desk, "pods") == f"{POD} on node n1 has not been ready for 3h: it does not work"


def test_pod_that_has_no_place_is_found(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    homeless = healthy.lists[PODS][0]
    del homeless["spec"]["nodeName"]
    full = condition(
        "PodScheduled", message="0/1 nodes are available", since=ago(minutes=9, seconds=30)
    )
    homeless["status"] = {"phase": "Pending", "conditions": [full]}

    assert found(at_desk, "pods") == f"{POD} has had no node for 9m: 0/1 nodes are available"


def test_pod_that_starts_might_become_ready(healthy: ApiServer, at_desk: AtDesk) -> None:  # N11
    starting = not_ready(healthy.lists[PODS][1], since=ago(seconds=20))
    starting["status"]["containerStatuses"][0]["state"] = {
        "waiting": {"reason": "ContainerCreating"}
    }

    ended = at_desk("--output=json")

    assert ended.faults() == []
    ((check, says),) = ended.skipped()
    assert (check, says.partition(" for ")[0]) == (
        "pods",
        "csi-exoblock-node-1 on node n1 has not been ready",
    )


@pytest.mark.parametrize(
    ("workload", "pods", "says"),
    [
        (DEPLOYMENTS, "csi-exoblock-controller-2", "csi-exoblock-controller has 1 of 2 pods"),
        (DAEMON_SETS, "csi-exoblock-node-1", "csi-exoblock-node has 0 of 1 pods"),
    ],
)
def test_pod_that_is_not_made_is_found(
    healthy: ApiServer, at_desk: AtDesk, workload: str, pods: str, says: str
) -> None:  # N11
    (missing,) = (each for each in healthy.lists[PODS] if each["metadata"]["name"] == pods)
    healthy.lists[PODS].remove(missing)

    assert found(at_desk, "pods") == says


def test_evicted_pod_whose_place_is_taken_is_none(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    evicted = pod(healthy.lists[DEPLOYMENTS][0], 3)
    evicted["status"] = {"phase": "Failed", "reason": "Evicted"}
    leaving = not_ready(pod(healthy.lists[DEPLOYMENTS][0], 4))
    leaving["metadata"]["deletionTimestamp"] = ago(minutes=3)
    healthy.lists[PODS] += [evicted, leaving]

    assert at_desk("--output=json").faults() == []


def test_controller_that_is_scaled_away_is_found(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    healthy.lists[DEPLOYMENTS][0]["spec"]["replicas"] = 0
    healthy.lists[PODS] = [healthy.lists[PODS][1]]

    assert found(at_desk, "pods").startswith("csi-exoblock-controller is scaled to 0 pods")


def test_where_no_controller_runs_its_leaders_are_not_missed(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11: the remedy would be the log of pods that do not exist
    healthy.lists[PODS] = [healthy.lists[PODS][1]]
    for each in healthy.lists[LEASES]:
        each["spec"]["renewTime"] = ago(hours=2)

    ended = at_desk("--output=json")

    assert ended.faults() == [("pods", "csi-exoblock-controller has 0 of 2 pods")]
    assert ended.skipped() == [("leaders", "no pod of the controller is ready, see pods")]


def not_ready(pod: Object, *, since: str = "") -> Object:
    """Have a pod not be ready, by default for hours."""
    unmet = condition("Ready", message="it does not work", since=since or ago(hours=3, minutes=1))
    pod["status"]["conditions"] = [condition("PodScheduled"), unmet]
    return pod


def test_sidecar_that_is_older_than_the_socket_is_found(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11
    ran = {"startedAt": ago(hours=4), "finishedAt": ago(hours=2)}
    driver = status(healthy, "csi-exoblock")
    driver |= {
        "restartCount": 1,
        "state": {"running": {"startedAt": ago(hours=2)}},
        "lastState": {"terminated": ran},
    }
    for name in ("csi-provisioner", "csi-resizer", "csi-snapshotter"):
        status(healthy, name)["state"] = {"running": {"startedAt": ago(hours=1)}}

    assert found(at_desk, "pods").startswith(f"csi-attacher in {POD} is older than the driver's")


def test_sidecar_that_waited_for_a_driver_that_could_not_start_is_in_order(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11: its Secret was wrong, and is right now
    ran = {"startedAt": ago(hours=2, seconds=2), "finishedAt": ago(hours=2, seconds=1)}
    status(healthy, "csi-exoblock").update(
        restartCount=6,
        state={"running": {"startedAt": ago(hours=2)}},
        lastState={"terminated": {**ran, "reason": "Error"}},
    )

    assert at_desk("--output=json").faults() == []


def test_container_that_does_not_use_the_socket_may_be_older(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11: such as the proxy that a mesh injects
    restarted = {
        "restartCount": 1,
        "state": {"running": {"startedAt": ago(hours=3)}},
        "lastState": {"terminated": {"startedAt": ago(days=1), "finishedAt": ago(hours=3)}},
    }
    of_node = healthy.lists[PODS][1]["status"]["containerStatuses"]
    named(of_node, "csi-exoblock").update(restarted)
    of_node.append({"name": "istio-proxy", "state": {"running": {"startedAt": ago(days=2)}}})

    assert at_desk("--output=json").faults() == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda lease: lease.update(holderIdentity=""), "no replica of csi-attacher leads"),
        (
            lambda lease: lease.update(renewTime=ago(minutes=10)),
            f"{POD} leads csi-attacher, and has not renewed external-attacher-leader-",
        ),
    ],
    ids=["none", "silent"],
)
def test_sidecar_without_a_leader_is_found(
    healthy: ApiServer, at_desk: AtDesk, spoil: Callable[[Object], None], says: str
) -> None:  # N11, F16
    name = "external-attacher-leader-exoblock-csi-exoscale-com"
    (lease,) = (each for each in healthy.lists[LEASES] if each["metadata"]["name"] == name)
    spoil(lease["spec"])

    assert found(at_desk, "leaders").startswith(says)


def test_pod_that_leads_all_and_does_nothing_is_one_fault(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11: a cause is told once
    for each in healthy.lists[LEASES]:
        each["spec"]["renewTime"] = ago(minutes=10, seconds=30)  # the API's clock has whole seconds

    says = found(at_desk, "leaders")

    assert says.startswith(f"{POD} leads csi-")
    assert says.count("csi-") >= 4
    assert says.endswith(" for 10m")


def test_leader_on_a_node_whose_clock_is_behind_leads(
    healthy: ApiServer, at_desk: AtDesk
) -> None:  # N11: by as much as the check of the clock tolerates
    for each in healthy.lists[LEASES]:
        each["spec"]["renewTime"] = ago(seconds=40)

    assert at_desk("--output=json").faults() == []


@pytest.mark.parametrize(
    ("account", "verb", "resource", "program"),
    [
        ("controller", "patch", "volumeattachments/status", "csi-attacher"),
        ("controller", "update", "leases", "controller"),
        ("node", "get", "csinodes", "node"),
    ],
)
def test_missing_right_of_an_account_is_found(
    healthy: ApiServer, at_desk: AtDesk, account: str, verb: str, resource: str, program: str
) -> None:  # N11, S23
    healthy.withheld.add((f"{NAMESPACE}/csi-exoblock-{account}", verb, resource))

    says = found(at_desk, "rights")

    assert says.startswith(f"service account {NAMESPACE}/csi-exoblock-{account} may not {verb} ")
    assert says.endswith(f", as {program} must")


@pytest.mark.fast
@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
def test_rights_that_are_checked_are_those_of_the_chart(kind: str) -> None:  # N11, S23
    is_node = kind == "DaemonSet"
    roles = {role: rights for role, rights in roles_of_chart() if ("node" in role) == is_node}

    needed = {key(right) for _, right in needed_by(Workload.parse(manifest(kind)))}

    assert needed <= {each for rights in roles.values() for each in rights}
    for role, rights in roles.items():
        assert needed & rights, f"no right of {role} is checked"


def roles_of_chart() -> list[tuple[str, set[tuple[str, str, str]]]]:
    manifests = yaml.safe_load_all(MANIFESTS.read_text())
    roles = [each for each in manifests if each["kind"] in ("Role", "ClusterRole")]
    return [
        (
            f"{each['kind']} {each['metadata']['name']}",
            {
                (group, resource, verb)
                for rule in each["rules"]
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            },
        )
        for each in roles
    ]


def key(right: Right) -> tuple[str, str, str]:
    return right.group, right.resource, right.verb
