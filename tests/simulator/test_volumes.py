"""Volumes live by the vendor's documented rules: states, sizes, names, labels, quotas (N15)."""

from __future__ import annotations

import pytest
import requests
from exoscale_auth import ExoscaleV2Auth

from tests.simulator.client import Json, ZoneClient
from tests.support.simulator_process import API_KEY, API_SECRET, SimulatorProcess

NOWHERE = "6f1c2d3e-0000-4000-8000-000000000000"


def refused(zone: ZoneClient, body: Json) -> tuple[int, str]:
    """Ask for a volume, and return the refusal's status and message."""
    response = zone.send("POST", "block-storage", body)
    return response.status_code, str(response.json()["message"])


def resize(zone: ZoneClient, volume: str, size_gib: int) -> int:
    """Ask for another size, and return the status."""
    path = f"block-storage/{volume}:resize-volume"
    return zone.send("PUT", path, {"size": size_gib}).status_code


def test_new_volume_is_detached_and_as_asked(zone: ZoneClient) -> None:
    volume = zone.create_volume(name="one", size=3, labels={"a": "b"})

    found = zone.volume(volume)

    assert found["state"] == "detached"
    assert (found["name"], found["size"], found["labels"]) == ("one", 3, {"a": "b"})
    assert found["blocksize"] == 4096
    assert found["created-at"].endswith("Z")


def test_volume_needs_no_name_and_names_are_not_unique(zone: ZoneClient) -> None:
    first, second = zone.create_volume(name="one"), zone.create_volume(name="one")

    assert first != second
    assert zone.volume(zone.create_volume())["name"]


@pytest.mark.parametrize("size_gib", [1, 10240])
def test_smallest_and_largest_volume(zone: ZoneClient, size_gib: int) -> None:  # C5
    volume = zone.create_volume(size=size_gib)

    assert zone.volume(volume)["size"] == size_gib


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"size": 0},
        {"size": -1},
        {"size": "1"},
        {"size": 1.5},
        {"size": True},
        {"size": 1, "name": ""},
        {"size": 1, "name": "n" * 256},
        {"size": 1, "name": 1},
        {"size": 1, "labels": ["a"]},
        {"size": 1, "labels": {"a": 1}},
        {"size": 1, "block-storage-snapshot": NOWHERE},
        {"size": 1, "block-storage-snapshot": {"id": "one"}},
    ],
)
def test_create_that_can_never_succeed_is_refused(
    cloud: SimulatorProcess, zone: ZoneClient, body: Json
) -> None:
    status, message = refused(zone, body)

    assert status == 400
    assert message
    assert cloud.volumes() == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_a_body_that_is_no_object_is_refused(cloud: SimulatorProcess, body: bytes) -> None:
    url = f"{cloud.base_url}/{cloud.zones[0]}/v2/block-storage"

    answer = requests.post(url, data=body, auth=ExoscaleV2Auth(API_KEY, API_SECRET), timeout=30)

    assert answer.status_code == 400
    assert answer.json()["message"].startswith("the body is no JSON")


def test_longest_name_is_accepted(zone: ZoneClient) -> None:
    volume = zone.create_volume(name="n" * 255)

    assert zone.volume(volume)["name"] == "n" * 255


def test_volume_is_in_its_zone_only(zone: ZoneClient, other_zone: ZoneClient) -> None:
    volume = zone.create_volume()

    assert other_zone.send("GET", f"block-storage/{volume}").status_code == 404
    assert other_zone.get("block-storage") == {"block-storage-volumes": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"block-storage/{NOWHERE}", None),
        ("PUT", f"block-storage/{NOWHERE}", {"name": "new"}),
        ("DELETE", f"block-storage/{NOWHERE}", None),
        ("PUT", f"block-storage/{NOWHERE}:attach", {"instance": {"id": NOWHERE}}),
        ("PUT", f"block-storage/{NOWHERE}:detach", None),
        ("PUT", f"block-storage/{NOWHERE}:resize-volume", {"size": 2}),
        ("POST", f"block-storage/{NOWHERE}:create-snapshot", {}),
        ("POST", "block-storage", {"size": 1, "block-storage-snapshot": {"id": NOWHERE}}),
        ("GET", f"block-storage-snapshot/{NOWHERE}", None),
        ("PUT", f"block-storage-snapshot/{NOWHERE}", {"name": "new"}),
        ("DELETE", f"block-storage-snapshot/{NOWHERE}", None),
        ("GET", f"operation/{NOWHERE}", None),
        ("GET", f"instance/{NOWHERE}", None),
        ("GET", "quota/unheard-of", None),
    ],
)
def test_what_does_not_exist_is_not_found(
    zone: ZoneClient, method: str, path: str, body: Json | None
) -> None:
    response = zone.send(method, path, body)

    assert response.status_code == 404
    assert "not found" in response.json()["message"]


def test_zone_that_is_not_played_is_not_found(cloud: SimulatorProcess) -> None:
    nowhere = ZoneClient(cloud, "at-vie-2")

    response = nowhere.send("GET", "block-storage")
    nowhere.close()

    assert response.status_code == 404


def test_operation_is_known_in_its_zone_only(zone: ZoneClient, other_zone: ZoneClient) -> None:
    operation = zone.begin("POST", "block-storage", {"size": 1})

    assert zone.send("GET", f"operation/{operation['id']}").status_code == 200
    assert other_zone.send("GET", f"operation/{operation['id']}").status_code == 404


def test_id_that_is_no_uuid_is_refused(zone: ZoneClient) -> None:
    assert zone.send("GET", "block-storage/one").status_code == 400


def test_update_replaces_name_and_labels(zone: ZoneClient) -> None:
    volume = zone.create_volume(name="old", labels={"a": "1", "b": "2"})

    zone.complete("PUT", f"block-storage/{volume}", {"name": "new"})
    renamed = zone.volume(volume)
    zone.complete("PUT", f"block-storage/{volume}", {"labels": {"b": "3"}})
    relabelled = zone.volume(volume)

    assert (renamed["name"], renamed["labels"]) == ("new", {"a": "1", "b": "2"})
    assert (relabelled["name"], relabelled["labels"]) == ("new", {"b": "3"})


@pytest.mark.parametrize(
    ("body", "labels"),
    [({"labels": {}}, {}), ({"labels": None}, {"a": "1"}), ({"size": 7}, {"a": "1"})],
    ids=["empty", "null", "size"],
)
def test_update_clears_labels_only_by_an_empty_map_and_never_resizes(
    zone: ZoneClient, body: dict[str, object], labels: dict[str, str]
) -> None:
    volume = zone.create_volume(size=2, labels={"a": "1"})
    snapshot = zone.create_snapshot(volume, labels={"a": "1"})

    zone.complete("PUT", f"block-storage/{volume}", body)
    zone.complete("PUT", f"block-storage-snapshot/{snapshot}", body)

    assert (zone.volume(volume)["labels"], zone.volume(volume)["size"]) == (labels, 2)
    assert zone.snapshot(snapshot)["labels"] == labels


def test_deleted_volume_is_gone(zone: ZoneClient) -> None:
    volume = zone.create_volume()

    zone.complete("DELETE", f"block-storage/{volume}")

    assert zone.send("GET", f"block-storage/{volume}").status_code == 404
    assert zone.get("block-storage") == {"block-storage-volumes": []}


def test_detached_volume_grows_at_once(zone: ZoneClient) -> None:  # S7
    volume = zone.create_volume(size=2)

    statuses = [resize(zone, volume, size_gib) for size_gib in (1, 2, 3)]

    assert statuses == [400, 400, 200]
    assert zone.volume(volume)["size"] == 3


def test_attached_volume_grows_only_while_its_instance_is_stopped(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str
) -> None:  # S7
    volume = zone.create_volume()
    zone.attach(volume, instance)

    while_running = resize(zone, volume, 2)
    cloud.set_instance_state(zone.zone, instance, "stopped")
    while_stopped = resize(zone, volume, 2)

    assert (while_running, while_stopped) == (400, 200)
    assert zone.volume(volume)["size"] == 2


@pytest.mark.parametrize(
    ("method", "action", "body", "state"),
    [
        ("PUT", ":attach", {"instance": {"id": "an instance"}}, "attaching"),
        ("PUT", ":detach", {}, "detaching"),
        ("DELETE", "", {}, "deleting"),
        ("POST", ":create-snapshot", {}, "snapshotting"),
    ],
)
def test_volume_is_in_transition_until_the_operation_ends(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str, method: str, action: str,
    body: Json, state: str,
) -> None:  # fmt: skip
    volume = zone.create_volume()
    if action == ":detach":
        zone.attach(volume, instance)
    if action == ":attach":
        body = {"instance": {"id": instance}}
    cloud.add_fault(fault="hang")

    zone.begin(method, f"block-storage/{volume}{action}", body)

    assert zone.volume(volume)["state"] == state
    for other in (":detach", ":attach", ":resize-volume"):
        busy = {"instance": {"id": instance}, "size": 2}
        assert zone.send("PUT", f"block-storage/{volume}{other}", busy).status_code == 409
    assert zone.send("DELETE", f"block-storage/{volume}").status_code == 409
    assert zone.send("POST", f"block-storage/{volume}:create-snapshot", {}).status_code == 409


def test_volume_in_error_can_only_be_deleted(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    volume = zone.create_volume()
    cloud.set_volume_state(zone.zone, volume, "error")

    resized = resize(zone, volume, 2)
    zone.complete("DELETE", f"block-storage/{volume}")

    assert resized == 409
    assert cloud.volumes() == []


@pytest.mark.parametrize(
    ("resource", "limit"),
    [("block-storage", 5), ("block-storage-volume", 1), ("block-storage-max-size", 2)],
)
def test_quota_holds_over_all_zones(
    cloud: SimulatorProcess, zone: ZoneClient, other_zone: ZoneClient, resource: str, limit: int
) -> None:
    zone.create_volume(size=3)
    cloud.set_quota(resource, limit)

    status, message = refused(other_zone, {"size": 3})
    cloud.set_quota(resource, -1)
    other_zone.create_volume(size=3)

    assert status == 409
    assert message == f"Usage of resource {resource} has been exceeded"


def test_quota_is_checked_before_the_state(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str
) -> None:  # S4, S7: so a third party has seen it
    volume = zone.create_volume()
    zone.attach(volume, instance)
    cloud.set_quota("block-storage", 4)

    assert (resize(zone, volume, 5), resize(zone, volume, 4)) == (409, 400)


def test_quota_holds_for_growth(cloud: SimulatorProcess, zone: ZoneClient) -> None:  # S4
    volume = zone.create_volume(size=3)
    cloud.set_quota("block-storage", 4)

    assert resize(zone, volume, 5) == 409
    assert resize(zone, volume, 4) == 200


def test_quotas_tell_the_use(zone: ZoneClient, other_zone: ZoneClient, instance: str) -> None:
    volume = zone.create_volume(size=3)
    zone.attach(volume, instance)
    zone.create_snapshot(volume)
    other_zone.create_volume(size=4)

    usage = {row["resource"]: row["usage"] for row in zone.get("quota")["quotas"]}

    assert usage == {
        "block-storage": 7,
        "block-storage-volume": 2,
        "block-storage-snapshot": 1,
        "block-storage-max-size": 4,
        "block-storage-volume-attachments": 1,
    }
