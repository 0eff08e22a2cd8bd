"""Calls and operations go wrong as the rules say, and only those (N15)."""

from __future__ import annotations

import json
import pathlib

import pytest
import requests

from tests.simulator.client import ZoneClient
from tests.support.simulator_process import SimulatorProcess

CREATE = "create-block-storage-volume"
BODY = {"name": "one", "size": 1}


def create(zone: ZoneClient) -> requests.Response:
    """Ask for a volume."""
    return zone.send("POST", "block-storage", BODY)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_refused_call_has_no_effect(cloud: SimulatorProcess, zone: ZoneClient, status: int) -> None:
    cloud.add_fault(fault="refuse", operation=CREATE, status=status)

    response = create(zone)

    assert response.status_code == status
    assert str(status) in response.json()["message"]
    assert "Retry-After" not in response.headers
    assert cloud.volumes() == []


def test_refusal_says_what_the_rule_says(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    cloud.add_fault(fault="refuse", status=429, body="slow down", retry_after=7)

    response = create(zone)

    assert (response.status_code, response.text) == (429, "slow down")
    assert response.headers["Retry-After"] == "7"


def test_refusal_after_the_effect_leaves_it(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    cloud.add_fault(fault="refuse", operation=CREATE, when="after", status=503)

    response = create(zone)

    assert response.status_code == 503
    assert [volume["name"] for volume in cloud.volumes()] == ["one"]


@pytest.mark.parametrize(("when", "volumes"), [("before", 0), ("after", 1)])
def test_dropped_connection(
    cloud: SimulatorProcess, zone: ZoneClient, when: str, volumes: int
) -> None:
    cloud.add_fault(fault="drop", operation=CREATE, when=when)

    with pytest.raises(requests.ConnectionError):
        create(zone)

    assert len(cloud.volumes()) == volumes
    (call,) = cloud.calls()
    assert (call.status, call.fault) == (None, "drop")


@pytest.mark.parametrize(("when", "volumes"), [("before", 0), ("after", 1)])
def test_garbage_is_no_json(
    cloud: SimulatorProcess, zone: ZoneClient, when: str, volumes: int
) -> None:
    cloud.add_fault(fault="garbage", operation=CREATE, when=when)

    response = create(zone)

    assert response.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        response.json()
    assert len(cloud.volumes()) == volumes


@pytest.mark.parametrize(("when", "volumes"), [("before", 0), ("after", 1)])
def test_page_is_that_of_a_load_balancer(
    cloud: SimulatorProcess, zone: ZoneClient, when: str, volumes: int
) -> None:
    cloud.add_fault(fault="page", operation=CREATE, when=when, status=404)

    response = create(zone)

    assert (response.status_code, response.headers["Content-Type"]) == (
        404, "text/html; charset=utf-8",
    )  # fmt: skip
    assert "<h1>404 Not Found</h1>" in response.text
    assert len(cloud.volumes()) == volumes


@pytest.mark.parametrize("when", ["before", "after"])
def test_delayed_call_is_answered_later(
    cloud: SimulatorProcess, zone: ZoneClient, when: str
) -> None:
    cloud.add_fault(fault="delay", operation=CREATE, when=when, seconds=0.2)

    response = create(zone)

    assert response.status_code == 200
    assert (cloud.calls()[0].seconds or 0.0) >= 0.2


@pytest.mark.parametrize(("fault", "state"), [("fail", "failure"), ("time-out", "timeout")])
@pytest.mark.parametrize(
    ("leaves", "states"), [("nothing", []), ("error", ["error"]), ("done", ["detached"])]
)
def test_operation_that_ends_badly(
    cloud: SimulatorProcess, zone: ZoneClient, fault: str, state: str, leaves: str,
    states: list[str],
) -> None:  # fmt: skip
    cloud.add_fault(fault=fault, reason="unavailable", message="no host", leaves=leaves)

    operation = zone.wait(create(zone).json())

    assert operation["state"] == state
    assert (operation["reason"], operation["message"]) == ("unavailable", "no host")
    assert [volume["state"] for volume in cloud.volumes()] == states


def test_hanging_operation_ends_when_it_is_told_to(
    cloud: SimulatorProcess, zone: ZoneClient
) -> None:
    cloud.add_fault(fault="hang", operation=CREATE)

    operation = create(zone).json()
    before = zone.get(f"operation/{operation['id']}")["state"]
    cloud.finish_operation(zone.zone, operation["id"])
    after = zone.get(f"operation/{operation['id']}")["state"]

    assert (before, after) == ("pending", "success")
    assert [volume["state"] for volume in cloud.volumes()] == ["detached"]


def test_hanging_operation_ends_after_a_number_of_further_calls(
    cloud: SimulatorProcess, zone: ZoneClient
) -> None:
    cloud.add_fault(fault="hang", operation=CREATE, calls=3)

    path = f"operation/{create(zone).json()['id']}"
    states = [zone.get(path)["state"] for _ in range(3)]

    assert states == ["pending", "pending", "pending"]
    assert zone.get(path)["state"] == "success"


def test_operation_fails_after_a_number_of_further_calls(
    cloud: SimulatorProcess, zone: ZoneClient
) -> None:
    volume = zone.create_volume()
    cloud.add_fault(fault="fail", calls=2)

    operation = zone.begin("POST", f"block-storage/{volume}:create-snapshot", {})
    path = f"block-storage-snapshot/{operation['reference']['id']}"
    states = [zone.get(path)["state"] for _ in range(2)]
    ended = zone.wait(operation)

    assert states == ["creating", "creating"]
    assert ended["state"] == "failure"
    assert zone.send("GET", path).status_code == 404


@pytest.mark.parametrize(("leaves", "states"), [("nothing", []), ("error", ["error"])])
def test_hanging_snapshot_fails_when_it_is_told_to(
    cloud: SimulatorProcess, zone: ZoneClient, leaves: str, states: list[str]
) -> None:  # S18
    volume = zone.create_volume()
    cloud.add_fault(fault="hang", operation="create-block-storage-snapshot")
    operation = zone.begin("POST", f"block-storage/{volume}:create-snapshot", {})

    ending = {"state": "failure", "leaves": leaves, "reason": "fault"}
    cloud.finish_operation(zone.zone, operation["id"], **ending)

    assert zone.wait(operation)["reason"] == "fault"
    assert [each["state"] for each in cloud.snapshots()] == states
    assert zone.volume(volume)["state"] == "detached"


def test_snapshot_that_is_gone_when_its_operation_ends_is_no_matter(
    cloud: SimulatorProcess, zone: ZoneClient
) -> None:
    volume = zone.create_volume()
    cloud.add_fault(fault="hang", operation="create-block-storage-snapshot")
    operation = zone.begin("POST", f"block-storage/{volume}:create-snapshot", {})
    snapshot = operation["reference"]["id"]
    cloud.set_snapshot_state(zone.zone, snapshot, "error")
    zone.complete("DELETE", f"block-storage-snapshot/{snapshot}")

    cloud.finish_operation(zone.zone, operation["id"])

    assert zone.wait(operation)["state"] == "success"
    assert cloud.snapshots() == []


@pytest.mark.parametrize(("action", "state"), [("attach", "attaching"), ("detach", "detaching")])
def test_failed_operation_may_leave_a_volume_on_its_way_for_good(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str, action: str, state: str
) -> None:  # S3
    volume = zone.create_volume()
    if action == "detach":
        zone.attach(volume, instance)
    cloud.add_fault(fault="fail", leaves="halfway", count=1)

    body = {"instance": {"id": instance}}
    failed = zone.wait(zone.begin("PUT", f"block-storage/{volume}:{action}", body))

    assert failed["state"] == "failure"
    assert (zone.volume(volume)["state"], zone.volume(volume)["instance"]["id"]) == (
        state, instance,
    )  # fmt: skip
    zone.detach(volume)
    assert zone.volume(volume)["state"] == "detached"


@pytest.mark.parametrize("fault", ["fail", "time-out"])
def test_operation_may_name_no_resource(
    cloud: SimulatorProcess, zone: ZoneClient, fault: str
) -> None:
    cloud.add_fault(fault=fault, operation=CREATE, reference=False, leaves="done")

    ended = zone.wait(create(zone).json())

    assert "reference" not in ended
    assert [volume["name"] for volume in cloud.volumes()] == ["one"]


@pytest.mark.parametrize(
    ("method", "action"), [("PUT", ":detach"), ("POST", ":create-snapshot"), ("PUT", "")]
)
def test_failed_operation_on_an_attached_volume_leaves_it_as_it_was(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str, method: str, action: str
) -> None:
    volume = zone.create_volume(name="old")
    zone.attach(volume, instance)
    before = zone.volume(volume)
    cloud.add_fault(fault="fail")

    body = {"name": "new"}
    operation = zone.wait(zone.begin(method, f"block-storage/{volume}{action}", body))

    assert operation["state"] == "failure"
    assert zone.volume(volume) == before
    assert cloud.snapshots() == []


def test_failed_attach_leaves_the_volume_detached(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str
) -> None:
    volume = zone.create_volume()
    cloud.add_fault(fault="fail")

    body = {"instance": {"id": instance}}
    operation = zone.wait(zone.begin("PUT", f"block-storage/{volume}:attach", body))

    assert operation["state"] == "failure"
    assert zone.volume(volume)["state"] == "detached"
    assert not zone.volume(volume)["instance"]


def test_failed_deletes_leave_everything(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    volume = zone.create_volume()
    snapshot = zone.create_snapshot(volume)
    cloud.add_fault(fault="fail")

    zone.wait(zone.begin("DELETE", f"block-storage/{volume}"))
    zone.wait(zone.begin("DELETE", f"block-storage-snapshot/{snapshot}"))

    assert zone.volume(volume)["state"] == "detached"
    assert zone.snapshot(snapshot)["state"] == "created"


def test_failed_snapshot_may_be_left_in_error(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    volume = zone.create_volume()
    cloud.add_fault(fault="fail", leaves="error")

    operation = zone.wait(zone.begin("POST", f"block-storage/{volume}:create-snapshot", {}))

    assert zone.snapshot(operation["reference"]["id"])["state"] == "error"
    assert zone.volume(volume)["state"] == "detached"


def test_rule_is_about_its_operation_only(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    cloud.add_fault(fault="refuse", operation="list-block-storage-volumes")

    assert zone.send("GET", "block-storage").status_code == 503
    assert create(zone).status_code == 200


def test_rule_is_about_its_zone_only(
    cloud: SimulatorProcess, zone: ZoneClient, other_zone: ZoneClient
) -> None:
    cloud.add_fault(fault="refuse", zone=other_zone.zone)

    assert create(other_zone).status_code == 503
    assert create(zone).status_code == 200


def test_rule_spares_the_first_calls_and_ends_after_its_count(
    cloud: SimulatorProcess, zone: ZoneClient
) -> None:
    cloud.add_fault(fault="refuse", skip=2, count=1)

    statuses = [create(zone).status_code for _ in range(5)]

    assert statuses == [200, 200, 503, 200, 200]
    assert [(rule["seen"], rule["fired"]) for rule in cloud.faults()] == [(5, 1)]


def test_first_rule_in_force_wins_and_all_count(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    cloud.add_fault(fault="refuse", status=500, skip=1, count=1)
    cloud.add_fault(fault="refuse", status=503, skip=1, count=1)

    statuses = [create(zone).status_code for _ in range(3)]

    assert statuses == [200, 500, 503]


def test_fault_of_operations_spares_calls_that_begin_none(
    cloud: SimulatorProcess, zone: ZoneClient
) -> None:
    volume = zone.create_volume()
    cloud.add_fault(fault="hang", count=1)

    zone.get("block-storage")
    zone.send("PUT", f"block-storage/{volume}:resize-volume", {"size": 2})
    operation = create(zone).json()

    assert zone.get(f"operation/{operation['id']}")["state"] == "pending"


def test_lifted_rules_do_nothing(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    first = cloud.add_fault(fault="refuse", status=500)
    cloud.add_fault(fault="refuse", status=503)

    cloud.remove_fault(first)
    with_second = create(zone).status_code
    cloud.clear_faults()
    with_none = create(zone).status_code

    assert (with_second, with_none) == (503, 200)


def test_chance_is_the_seeds(tmp_path: pathlib.Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"fault": "refuse", "probability": 0.5}]))

    def statuses(seed: str) -> list[int]:
        flags = ("--local-instance", "none", "--seed", seed, "--faults", str(rules))
        with SimulatorProcess.start(*flags) as cloud:
            zone = ZoneClient(cloud, cloud.zones[0])
            found = [zone.send("GET", "quota").status_code for _ in range(20)]
            zone.close()
            return found

    first = statuses("1")

    assert set(first) == {200, 503}
    assert statuses("1") == first
    assert statuses("2") != first


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"fault": "explode"},
        {"fault": "drop", "zones": "ch-gva-2"},
        {"fault": "drop", "count": "1"},
        {"fault": "drop", "when": "meanwhile"},
        {"fault": "fail", "reason": "because"},
        {"fault": "refuse", "probability": True},
        {"fault": "refuse", "probability": 1.5},
        {"fault": "refuse", "status": 99},
        {"fault": "delay", "seconds": -1},
        ["fault", "drop"],
    ],
)
def test_bad_rule_is_refused(cloud: SimulatorProcess, rule: object) -> None:
    response = requests.post(f"{cloud.base_url}/_simulator/faults", json=rule, timeout=30)

    assert response.status_code == 400
    assert cloud.faults() == []
