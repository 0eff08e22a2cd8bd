"""Snapshots keep a volume's size and outlive it; restores may be larger, never smaller (N15)."""

from __future__ import annotations

import pytest

from tests.simulator.client import ZoneClient
from tests.support.simulator_process import SimulatorProcess


def test_snapshot_tells_its_volume_and_that_volumes_size(zone: ZoneClient) -> None:  # S18
    volume = zone.create_volume(size=3)
    snapshot = zone.create_snapshot(volume, name="before", labels={"a": "b"})
    zone.send("PUT", f"block-storage/{volume}:resize-volume", {"size": 4})

    found = zone.snapshot(snapshot)

    assert found["state"] == "created"
    assert (found["name"], found["labels"]) == ("before", {"a": "b"})
    assert found["block-storage-volume"] == {"id": volume}
    assert found["volume-size"] == 3
    assert zone.volume(volume)["block-storage-snapshots"] == [{"id": snapshot}]


def test_snapshot_is_creating_until_its_operation_ends(
    cloud: SimulatorProcess, zone: ZoneClient
) -> None:
    volume = zone.create_volume()
    cloud.add_fault(fault="hang")

    operation = zone.begin("POST", f"block-storage/{volume}:create-snapshot", {})
    snapshot = operation["reference"]["id"]
    while_creating = zone.snapshot(snapshot)["state"]
    restore = zone.send("POST", "block-storage", {"block-storage-snapshot": {"id": snapshot}})
    cloud.finish_operation(zone.zone, operation["id"])

    assert operation["reference"]["command"] == "get-block-storage-snapshot"
    assert while_creating == "creating"
    assert restore.status_code == 409
    assert zone.snapshot(snapshot)["state"] == "created"
    assert zone.volume(volume)["state"] == "detached"


def test_snapshot_is_destroying_until_it_is_gone(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    volume = zone.create_volume()
    snapshot = zone.create_snapshot(volume)
    cloud.add_fault(fault="hang", count=1)

    operation = zone.begin("DELETE", f"block-storage-snapshot/{snapshot}")
    meanwhile = zone.snapshot(snapshot)["state"]
    again = zone.send("DELETE", f"block-storage-snapshot/{snapshot}").status_code
    cloud.finish_operation(zone.zone, operation["id"])

    assert (meanwhile, again) == ("destroying", 409)
    assert zone.send("GET", f"block-storage-snapshot/{snapshot}").status_code == 404
    assert zone.volume(volume)["block-storage-snapshots"] == []


@pytest.mark.parametrize(("size_gib", "restored_gib"), [(None, 3), (3, 3), (5, 5)])
def test_restore_has_the_size_of_its_source_or_more(
    cloud: SimulatorProcess, zone: ZoneClient, size_gib: int | None, restored_gib: int
) -> None:  # S8
    snapshot = zone.create_snapshot(zone.create_volume(size=3))

    size = {} if size_gib is None else {"size": size_gib}
    body = {"block-storage-snapshot": {"id": snapshot}, **size}
    restored = zone.complete("POST", "block-storage", body)

    assert zone.volume(restored)["size"] == restored_gib
    assert {each["id"]: each["source"] for each in cloud.volumes()}[restored] == snapshot


def test_restore_is_never_smaller(zone: ZoneClient) -> None:
    snapshot = zone.create_snapshot(zone.create_volume(size=3))

    body = {"block-storage-snapshot": {"id": snapshot}, "size": 2}

    assert zone.send("POST", "block-storage", body).status_code == 400


def test_snapshot_restores_in_its_zone_only(
    zone: ZoneClient, other_zone: ZoneClient
) -> None:  # S13
    snapshot = zone.create_snapshot(zone.create_volume())

    body = {"block-storage-snapshot": {"id": snapshot}}

    assert other_zone.send("POST", "block-storage", body).status_code == 404


def test_snapshot_outlives_its_volume(zone: ZoneClient) -> None:  # S18, S19
    volume = zone.create_volume()
    snapshot = zone.create_snapshot(volume)

    zone.complete("DELETE", f"block-storage/{volume}")
    listed = zone.get("block-storage-snapshot")["block-storage-snapshots"]
    restored = zone.complete("POST", "block-storage", {"block-storage-snapshot": {"id": snapshot}})
    zone.complete("DELETE", f"block-storage-snapshot/{snapshot}")

    assert [each["id"] for each in listed] == [snapshot]
    assert zone.volume(restored)["state"] == "detached"


def test_twenty_first_snapshot_is_refused(zone: ZoneClient) -> None:
    volume = zone.create_volume()
    snapshots = [zone.create_snapshot(volume) for _ in range(20)]

    response = zone.send("POST", f"block-storage/{volume}:create-snapshot", {})
    zone.complete("DELETE", f"block-storage-snapshot/{snapshots[0]}")
    zone.create_snapshot(volume)

    assert response.status_code == 409


def test_quota_of_snapshots(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    volume = zone.create_volume()
    zone.create_snapshot(volume)
    cloud.set_quota("block-storage-snapshot", 1)

    response = zone.send("POST", f"block-storage/{volume}:create-snapshot", {})

    assert response.status_code == 409


def test_snapshot_of_an_attached_volume(zone: ZoneClient, instance: str) -> None:
    volume = zone.create_volume()
    zone.attach(volume, instance)

    zone.create_snapshot(volume)

    assert zone.volume(volume)["state"] == "attached"


def test_update_replaces_name_and_labels(zone: ZoneClient) -> None:
    snapshot = zone.create_snapshot(zone.create_volume(), name="old", labels={"a": "1"})

    zone.complete("PUT", f"block-storage-snapshot/{snapshot}", {"name": "new", "labels": {}})

    found = zone.snapshot(snapshot)
    assert (found["name"], found["labels"]) == ("new", {})


@pytest.mark.parametrize("state", ["error", "partially-destroyed", "promoting", "allocated"])
def test_every_state_can_be_shown(cloud: SimulatorProcess, zone: ZoneClient, state: str) -> None:
    snapshot = zone.create_snapshot(zone.create_volume())

    cloud.set_snapshot_state(zone.zone, snapshot, state)

    assert zone.snapshot(snapshot)["state"] == state
