"""The vendor's SDK works with the simulator, and its description fits the answers (N15)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from exoscale.api.v2 import Client

from tests.simulator.schema import require_documented
from tests.support.simulator_process import API_KEY, API_SECRET, SimulatorProcess


@pytest.fixture
def sdk(cloud: SimulatorProcess) -> Iterator[Client]:
    """The vendor's SDK in the first zone; each of its answers is held against the description."""
    client = Client(API_KEY, API_SECRET, url=f"{cloud.base_url}/{cloud.zones[0]}/v2")
    client.http_client.trust_env = False
    client.http_client.hooks["response"].append(lambda response, **_: require_documented(response))
    yield client
    client.http_client.close()


def test_sdk_performs_every_operation(
    cloud: SimulatorProcess, sdk: Client, instance: str
) -> None:  # N15
    def done(operation: dict[str, str]) -> str:
        return str(sdk.wait(operation["id"])["reference"]["id"])

    volume = done(sdk.create_block_storage_volume(name="one", size=10, labels={"app": "db"}))
    done(sdk.update_block_storage_volume(id=volume, name="two", labels={"app": "web"}))
    done(sdk.attach_block_storage_volume_to_instance(id=volume, instance={"id": instance}))
    attached = sdk.list_block_storage_volumes(instance_id=instance)["block-storage-volumes"]
    snapshot = done(sdk.create_block_storage_snapshot(id=volume, name="before", labels={"a": "b"}))
    done(sdk.detach_block_storage_volume(id=volume))
    resized = sdk.resize_block_storage_volume(id=volume, size=11)
    done(sdk.update_block_storage_snapshot(id=snapshot, name="after", labels={"a": "c"}))
    snapshots = sdk.list_block_storage_snapshots()["block-storage-snapshots"]
    restored = done(
        sdk.create_block_storage_volume(name="three", block_storage_snapshot={"id": snapshot})
    )
    restored_size_gib = sdk.get_block_storage_volume(id=restored)["size"]
    renamed = sdk.get_block_storage_snapshot(id=snapshot)
    done(sdk.delete_block_storage_snapshot(id=snapshot))
    done(sdk.delete_block_storage_volume(id=volume))
    done(sdk.delete_block_storage_volume(id=restored))

    assert [each["id"] for each in attached] == [volume]
    assert attached[0]["state"] == "attached"
    assert attached[0]["name"] == "two"
    assert attached[0]["labels"] == {"app": "web"}
    assert resized["size"] == 11
    assert [each["id"] for each in snapshots] == [snapshot]
    assert renamed["name"] == "after"
    assert renamed["volume-size"] == restored_size_gib == 10
    assert sdk.list_block_storage_volumes() == {"block-storage-volumes": []}
    assert sdk.list_block_storage_snapshots() == {"block-storage-snapshots": []}
    assert set(cloud.operations_called()) - {"get-operation"} == {
        "create-block-storage-volume",
        "get-block-storage-volume",
        "list-block-storage-volumes",
        "update-block-storage-volume",
        "resize-block-storage-volume",
        "attach-block-storage-volume-to-instance",
        "detach-block-storage-volume",
        "delete-block-storage-volume",
        "create-block-storage-snapshot",
        "get-block-storage-snapshot",
        "list-block-storage-snapshots",
        "update-block-storage-snapshot",
        "delete-block-storage-snapshot",
    }


def test_sdk_reads_what_surrounds_the_volumes(
    cloud: SimulatorProcess, sdk: Client, instance: str
) -> None:  # N15
    quotas = {row["resource"]: row for row in sdk.list_quotas()["quotas"]}

    described = sdk.get_instance(id=instance)
    assert described["state"] == "running"
    assert described in sdk.list_instances()["instances"]
    assert sdk.get_instance_type(id=described["instance-type"]["id"])["size"] == "medium"
    assert quotas["block-storage"]["limit"] == 20 * 1024
    assert sdk.get_quota(entity="block-storage") == quotas["block-storage"]
    assert quotas["block-storage-volume-attachments"]["limit"] == 5
    assert {zone["name"]: zone["api-endpoint"] for zone in sdk.list_zones()["zones"]} == {
        zone: f"{cloud.base_url}/{zone}/v2" for zone in cloud.zones
    }


def test_endpoint_without_a_zone_is_that_of_the_first(cloud: SimulatorProcess) -> None:  # N15
    client = Client(API_KEY, API_SECRET, url=f"{cloud.base_url}/v2")
    client.http_client.trust_env = False
    client.http_client.hooks["response"].append(lambda response, **_: require_documented(response))

    created = client.wait(client.create_block_storage_volume(name="one", size=1)["id"])
    found = client.get_block_storage_volume(id=created["reference"]["id"])
    client.http_client.close()

    assert found["name"] == "one"
    assert [volume["zone"] for volume in cloud.volumes()] == [cloud.zones[0]]
    assert {call.zone for call in cloud.calls()} == {cloud.zones[0]}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/block-storage", 404),
        ("POST", "/block-storage", 404),
        ("GET", "/v2/private-network", 404),
        ("PATCH", "/v2/block-storage", 405),
    ],
)
def test_wrong_path_says_what_the_right_one_is(
    cloud: SimulatorProcess, method: str, path: str, status: int
) -> None:
    response = requests.request(method, f"{cloud.base_url}{path}", timeout=30)

    assert response.status_code == status
    message = response.json()["message"]
    assert message.startswith(f"{method} {path} is not served; ")
    assert f"zone {cloud.zones[0]} is at {cloud.base_url}/v2," in message
    assert f"{cloud.base_url}/ZONE/v2, where ZONE is one of {', '.join(cloud.zones)};" in message


def test_wrong_zone_says_which_there_are(cloud: SimulatorProcess) -> None:
    response = requests.get(f"{cloud.base_url}/zz-top-1/v2/zone", timeout=30)

    assert response.status_code == 404
    assert response.json()["message"] == (
        f"zone zz-top-1 not found; this cloud has {', '.join(cloud.zones)}"
    )


def test_zones_are_told_as_documented_and_without_a_signature(cloud: SimulatorProcess) -> None:
    response = requests.get(f"{cloud.base_url}/{cloud.zones[0]}/v2/zone", timeout=30)

    require_documented(response)


def test_pending_and_failed_operations_are_told_as_documented(
    cloud: SimulatorProcess, sdk: Client
) -> None:
    """The hook of the fixture checks the answers."""
    cloud.add_fault(fault="fail", operation="create-block-storage-volume", reason="fault", count=1)
    cloud.add_fault(fault="hang", operation="create-block-storage-volume", skip=1)

    failed = sdk.create_block_storage_volume(name="one", size=1)
    hanging = sdk.create_block_storage_volume(name="two", size=1)

    assert sdk.get_operation(id=failed["id"])["reason"] == "fault"
    assert sdk.get_operation(id=hanging["id"])["state"] == "pending"
    assert sdk.get_block_storage_volume(id=hanging["reference"]["id"])["state"] == "creating"
