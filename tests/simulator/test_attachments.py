"""Volumes are attached to one instance of their zone at a time (N15)."""

from __future__ import annotations

import pytest
import requests

from tests.simulator.client import ZoneClient
from tests.support.simulator_process import SimulatorProcess


def attach(zone: ZoneClient, volume: str, instance: str) -> requests.Response:
    """Ask for an attach."""
    body = {"instance": {"id": instance}}
    return zone.send("PUT", f"block-storage/{volume}:attach", body)


def test_attached_volume_names_its_instance(zone: ZoneClient, instance: str) -> None:
    volume = zone.create_volume()
    other = zone.create_volume()

    zone.attach(volume, instance)
    listed = zone.get("block-storage", {"instance-id": instance})["block-storage-volumes"]

    assert zone.volume(volume)["state"] == "attached"
    assert zone.volume(volume)["instance"] == {"id": instance}
    assert [each["id"] for each in listed] == [volume]
    assert not zone.volume(other)["instance"]


def test_detached_volume_names_none(zone: ZoneClient, instance: str) -> None:
    volume = zone.create_volume()
    zone.attach(volume, instance)

    zone.detach(volume)

    assert zone.volume(volume)["state"] == "detached"
    assert not zone.volume(volume)["instance"]


def test_detaching_volume_names_its_instance(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str
) -> None:
    volume = zone.create_volume()
    zone.attach(volume, instance)
    cloud.add_fault(fault="hang")

    zone.begin("PUT", f"block-storage/{volume}:detach")

    assert zone.volume(volume)["instance"] == {"id": instance}


@pytest.mark.parametrize("state", ["attaching", "detaching"])
def test_volume_on_its_way_without_an_operation_can_be_detached(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str, state: str
) -> None:  # S3
    volume = zone.create_volume()
    cloud.set_volume_state(zone.zone, volume, state, instance=instance)
    assert zone.volume(volume)["instance"] == {"id": instance}
    assert attach(zone, volume, instance).status_code == 409

    zone.detach(volume)

    assert zone.volume(volume)["state"] == "detached"


def test_second_attach_is_refused(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str
) -> None:  # D3
    volume = zone.create_volume()
    other = cloud.add_instance(zone.zone)
    zone.attach(volume, instance)

    assert attach(zone, volume, instance).status_code == 409
    assert attach(zone, volume, other).status_code == 409
    assert zone.volume(volume)["instance"] == {"id": instance}


def test_second_detach_is_refused(zone: ZoneClient) -> None:
    volume = zone.create_volume()

    response = zone.send("PUT", f"block-storage/{volume}:detach")

    assert (response.status_code, response.json()["message"]) == (400, "Volume not attached")


@pytest.mark.parametrize("size", ["micro", "tiny"])
def test_instance_that_is_too_small_has_no_volumes(
    cloud: SimulatorProcess, zone: ZoneClient, size: str
) -> None:
    volume = zone.create_volume()
    instance = cloud.add_instance(zone.zone, size=size)

    response = attach(zone, volume, instance)

    assert response.status_code == 409
    assert response.json()["message"] == "Instance size must be at least small"
    kind = zone.get(f"instance/{instance}")["instance-type"]["id"]
    assert zone.get(f"instance-type/{kind}")["size"] == size
    assert attach(zone, volume, cloud.add_instance(zone.zone, size="small")).status_code == 200


def test_locked_instance_neither_gets_nor_gives_volumes(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str
) -> None:
    attached, other = zone.create_volume(), zone.create_volume()
    zone.attach(attached, instance)
    cloud.lock_instance(zone.zone, instance)

    refused = [
        attach(zone, other, instance),
        zone.send("PUT", f"block-storage/{attached}:detach"),
    ]
    cloud.lock_instance(zone.zone, instance, locked=False)

    assert [response.status_code for response in refused] == [403, 403]
    zone.detach(attached)


def test_instance_of_another_zone_is_not_found(
    cloud: SimulatorProcess, zone: ZoneClient, other_zone: ZoneClient
) -> None:
    volume = zone.create_volume()

    assert attach(zone, volume, cloud.add_instance(other_zone.zone)).status_code == 404


def test_sixth_attach_to_an_instance_is_refused(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str
) -> None:  # S9
    for _ in range(5):
        zone.attach(zone.create_volume(), instance)
    sixth = zone.create_volume()

    at_the_limit = attach(zone, sixth, instance)
    zone.attach(sixth, cloud.add_instance(zone.zone))

    assert at_the_limit.status_code == 409
    assert "block-storage-volume-attachments" in at_the_limit.json()["message"]


def test_attaching_volumes_count_to_the_limit(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str
) -> None:
    cloud.set_quota("block-storage-volume-attachments", 1)
    first, second = zone.create_volume(), zone.create_volume()
    cloud.add_fault(fault="hang", count=1)

    statuses = [attach(zone, volume, instance).status_code for volume in (first, second)]

    assert statuses == [200, 409]


@pytest.mark.parametrize("state", ["destroying", "destroyed"])
def test_instance_that_goes_takes_no_volume(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str, state: str
) -> None:
    volume = zone.create_volume()
    cloud.set_instance_state(zone.zone, instance, state)

    assert attach(zone, volume, instance).status_code == 409
    assert zone.get(f"instance/{instance}")["state"] == state


@pytest.mark.parametrize("state", ["running", "stopped", "destroying"])
def test_detach_works_in_every_state_of_the_instance(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str, state: str
) -> None:  # S1
    volume = zone.create_volume()
    zone.attach(volume, instance)
    cloud.set_instance_state(zone.zone, instance, state)

    zone.detach(volume)

    assert zone.volume(volume)["state"] == "detached"


def test_removed_instance_frees_its_volumes_and_is_unknown(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str
) -> None:  # S1
    volume = zone.create_volume()
    zone.attach(volume, instance)

    cloud.remove_instance(zone.zone, instance)

    assert zone.volume(volume)["state"] == "detached"
    assert zone.send("GET", f"instance/{instance}").status_code == 404


@pytest.mark.parametrize("under_way", ["attach", "detach"])
def test_operation_under_way_when_its_instance_goes_leaves_the_next_attach_alone(
    cloud: SimulatorProcess, zone: ZoneClient, instance: str, under_way: str
) -> None:  # S1
    volume = zone.create_volume()
    body = {"instance": {"id": instance}}
    if under_way == "detach":
        zone.attach(volume, instance)
    cloud.set_latency("all", 0.5)
    begun = zone.begin("PUT", f"block-storage/{volume}:{under_way}", body)
    cloud.set_instance_state(zone.zone, instance, "destroyed")
    ended = zone.get(f"operation/{begun['id']}")["state"]
    cloud.set_latency("attach", 0.0)
    other = cloud.add_instance(zone.zone)

    zone.attach(volume, other)
    zone.create_volume()  # ends after the first operation would have

    assert ended == {"attach": "failure", "detach": "success"}[under_way]
    assert zone.volume(volume)["state"] == "attached"
    assert zone.volume(volume)["instance"] == {"id": other}
