"""The cloud gives each answer to each question about the real API (N15, section 8)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import requests

from csi_exoblock.simulator.state.modes import Question
from tests.simulator.client import ZoneClient
from tests.simulator.test_devices import QUESTIONS_OF_DEVICES
from tests.support.simulator_process import SimulatorProcess

Probe = Callable[[SimulatorProcess, ZoneClient], str]


def status(response: requests.Response) -> str:
    """Say whether an answer was yes or no."""
    return "accepted" if response.status_code == 200 else "refused"


def attached_volume(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    """Make a volume that is attached to an instance of its own."""
    volume = zone.create_volume()
    zone.attach(volume, cloud.add_instance(zone.zone))
    return volume


def names_unique(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    zone.create_volume(name="one")
    second = zone.send("POST", "block-storage", {"name": "one", "size": 1})
    return {"accepted": "no", "refused": "yes"}[status(second)]


def list_lag(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    zone.create_snapshot(zone.create_volume())
    volumes = zone.get("block-storage")["block-storage-volumes"]
    snapshots = zone.get("block-storage-snapshot")["block-storage-snapshots"]
    return {2: "no", 1: "mixed", 0: "yes"}[bool(volumes) + bool(snapshots)]


def get_lag(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = zone.create_volume()
    snapshot = zone.create_snapshot(volume)
    gets = (f"block-storage/{volume}", f"block-storage-snapshot/{snapshot}")
    statuses = {zone.send("GET", path).status_code for path in gets}
    return {200: "no", 404: "yes"}[statuses.pop()] if len(statuses) == 1 else "mixed"


def unfinished(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    cloud.add_fault(fault="hang", operation="create-block-storage-volume")
    id = zone.begin("POST", "block-storage", {"size": 1, "name": "new"})["reference"]["id"]
    listed = [each["name"] for each in zone.get("block-storage")["block-storage-volumes"]]
    found = ("new" in listed, zone.send("GET", f"block-storage/{id}").status_code)
    return {(True, 200): "shown", (False, 404): "hidden"}.get(found, "mixed")


def create_labels(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = zone.create_volume(labels={"a": "b"})
    snapshot = zone.create_snapshot(volume, labels={"a": "b"})
    found = (zone.volume(volume)["labels"], zone.snapshot(snapshot)["labels"])
    return "kept" if found == ({"a": "b"}, {"a": "b"}) else "dropped" if not any(found) else "mixed"


def update_labels(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = zone.create_volume(labels={"a": "1", "b": "2"})
    zone.complete("PUT", f"block-storage/{volume}", {"labels": {"b": "3"}})
    labels = zone.volume(volume)["labels"]
    return {1: "replace", 2: "merge"}[len(labels)] if labels["b"] == "3" else "lost"


def delete_attached(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    return status(zone.send("DELETE", f"block-storage/{attached_volume(cloud, zone)}"))


def delete_with_snapshots(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = zone.create_volume()
    zone.create_snapshot(volume)
    return status(zone.send("DELETE", f"block-storage/{volume}"))


def snapshot_attached(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = attached_volume(cloud, zone)
    cloud.add_fault(fault="hang", operation="create-block-storage-snapshot")
    if status(zone.send("POST", f"block-storage/{volume}:create-snapshot", {})) == "refused":
        return "refused"
    detach = status(zone.send("PUT", f"block-storage/{volume}:detach"))
    return {"accepted": "free", "refused": "blocks"}[detach]


def minimum_size(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    sizes = (1, 9, 10)
    accepted = [
        size for size in sizes
        if status(zone.send("POST", "block-storage", {"size": size})) == "accepted"
    ]  # fmt: skip
    return str(accepted[0])


def parallel_attach(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    body = {"instance": {"id": cloud.add_instance(zone.zone)}}
    first, second = zone.create_volume(), zone.create_volume()
    cloud.add_fault(fault="hang", count=1)
    zone.begin("PUT", f"block-storage/{first}:attach", body)
    attach = status(zone.send("PUT", f"block-storage/{second}:attach", body))
    return {"accepted": "independent", "refused": "collides"}[attach]


def delete_restored_snapshot(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    snapshot = zone.create_snapshot(zone.create_volume())
    cloud.add_fault(fault="hang", operation="create-block-storage-volume")
    restore = zone.begin("POST", "block-storage", {"block-storage-snapshot": {"id": snapshot}})
    cloud.add_fault(fault="fail", operation="delete-block-storage-snapshot", count=1)
    during = zone.send("DELETE", f"block-storage-snapshot/{snapshot}")
    if status(during) == "accepted":
        return "anytime"
    cloud.finish_operation(zone.zone, restore["id"])
    after = zone.send("DELETE", f"block-storage-snapshot/{snapshot}")
    return {"accepted": "after-restore", "refused": "after-volume"}[status(after)]


def destroyed_instance(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = attached_volume(cloud, zone)
    cloud.set_instance_state(zone.zone, zone.volume(volume)["instance"]["id"], "destroyed")
    return {"detached": "frees", "attached": "keeps"}[zone.volume(volume)["state"]]


def detach_stopped(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = attached_volume(cloud, zone)
    cloud.set_instance_state(zone.zone, zone.volume(volume)["instance"]["id"], "stopped")
    return status(zone.send("PUT", f"block-storage/{volume}:detach"))


def label_rules(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    bad = {"a": "with a blank"}
    volume = zone.create_volume(labels={"a": "b"})
    snapshot = zone.create_snapshot(volume, labels={"a": "b"})
    answers = {
        status(zone.send("POST", "block-storage", {"size": 1, "labels": bad})),
        status(zone.send("PUT", f"block-storage/{volume}", {"labels": bad})),
        status(zone.send("POST", f"block-storage/{volume}:create-snapshot", {"labels": bad})),
        status(zone.send("PUT", f"block-storage-snapshot/{snapshot}", {"labels": bad})),
    }
    return {"accepted": "any", "refused": "strict"}[answers.pop()] if len(answers) == 1 else "mixed"


def update_in_use(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = attached_volume(cloud, zone)
    return status(zone.send("PUT", f"block-storage/{volume}", {"labels": {"a": "b"}}))


def refusal_status(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = zone.create_volume()
    body = {"instance": {"id": cloud.add_instance(zone.zone, size="tiny")}}
    refused = [
        zone.send("PUT", f"block-storage/{volume}:detach"),
        zone.send("PUT", f"block-storage/{volume}:attach", body),
    ]
    zone.attach(volume, cloud.add_instance(zone.zone))
    refused += [
        zone.send("DELETE", f"block-storage/{volume}"),
        zone.send("PUT", f"block-storage/{volume}:resize-volume", {"size": 20}),
    ]
    cloud.set_quota("block-storage-volume", 1)
    refused.append(zone.send("POST", "block-storage", {"size": 1}))
    statuses = [response.status_code for response in refused]
    if statuses == [400, 409, 412, 400, 409]:
        return "as-seen"
    return str(statuses[0]) if len(set(statuses)) == 1 else "mixed"


def retry_after(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    cloud.limit_calls(1)
    while (response := zone.send("GET", "block-storage")).status_code == 200:
        pass
    cloud.limit_calls(None)
    assert response.status_code == 429
    said = (response.json().get("retry_after"), response.headers.get("Retry-After"))
    return {(1, None): "body", (None, "1"): "header", (None, None): "absent"}.get(said, "mixed")


def error_body(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    body = zone.send("POST", "block-storage", {}).json()
    if body == {"message": body.get("message"), "errors": [{"message": body.get("message")}]}:
        return "message"
    assert body == {"title": "Bad Request", "status": 400, "detail": body["detail"]}
    return "problem"


def detached_instance(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = zone.volume(zone.create_volume())
    (listed,) = [
        each
        for each in zone.get("block-storage")["block-storage-volumes"]
        if each["id"] == volume["id"]
    ]
    assert listed == volume
    if "instance" not in volume:
        return "absent"
    return {"None": "null", "{}": "empty", "{'id': ''}": "empty-id"}[str(volume["instance"])]


def snapshot_size(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    size = zone.snapshot(zone.create_snapshot(zone.create_volume(size=12)))["size"]
    return {12: "of-volume", 1: "stored"}[size]


def quota_usage(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    names = ("block-storage", "block-storage-volume", "block-storage-snapshot")
    before = [zone.get(f"quota/{name}")["usage"] for name in names]
    volume = zone.create_volume(size=3)
    snapshot = zone.create_snapshot(volume)
    zone.complete("DELETE", f"block-storage-snapshot/{snapshot}")
    zone.complete("DELETE", f"block-storage/{volume}")
    after = [zone.get(f"quota/{name}")["usage"] for name in names]
    more = tuple(now - then for now, then in zip(after, before, strict=True))
    return {(3, 1, 1): "lags", (0, 0, 0): "exact"}.get(more, "mixed")


def resize_final(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = zone.create_volume(size=10)
    answered = zone.begin("PUT", f"block-storage/{volume}:resize-volume", {"size": 20})["size"]
    return {20: "yes", 10: "later"}[answered]


def resize_attached(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = attached_volume(cloud, zone)
    return status(zone.send("PUT", f"block-storage/{volume}:resize-volume", {"size": 20}))


def restore_larger(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    snapshot = zone.create_snapshot(zone.create_volume(size=10))
    body = {"size": 20, "block-storage-snapshot": {"id": snapshot}}
    response = zone.send("POST", "block-storage", body)
    if response.status_code != 200:
        return "refused"
    volume = zone.wait(response.json())["reference"]["id"]
    return {20: "accepted", 10: "ignored"}[zone.volume(volume)["size"]]


def operations(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    operation = zone.begin("POST", "block-storage", {"size": 10})
    path = f"operation/{operation['id']}"
    first = zone.send("GET", path).status_code
    if first != 200:
        return {403: "denied", 404: "missing"}[first]
    patience = threading.Event()
    for _ in range(30):
        if zone.send("GET", path).status_code == 404:
            return "briefly"
        patience.wait(0.05)
    return "readable"


def delete_halfway(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    volume = zone.create_volume()
    snapshot = zone.create_snapshot(volume)
    cloud.set_volume_state(zone.zone, volume, "deleting")
    cloud.set_snapshot_state(zone.zone, snapshot, "creating")
    answers = {
        status(zone.send("DELETE", f"block-storage/{volume}")),
        status(zone.send("DELETE", f"block-storage-snapshot/{snapshot}")),
    }
    return answers.pop() if len(answers) == 1 else "mixed"


def list_of_instance(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    zone.create_volume()
    attached = attached_volume(cloud, zone)
    instance = zone.volume(attached)["instance"]["id"]
    listed = zone.get("block-storage", {"instance-id": instance})["block-storage-volumes"]
    return "yes" if [each["id"] for each in listed] == [attached] else "no"


PROBES: dict[Question, Probe] = {
    Question.LIST_OF_INSTANCE: list_of_instance,
    Question.NAMES_UNIQUE: names_unique,
    Question.LIST_LAG: list_lag,
    Question.GET_LAG: get_lag,
    Question.UNFINISHED: unfinished,
    Question.CREATE_LABELS: create_labels,
    Question.UPDATE_LABELS: update_labels,
    Question.DELETE_ATTACHED: delete_attached,
    Question.DELETE_WITH_SNAPSHOTS: delete_with_snapshots,
    Question.DELETE_HALFWAY: delete_halfway,
    Question.SNAPSHOT_ATTACHED: snapshot_attached,
    Question.LABEL_RULES: label_rules,
    Question.UPDATE_IN_USE: update_in_use,
    Question.REFUSAL_STATUS: refusal_status,
    Question.RETRY_AFTER: retry_after,
    Question.ERROR_BODY: error_body,
    Question.DETACHED_INSTANCE: detached_instance,
    Question.SNAPSHOT_SIZE: snapshot_size,
    Question.QUOTA_USAGE: quota_usage,
    Question.RESIZE_FINAL: resize_final,
    Question.RESIZE_ATTACHED: resize_attached,
    Question.RESTORE_LARGER: restore_larger,
    Question.OPERATIONS: operations,
    Question.MINIMUM_SIZE: minimum_size,
    Question.PARALLEL_ATTACH: parallel_attach,
    Question.DELETE_RESTORED_SNAPSHOT: delete_restored_snapshot,
    Question.DESTROYED_INSTANCE: destroyed_instance,
    Question.DETACH_STOPPED: detach_stopped,
}


def test_every_question_is_probed() -> None:
    assert set(PROBES) == set(Question) - {*QUESTIONS_OF_DEVICES}


@pytest.mark.parametrize("question", PROBES, ids=lambda question: question.label)
def test_first_answer_is_given_unless_told_otherwise(
    cloud: SimulatorProcess, zone: ZoneClient, question: Question
) -> None:
    assert PROBES[question](cloud, zone) == question.answers[0]


@pytest.mark.parametrize(
    ("question", "answer"),
    [(question, answer) for question in PROBES for answer in question.answers],
    ids=lambda value: value.label if isinstance(value, Question) else value,
)
def test_chosen_answer_is_given(
    cloud: SimulatorProcess, zone: ZoneClient, question: Question, answer: str
) -> None:
    if question is not Question.MINIMUM_SIZE:
        zone.create_volume(name="another", size=1)
    cloud.set_mode(question.label, answer)

    assert PROBES[question](cloud, zone) == answer


def test_lagging_list_shows_the_volume_in_the_end() -> None:  # C1: within 5 s
    flags = ("--local-instance", "none", "--latency", "0s", "--mode", "list-lag=yes")
    with SimulatorProcess.start(*flags, "--time-scale", "0.5") as cloud:  # after 2 s
        zone = ZoneClient(cloud, cloud.zones[0])
        volume = zone.create_volume()
        zone.volume(volume)

        lists = 1
        while not zone.get("block-storage")["block-storage-volumes"]:
            lists += 1
        zone.close()

    assert lists > 1


@pytest.mark.parametrize("mode", [{"names-uniq": "yes"}, {"names-unique": "perhaps"}])
def test_unknown_question_or_answer_is_refused(
    cloud: SimulatorProcess, mode: dict[str, str]
) -> None:
    response = requests.put(f"{cloud.base_url}/_simulator/modes", json=mode, timeout=30)

    assert response.status_code == 400
    assert "names-unique" in response.json()["message"]
