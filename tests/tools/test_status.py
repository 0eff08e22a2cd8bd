"""`status` joins cloud and cluster, and marks what does not fit together (N20)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.apiserver.server import ApiServer
from tests.support.simulator_process import SimulatorProcess
from tests.tools.conftest import (
    ATTACHMENTS,
    CLAIMS,
    CONTENTS,
    CSI_NODES,
    NODES,
    VOLUMES,
    Run,
    make_volume,
)
from tests.tools.objects import (
    attachment,
    claim,
    csi_node,
    node,
    persistent_volume,
    snapshot_content,
)

INSTANCE = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"


@pytest.fixture
def volume(cloud: SimulatorProcess, cluster: ApiServer) -> dict[str, Any]:
    """A volume of 1 GiB that is the claim `data`'s, and in order."""
    made = make_volume(cloud, "pv")
    cluster.lists[VOLUMES] = [persistent_volume("pv", made["handle"], claim="data")]
    cluster.lists[CLAIMS] = [claim("data", volume="pv")]
    return made


@pytest.fixture
def there(cloud: SimulatorProcess, cluster: ApiServer, volume: dict[str, Any]) -> str:
    """An instance that has the volume, in the cloud and in Kubernetes."""
    instance = cloud.add_instance(cloud.zones[0])
    cluster.lists[NODES] = [node("n1", instance), node("n2", INSTANCE)]
    cluster.lists[ATTACHMENTS] = [attachment("pv", "n1")]
    cloud.set_volume_state(cloud.zones[0], volume["id"], "attached", instance=instance)
    return instance


def notes(run: Run) -> list[tuple[bool, str]]:
    """Return of each note whether something is wrong, and what."""
    ended = run("status", "--output=json")
    found = [each for row in ended.json["volumes"] for each in row["notes"]]
    assert ended.code == int(any(each["is_wrong"] for each in found))
    return [(each["is_wrong"], each["text"]) for each in found]


def test_what_is_in_order_is_one_row_without_a_note(
    run: Run, volume: dict[str, Any], there: str
) -> None:  # N20
    ended = run("status")

    assert ended.code == 0, ended.errors
    (row,) = ended.output.splitlines()[1:]
    assert row.split()[:-1] == ["shop/data", volume["handle"], "1/1/1", "ext4", "attached", "n1"]
    assert row.split()[-1] == "-"


def test_claim_waits_for_a_pod(run: Run, cluster: ApiServer) -> None:  # N20
    cluster.lists[CLAIMS] = [claim("data")]

    assert notes(run) == [(False, "a pod that uses it; see the claim's events")]


def test_claim_waits_for_its_volume(run: Run, cluster: ApiServer) -> None:  # N20
    cluster.lists[CLAIMS] = [claim("data", **{"volume.kubernetes.io/selected-node": "n1"})]

    assert notes(run) == [(False, "its volume; see the claim's events")]


def test_claim_whose_persistent_volume_is_gone_is_wrong(
    run: Run, cluster: ApiServer
) -> None:  # N20
    lost = claim("data", volume="pv", asked="3Gi", has="2Gi")
    lost["status"]["phase"] = "Lost"
    bound = claim("new", volume="made-since-the-volumes-were-read")
    bound["status"]["phase"] = "Bound"
    elsewhere = claim("other", volume="nfs")
    elsewhere["status"]["phase"], elsewhere["spec"]["storageClassName"] = "Lost", "nfs"
    cluster.lists[CLAIMS] = [lost, bound, elsewhere]

    ended = run("status", "--output=json")

    (row,) = ended.json["volumes"]
    assert ended.code == 1
    assert (row["claim"], row["persistent_volume"]) == ("shop/data", "pv")
    assert (row["asked_gib"], row["known_gib"]) == (3, 2)
    (note,) = row["notes"]
    assert note["is_wrong"]
    assert note["text"].startswith("its PersistentVolume pv is gone")


def test_volume_that_names_no_zone_is_told(
    run: Run, cluster: ApiServer, volume: dict[str, Any], there: str
) -> None:  # N20, S12: somebody made it, and forgot where its pods can run
    made = persistent_volume("pv", volume["handle"], claim="data", nodeAffinity=None)
    cluster.lists[VOLUMES] = [made]

    assert notes(run) == [
        (
            False,
            "it has no nodeAffinity, so its pod can be put into another zone; "
            "see docs/static-volumes.md",
        )
    ]


def test_volume_of_a_deleted_claim_is_not_mated_with_a_new_claim_of_its_name(
    run: Run, cluster: ApiServer, volume: dict[str, Any]
) -> None:  # N20: reclaimPolicy Retain
    cluster.lists[CLAIMS] = [claim("data", volume="another", asked="20Gi", has="20Gi")]
    cluster.lists[VOLUMES][0]["status"]["phase"] = "Released"

    assert notes(run) == [(False, "nothing: its claim is gone, and Kubernetes keeps it")]


def test_growth_waits_for_the_pod(
    run: Run, cloud: SimulatorProcess, cluster: ApiServer, volume: dict[str, Any], there: str
) -> None:  # N20, N1
    cluster.lists[CLAIMS] = [claim("data", volume="pv", asked="3Gi")]
    note = f"3-{int(time.time())}"
    cloud.relabel_volume(cloud.zones[0], volume["id"], {"exoblock/pending-size": note})

    assert notes(run) == [(False, "its pod to be replaced, then it grows to 3 GiB")]


def test_growth_that_nobody_noted_is_wrong(
    run: Run, cluster: ApiServer, volume: dict[str, Any]
) -> None:  # N20
    cluster.lists[CLAIMS] = [claim("data", volume="pv", asked="3Gi")]

    assert notes(run) == [(True, "growth to 3 GiB; see the claim's events")]


def test_volume_that_is_gone_is_wrong(
    run: Run, cluster: ApiServer, cloud: SimulatorProcess
) -> None:  # N20
    gone = f"{cloud.zones[0]}/{INSTANCE}"
    cluster.lists[VOLUMES] = [persistent_volume("pv", gone, claim="data")]

    assert notes(run) == [(True, "the volume does not exist")]


def test_volume_in_error_is_wrong(
    run: Run, cloud: SimulatorProcess, volume: dict[str, Any]
) -> None:  # N20
    cloud.set_volume_state(cloud.zones[0], volume["id"], "error")

    ((wrong, text),) = notes(run)

    assert wrong
    assert "state error" in text


def test_detach_that_does_not_end_says_why(
    run: Run, cluster: ApiServer, volume: dict[str, Any], there: str
) -> None:  # N20
    cluster.lists[ATTACHMENTS] = [attachment("pv", "n1", leaving=True, error="it is busy")]

    assert notes(run) == [(True, "detach from n1 (it is busy)")]


def test_attach_under_way_is_a_wait(
    run: Run, cluster: ApiServer, volume: dict[str, Any]
) -> None:  # N20
    cluster.lists[ATTACHMENTS] = [attachment("pv", "n1", attached=False)]

    assert notes(run) == [(False, "attach to n1")]


def test_cloud_and_kubernetes_disagree_where_it_is(
    run: Run, cluster: ApiServer, cloud: SimulatorProcess, volume: dict[str, Any], there: str
) -> None:  # N20
    cluster.lists[ATTACHMENTS] = [attachment("pv", "n2")]

    assert notes(run) == [(True, "Kubernetes has it at n2, the cloud at n1")]


def test_node_that_no_cloud_controller_named_is_known_by_the_drivers_own_id(
    run: Run, cluster: ApiServer, cloud: SimulatorProcess, volume: dict[str, Any], there: str
) -> None:  # N20, S10
    cluster.lists[NODES] = [{"metadata": {"name": "n1"}, "spec": {"providerID": "k3s://n1"}}]
    cluster.lists[CSI_NODES] = [csi_node("n1", 5, id=f"{cloud.zones[0]}/{there}")]

    assert notes(run) == []


def test_attached_in_kubernetes_alone_is_wrong(
    run: Run, cluster: ApiServer, volume: dict[str, Any]
) -> None:  # N20
    cluster.lists[ATTACHMENTS] = [attachment("pv", "n1")]

    assert notes(run) == [(True, "Kubernetes has it at n1, the cloud nowhere")]


def test_attached_in_the_cloud_alone_is_wrong(
    run: Run, cluster: ApiServer, volume: dict[str, Any], there: str
) -> None:  # N20
    cluster.lists[ATTACHMENTS], cluster.lists[NODES] = [], []

    assert notes(run) == [
        (True, f"attached to instance {there}, which is no node, without VolumeAttachment")
    ]


def test_snapshot_that_is_not_ready_is_shown(
    run: Run, cluster: ApiServer, volume: dict[str, Any]
) -> None:  # N20
    cluster.lists[CONTENTS] = [snapshot_content("s1", volume["handle"], error="quota")]

    assert notes(run) == [(True, "snapshot shop/s1 (quota)")]


def test_age_of_a_wait_is_told(run: Run, cluster: ApiServer) -> None:  # N20
    cluster.lists[CLAIMS] = [claim("data")]

    (row,) = run("status").output.splitlines()[1:]

    assert row.endswith("d")
    assert "a pod that uses it; see the claim's events, for " in row


def test_other_drivers_are_not_shown(run: Run, cluster: ApiServer) -> None:  # N20
    cluster.lists[VOLUMES] = [persistent_volume("pv", "a/b", driver="other", claim="data")]

    assert run("status").output == "no volumes\n"


def test_zone_that_can_not_be_read_is_told_and_its_volumes_are_not_gone(
    run: Run, cloud: SimulatorProcess, volume: dict[str, Any]
) -> None:  # N20, S12
    cloud.add_fault(
        fault="refuse", status=400, operation="list-block-storage-volumes", zone=cloud.zones[0]
    )

    ended = run("status")

    assert ended.code == 1
    assert f"! zone {cloud.zones[0]} was not read" in ended.output
    assert "does not exist" not in ended.output.partition("! zone")[0]


def test_error_of_a_gateway_writes_nothing_but_text_to_the_terminal(
    run: Run, cloud: SimulatorProcess, volume: dict[str, Any]
) -> None:  # F17, N20
    cloud.add_fault(
        fault="refuse",
        status=400,
        body='{"message": "\\u001b[2J"}',
        operation="list-block-storage-volumes",
        zone=cloud.zones[0],
    )

    ended = run("status")

    assert "\\x1b[2J" in ended.output
    assert "\x1b" not in ended.output


def test_volume_of_a_zone_out_of_scope_is_not_gone(
    run: Run, cloud: SimulatorProcess, volume: dict[str, Any]
) -> None:  # N20, S12
    ended = run("status", f"--zones={cloud.zones[1]}", "--output=json")

    ((note,),) = (row["notes"] for row in ended.json["volumes"])
    assert ended.code == 0
    assert note["text"] == f"unknown: zone {cloud.zones[0]} was not read"
    assert not note["is_wrong"]


@pytest.fixture
def lists_lag(cloud: SimulatorProcess) -> None:
    """A cloud whose lists show a new volume only after some seconds."""
    cloud.set_mode("list-lag", "yes")


def test_volume_that_no_list_shows_yet_is_in_order(
    lists_lag: None, run: Run, volume: dict[str, Any]
) -> None:  # N20
    ended = run("status", "--output=json")

    (row,) = ended.json["volumes"]
    assert (row["notes"], row["state"], row["cloud_gib"]) == ([], "detached", 1)


def test_volume_that_no_list_shows_and_that_can_not_be_read_is_not_gone(
    lists_lag: None, run: Run, cloud: SimulatorProcess, volume: dict[str, Any]
) -> None:  # N20, S12
    cloud.add_fault(fault="refuse", status=400, operation="get-block-storage-volume")

    ended = run("status")

    assert ended.code == 1
    assert f"! zone {cloud.zones[0]} was not read" in ended.output
    assert "does not exist" not in ended.output


def test_handle_that_is_no_id_is_of_no_volume(run: Run, cluster: ApiServer) -> None:  # N20
    cluster.lists[VOLUMES] = [persistent_volume("pv", "anything", claim="data")]

    assert notes(run) == [(True, "the volume does not exist")]
