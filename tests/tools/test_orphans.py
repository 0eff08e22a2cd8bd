"""`orphans` shows what Kubernetes doesn't know, and the reverse, and never deletes (C4, C6)."""

from __future__ import annotations

import pathlib

import pytest

from tests.apiserver.server import ApiServer
from tests.support.simulator_process import SimulatorProcess
from tests.tools.conftest import (
    CONTENTS,
    UID,
    VOLUMES,
    Run,
    label_snapshot,
    make_volume,
    run_tool,
)
from tests.tools.installed import DEPLOYMENTS, containers
from tests.tools.objects import DRIVER, persistent_volume, snapshot_content

NOW = "--min-age=0s"


def found(run: Run, *flags: str) -> list[tuple[str, str]]:
    """Return kind and id of what the command finds."""
    return [
        (each["kind"], each["id"])
        for each in run("orphans", NOW, "--output=json", *flags).json["orphans"]
    ]


def test_a_cluster_in_order_has_none(
    run: Run, cloud: SimulatorProcess, cluster: ApiServer
) -> None:  # C4
    cluster.lists[VOLUMES] = [persistent_volume("pv", make_volume(cloud, "used")["handle"])]

    ended = run("orphans", NOW)

    assert (ended.code, ended.output) == (0, "no orphans\n")


def test_volume_without_persistent_volume_is_shown_with_what_made_it(
    run: Run, cloud: SimulatorProcess
) -> None:  # C4
    volume = make_volume(cloud, "left", pvc="data", namespace="shop")

    ended = run("orphans", NOW)

    assert ended.code == 1
    assert volume["handle"] in ended.output
    assert "claim shop/data" in ended.output


def test_another_clusters_volume_is_never_shown(
    run: Run, cloud: SimulatorProcess, cluster: ApiServer
) -> None:  # C4
    make_volume(cloud, "theirs", cluster_id="another")
    cloud.add_volumes(cloud.zones[0], 1, prefix="nobodys")

    assert found(run) == []


def test_inherited_clusters_volumes_are_shown(run: Run, cloud: SimulatorProcess) -> None:  # C4, D12
    volume = make_volume(cloud, "older", cluster_id="before")

    assert found(run, "--inherited-cluster-ids=before") == [("volume", volume["handle"])]


def test_at_the_desk_the_installed_controllers_flags_count(
    cloud: SimulatorProcess, healthy: ApiServer, from_desk: Run
) -> None:  # C4, N11: else its volumes look like those of another cluster
    container = containers(healthy.lists[DEPLOYMENTS][0])[0]
    container["args"] += ["--cluster-id=prod", "--label-prefix", "mine/"]
    container["env"] = [{"name": "CSI_EXOBLOCK_INHERITED_CLUSTER_IDS", "value": "before"}]
    volumes = [make_volume(cloud, each) for each in ("left", "older", "foreign")]
    for made, id in zip(volumes, ("prod", "before", "another"), strict=True):
        labels = {"driver": DRIVER, "cluster-id": id, "name": id}
        cloud.relabel_volume(
            cloud.zones[0], made["id"], {f"mine/{key}": each for key, each in labels.items()}
        )

    assert found(from_desk) == [("volume", each["handle"]) for each in volumes[:2]]
    assert found(from_desk, "--cluster-id=another") == [
        ("volume", each["handle"]) for each in volumes[1:]
    ]


def test_at_the_desk_a_flag_with_which_no_driver_can_run_is_told(
    healthy: ApiServer, from_desk: Run
) -> None:  # F11
    containers(healthy.lists[DEPLOYMENTS][0])[0]["args"].append("--label-prefix=$")

    ended = from_desk("orphans")

    assert ended.code == 2
    assert ended.errors.startswith("csi-exoblock: the driver in the cluster has a wrong flag: '$'")


def test_volume_that_is_another_drivers_by_now_is_none(
    run: Run, cloud: SimulatorProcess, cluster: ApiServer
) -> None:  # C4, F8
    volume = make_volume(cloud, "moved")
    cluster.lists[VOLUMES] = [persistent_volume("pv", volume["handle"], driver="csi.exoscale.com")]

    assert found(run) == []


def test_twin_is_told_from_the_volume_that_is_used(
    run: Run, cloud: SimulatorProcess, cluster: ApiServer
) -> None:  # C3, C4
    used, twin = make_volume(cloud, "same"), make_volume(cloud, "same")
    cluster.lists[VOLUMES] = [persistent_volume("same", used["handle"])]

    assert found(run) == [("twin", twin["handle"])]


def test_snapshots_without_content_and_those_of_clones_are_shown(
    run: Run, cloud: SimulatorProcess, cluster: ApiServer
) -> None:  # C6
    volume, zone = make_volume(cloud, "source"), cloud.zones[0]
    cluster.lists[VOLUMES] = [persistent_volume("pv", volume["handle"])]
    ids = [cloud.add_snapshot(zone, volume["id"], name) for name in ("kept", "left", "clone")]
    label_snapshot(cloud, zone, ids[0])
    label_snapshot(cloud, zone, ids[1])
    label_snapshot(cloud, zone, ids[2], clone_of=volume["id"])
    cluster.lists[CONTENTS] = [{"status": {"snapshotHandle": f"{zone}/{ids[0]}"}}]

    assert sorted(found(run)) == [
        ("snapshot", f"{zone}/{ids[1]}"),
        ("temporary", f"{zone}/{ids[2]}"),
    ]


def test_snapshot_that_is_still_asked_for_is_none(
    run: Run, cloud: SimulatorProcess, cluster: ApiServer
) -> None:  # C6: its content gets the handle with the answer, which can take hours
    volume, zone = make_volume(cloud, "source"), cloud.zones[0]
    cluster.lists[VOLUMES] = [persistent_volume("pv", volume["handle"])]
    asked, other = f"snapshot-{UID}", f"snapshot-{UID.replace('0', '1')}"
    ids = [cloud.add_snapshot(zone, volume["id"], name) for name in (asked, other)]
    for id, name in zip(ids, (asked, other), strict=True):
        label_snapshot(cloud, zone, id, name=name)
    content = snapshot_content("snapcontent", volume["handle"], error="not ready")
    content["spec"]["volumeSnapshotRef"]["uid"] = UID
    cluster.lists[CONTENTS] = [content]

    assert found(run) == [("snapshot", f"{zone}/{ids[1]}")]


def test_persistent_volume_without_volume_is_shown(
    run: Run, cloud: SimulatorProcess, cluster: ApiServer
) -> None:  # C4
    gone = f"{cloud.zones[0]}/00000000-0000-0000-0000-000000000001"
    cluster.lists[VOLUMES] = [
        persistent_volume("gone", gone),
        persistent_volume("bare", "00000000-0000-0000-0000-000000000001"),
        persistent_volume("elsewhere", "at-vie-1/00000000-0000-0000-0000-000000000001"),
        persistent_volume("others", gone.replace("1", "2"), driver="other"),
    ]

    shown = {each["name"] for each in run("orphans", NOW, "--output=json").json["orphans"]}

    assert shown == {"gone", "bare"}


def test_what_may_be_in_the_making_is_not_shown(run: Run, cloud: SimulatorProcess) -> None:  # C4
    make_volume(cloud, "young")

    assert run("orphans").code == 0


def test_commands_delete_what_is_left_alone_and_nothing_else(
    run: Run, cloud: SimulatorProcess, cluster: ApiServer
) -> None:  # C4
    volume, zone = make_volume(cloud, "left"), cloud.zones[0]
    cluster.lists[VOLUMES] = [
        persistent_volume("gone", f"{zone}/00000000-0000-0000-0000-000000000001")
    ]

    lines = run("orphans", NOW, "--output=commands").output.splitlines()

    assert [line.partition("  #")[0] for line in lines] == [
        f"exo compute block-storage delete --zone {zone} {volume['id']}"
    ]


def test_commands_delete_nothing_that_is_used_or_protected(
    run: Run, cloud: SimulatorProcess
) -> None:  # C4, C6, D12
    zone = cloud.zones[0]
    instance = cloud.add_instance(zone)
    attached, leaving = make_volume(cloud, "attached"), make_volume(cloud, "leaving")
    protected = make_volume(cloud, "protected", Protect="yes")
    cloud.set_volume_state(zone, attached["id"], "attached", instance=instance)
    cloud.set_volume_state(zone, leaving["id"], "detaching", instance=None)
    snapshot = cloud.add_snapshot(zone, protected["id"], "before")
    label_snapshot(cloud, zone, snapshot, protect="yes")
    backup = cloud.add_snapshot(zone, protected["id"], "snapshot-1")  # Velero keeps no content
    label_snapshot(cloud, zone, backup, snapshot="velero-data-x7k2p")

    lines = run("orphans", NOW, "--output=commands").output.splitlines()
    table = run("orphans", NOW).output

    reasons = {
        attached["handle"]: f"attached to instance {instance}",
        leaving["handle"]: "in state detaching",
        protected["handle"]: "protected by its label",
        f"{zone}/{snapshot}": "protected by its label",
        f"{zone}/{backup}": "perhaps a backup of Velero's",
    }
    assert all(line.startswith("# not to be deleted, ") for line in lines)
    for handle, reason in reasons.items():
        assert [line for line in lines if handle in line and reason in line]
        assert [line for line in table.splitlines() if handle in line and reason in line]


def test_label_adds_no_command(run: Run, cloud: SimulatorProcess) -> None:  # C4, F17
    volume = make_volume(cloud, "left", pvc="x\ntouch /tmp/owned #", namespace="shop")

    lines = run("orphans", NOW, "--output=commands").output.splitlines()

    assert len(lines) == 1
    assert volume["id"] in lines[0].partition("#")[0]


def test_commands_say_what_was_not_read(run: Run, cloud: SimulatorProcess) -> None:  # C4
    cloud.add_fault(fault="refuse", status=400, operation="list-block-storage-volumes")

    ended = run("orphans", NOW, "--output=commands")

    assert ended.code == 1
    assert [line.partition(":")[0] for line in ended.output.splitlines()] == [
        f"# zone {zone} was not read" for zone in cloud.zones
    ]


def test_nothing_is_changed(run: Run, cloud: SimulatorProcess, cluster: ApiServer) -> None:  # C4
    make_volume(cloud, "left")
    cloud.clear_calls()

    run("orphans", NOW)

    assert {each.partition("-")[0] for each in cloud.operations_called()} <= {"list", "get"}
    assert {each.method for each in cluster.received} == {"GET"}


def test_zone_that_can_not_be_read_is_named(run: Run, cloud: SimulatorProcess) -> None:  # C4
    cloud.add_fault(
        fault="refuse", status=400, operation="list-block-storage-volumes", zone=cloud.zones[1]
    )

    ended = run("orphans", NOW)

    assert ended.code == 1
    assert f"zone {cloud.zones[1]} was not read" in ended.output


def test_missing_right_is_said_in_one_line(run: Run, cluster: ApiServer) -> None:
    cluster.denied.add(("GET", VOLUMES))

    ended = run("orphans", NOW)

    assert ended.code == 1
    assert ended.output == ""
    assert "status 403" in ended.errors.splitlines()[-1]


def test_a_cluster_without_snapshots_is_one_too(run: Run, cluster: ApiServer) -> None:  # F6
    del cluster.lists[CONTENTS]

    assert run("orphans", NOW).code == 0


def test_from_a_desk_kubectl_is_asked(
    cloud: SimulatorProcess, cluster: ApiServer, from_desk: Run
) -> None:  # N11
    volume = make_volume(cloud, "left")
    del cluster.lists[CONTENTS]

    ended = from_desk("orphans", NOW, "--context=admin@shop")

    assert volume["handle"] in ended.output, ended.errors


def test_without_any_way_to_kubernetes_it_says_so(
    cloud: SimulatorProcess, tmp_path: pathlib.Path
) -> None:
    ended = run_tool(
        "orphans",
        environment={
            **cloud.environment, "EXOSCALE_API_ENDPOINT": cloud.api_endpoint, "PATH": str(tmp_path)
        },
    )  # fmt: skip

    assert (ended.code, ended.output) == (1, "")
    assert "kubectl is not installed" in ended.errors


@pytest.mark.parametrize("flag", ["--output=yaml", "--min-age=never"])
def test_wrong_usage_ends_with_2(run: Run, flag: str) -> None:
    assert run("orphans", flag).code == 2
