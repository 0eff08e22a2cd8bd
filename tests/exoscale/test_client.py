"""The driver's client against the simulated cloud: every operation, and which zones there are."""

from __future__ import annotations

import importlib.resources
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DeadlineExceeded,
    NotFound,
    UnprovenAbsence,
)
from csi_exoblock.exoscale.client import Cloud, ZoneClient
from csi_exoblock.exoscale.operations import OperationWaiter
from csi_exoblock.exoscale.pace import Paces
from csi_exoblock.exoscale.routes import OPERATIONS
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import NodeId, Operation, Snapshot, Volume, ZoneName
from csi_exoblock.states import InstanceState, OperationState, SnapshotState, VolumeState
from tests.exoscale.conftest import QUICK, USER_AGENT, MakeCloud
from tests.exoscale.scripted_server import Answer, Hold, ScriptedServer
from tests.support.asking import LONG_SECONDS, Asking
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

LIMIT_SECONDS = 20.0

LIST_ZONES = "list-zones"
ZONES = Answer(body=b'{"zones": [{"name": "ch-gva-2"}]}')
LIST_VOLUMES = "list-block-storage-volumes"


@pytest.fixture
def deadline() -> Deadline:
    return Deadline(LONG_SECONDS)


@pytest.fixture
def zone(simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline) -> ZoneClient:
    """The first zone, of a cloud whose zones are known."""
    cloud.zones(deadline)
    simulator.clear_calls()
    return cloud.zone(ZoneName(simulator.zones[0]))


@pytest.fixture
def waiter(cloud: Cloud, metrics: Metrics) -> OperationWaiter:
    return OperationWaiter(cloud=cloud, timing=QUICK, metrics=metrics)


class Owner:
    """Somebody who does one thing after the other with a volume."""

    def __init__(self, zone: ZoneClient, waiter: OperationWaiter) -> None:
        self._zone = zone
        self._waiter = waiter
        self._deadline = Deadline(LONG_SECONDS)

    def done(self, operation: Operation) -> UUID:
        """Wait until the operation has succeeded, and return what it is about."""
        ended = self._waiter.wait(operation, self._deadline)
        assert ended.state is OperationState.SUCCESS
        assert ended.kind == operation.kind
        assert ended.reference is not None
        return ended.reference

    def volume(self, *, size_gib: int = 1, snapshot_id: UUID | None = None) -> Volume:
        created = self.done(
            self._zone.create_volume(
                name="pvc-1",
                size_gib=size_gib,
                labels={"a": "1"},
                snapshot_id=snapshot_id,
                deadline=self._deadline,
            )
        )
        return self._zone.get_volume(created, self._deadline)

    def snapshot(self, volume: Volume) -> Snapshot:
        taken = self.done(
            self._zone.create_snapshot(
                volume.id.uuid, name="snapshot-1", labels={"b": "2"}, deadline=self._deadline
            )
        )
        return self._zone.get_snapshot(taken, self._deadline)


@pytest.fixture
def owner(zone: ZoneClient, waiter: OperationWaiter) -> Owner:
    return Owner(zone, waiter)


def test_volume_and_snapshot_live_their_lives(
    simulator: SimulatorProcess, zone: ZoneClient, owner: Owner, deadline: Deadline
) -> None:
    node = UUID(simulator.add_instance(zone.zone))
    volume = owner.volume()
    assert (volume.id.zone, volume.name, volume.size_gib) == (zone.zone, "pvc-1", 1)
    assert (volume.state, volume.labels) == (VolumeState.DETACHED, {"a": "1"})

    assert zone.resize_volume(volume.id.uuid, 2, deadline).size_gib == 2
    owner.done(zone.update_volume(volume.id.uuid, labels={"c": "3"}, deadline=deadline))

    owner.done(zone.attach_volume(volume.id.uuid, node, deadline))
    (attached,) = zone.list_volumes_of(node, deadline)
    assert attached.attached_to == NodeId(zone.zone, node)
    assert (attached.state, attached.size_gib) == (VolumeState.ATTACHED, 2)
    owner.done(zone.detach_volume(volume.id.uuid, deadline))

    snapshot = owner.snapshot(volume)
    assert (snapshot.name, snapshot.state) == ("snapshot-1", SnapshotState.CREATED)
    assert (snapshot.volume_id, snapshot.volume_size_gib) == (volume.id, 2)
    owner.done(zone.update_snapshot(snapshot.id.uuid, labels={"d": "4"}, deadline=deadline))
    assert [each.labels for each in zone.list_snapshots(deadline)] == [{"d": "4"}]
    assert zone.get_volume(volume.id.uuid, deadline).snapshot_ids == (snapshot.id,)

    restored = owner.volume(size_gib=3, snapshot_id=snapshot.id.uuid)
    assert {each.id for each in zone.list_volumes(deadline)} == {volume.id, restored.id}
    for id in (volume.id.uuid, restored.id.uuid):
        owner.done(zone.delete_volume(id, deadline))
    owner.done(zone.delete_snapshot(snapshot.id.uuid, deadline))
    assert not zone.list_volumes(deadline)
    assert not zone.list_snapshots(deadline)


def test_instance_and_quotas_are_read(
    simulator: SimulatorProcess, zone: ZoneClient, deadline: Deadline
) -> None:
    node = UUID(simulator.add_instance(zone.zone))
    simulator.set_instance_state(zone.zone, str(node), "stopped")

    instance = zone.get_instance(node, deadline)
    quotas = {quota.resource: quota for quota in zone.list_quotas(deadline)}

    assert node in zone.list_instance_ids(deadline)
    assert (instance.id, instance.state) == (NodeId(zone.zone, node), InstanceState.STOPPED)
    assert quotas["block-storage-volume"].usage == 0


def test_call_is_signed_and_says_who_calls(
    simulator: SimulatorProcess, zone: ZoneClient, deadline: Deadline
) -> None:
    zone.list_volumes_of(uuid4(), deadline)  # a query is part of what is signed

    assert [call.user_agent for call in simulator.calls()] == [USER_AGENT]


def test_operations_are_those_of_the_vendor_s_description() -> None:
    """F14: the role that is made of them allows what is called, and nothing else."""
    text = (importlib.resources.files("exoscale") / "openapi.json").read_text()
    described = {
        operation["operationId"]: (method.upper(), path)
        for path, item in json.loads(text)["paths"].items()
        for method, operation in item.items()
        if "operationId" in operation
    }

    called = {id: (each.method, each.path) for id, each in OPERATIONS.items()}

    assert called == {id: described[id] for id in OPERATIONS}


def test_every_operation_is_called_by_its_method(
    server: ScriptedServer, make_cloud: MakeCloud, deadline: Deadline
) -> None:  # F14: none is listed in vain
    id = uuid4()
    body = {"id": str(id), "state": "success", "quotas": [], "zones": [{"name": "ch-gva-2"}]}
    body |= {"block-storage-volumes": [], "block-storage-snapshots": [], "instances": []}
    server.script += [Answer(body=json.dumps(body).encode())] * len(OPERATIONS)
    cloud = make_cloud(server.url)
    zone = cloud.zone(ZoneName("ch-gva-2"))

    operations = [
        zone.create_volume(name="a", size_gib=1, labels={}, snapshot_id=None, deadline=deadline),
        zone.update_volume(id, labels={}, deadline=deadline),
        zone.attach_volume(id, id, deadline),
        zone.detach_volume(id, deadline),
        zone.delete_volume(id, deadline),
        zone.create_snapshot(id, name="a", labels={}, deadline=deadline),
        zone.update_snapshot(id, labels={}, deadline=deadline),
        zone.delete_snapshot(id, deadline),
    ]
    cloud.zones(deadline)
    zone.list_quotas(deadline)
    zone.list_instance_ids(deadline)
    zone.get_instance(id, deadline)
    zone.get_instance_size(id, deadline)
    zone.get_operation(id, deadline)
    zone.list_volumes(deadline)
    zone.get_volume(id, deadline)
    zone.resize_volume(id, 2, deadline)
    zone.list_snapshots(deadline)
    zone.get_snapshot(id, deadline)

    sent = {(each.method, each.path) for each in server.received}
    assert sent == {(each.method, each.path.format(id=id)) for each in OPERATIONS.values()}
    assert {each.kind for each in operations} == {
        name
        for name, each in OPERATIONS.items()
        if each.method != "GET" and name != "resize-block-storage-volume"
    }


def test_what_does_not_exist_is_named(
    simulator: SimulatorProcess, zone: ZoneClient, owner: Owner, deadline: Deadline
) -> None:  # F11
    id, volume = uuid4(), owner.volume().id.uuid

    with pytest.raises(NotFound, match=rf"volume {zone.zone}/{id} does not exist"):
        zone.get_volume(id, deadline)
    with pytest.raises(NotFound, match=rf"snapshot {zone.zone}/{id} does not exist"):
        zone.create_volume(name="a", size_gib=1, labels={}, snapshot_id=id, deadline=deadline)
    with pytest.raises(NotFound, match=rf"instance {zone.zone}/{id} does not exist"):
        zone.get_instance(id, deadline)
    with pytest.raises(NotFound, match=r"attach-.* HTTP 404"):
        zone.attach_volume(volume, id, deadline)


def test_answer_about_another_resource_is_no_answer(
    simulator: SimulatorProcess, zone: ZoneClient, deadline: Deadline
) -> None:  # D12, F18: what is believed of one would be done to the other
    asked, another = uuid4(), json.dumps({"id": str(uuid4()), "state": "success"})
    simulator.add_fault(fault="garbage", status=200, body=another)

    for call in (
        partial(zone.get_volume, asked),
        partial(zone.get_snapshot, asked),
        partial(zone.get_instance, asked),
        partial(zone.get_operation, asked),
    ):
        with pytest.raises((ApiUnavailable, DeadlineExceeded)):  # repeated until its time ends
            call(deadline.within(0.5))
    with pytest.raises(ApiUnavailable, match="it is about") as caught:
        zone.resize_volume(asked, 2, deadline)
    assert caught.value.may_have_effect is True


def test_read_that_was_answered_about_another_volume_is_repeated(
    simulator: SimulatorProcess, zone: ZoneClient, owner: Owner, deadline: Deadline
) -> None:  # F18
    volume = owner.volume()
    simulator.add_fault(fault="garbage", status=200, body=json.dumps({"id": str(uuid4())}), count=1)

    assert zone.get_volume(volume.id.uuid, deadline) == volume


def test_refused_write_says_why(zone: ZoneClient, owner: Owner, deadline: Deadline) -> None:
    volume = owner.volume(size_gib=2)

    with pytest.raises(ApiRejected, match=rf"volume {volume.id}: HTTP 4\d\d: \w+") as caught:
        zone.resize_volume(volume.id.uuid, 1, deadline)

    assert caught.value.http_status in (400, 409, 422)


def test_refused_key_is_denied(
    simulator: SimulatorProcess, zone: ZoneClient, deadline: Deadline
) -> None:
    simulator.add_fault(fault="refuse", operation="*", status=403, count=1)

    with pytest.raises(ApiDenied, match="check the API key"):
        zone.list_quotas(deadline)


def test_dropped_answer_leaves_the_volume_and_says_that_it_may(
    simulator: SimulatorProcess, zone: ZoneClient, deadline: Deadline
) -> None:  # C1
    create = "create-block-storage-volume"
    simulator.add_fault(fault="drop", operation=create, when="after", count=1)

    with pytest.raises(ApiUnavailable, match="no answer") as caught:
        zone.create_volume(name="a", size_gib=1, labels={}, snapshot_id=None, deadline=deadline)

    assert caught.value.may_have_effect is True
    assert [each["name"] for each in simulator.volumes()] == ["a"]
    assert simulator.operations_called() == [create]


def test_lists_asked_for_together_are_one_call(
    server: ScriptedServer, make_cloud: MakeCloud, deadline: Deadline, threads: ThreadPoolExecutor
) -> None:  # S20
    gate, empty = threading.Event(), Answer(body=b'{"block-storage-volumes": []}')
    server.script += [ZONES, Hold(gate, empty), empty]
    cloud = make_cloud(server.url)
    cloud.zones(deadline)
    server.arrived.acquire()
    zone = cloud.zone(ZoneName("ch-gva-2"))
    early = threads.submit(zone.list_volumes, deadline)
    server.arrived.acquire()
    late = [Asking() for _ in range(20)]
    lists = [threads.submit(zone.list_volumes, each) for each in late]
    have_asked = all(each.asked.wait(LIMIT_SECONDS) for each in late)

    gate.set()

    assert have_asked
    assert list(early.result()) == []
    assert {tuple(each.result()) for each in lists} == {()}
    assert len(server.received) == 3


def test_list_that_hangs_once_is_repeated_while_its_callers_wait(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:  # S12: else each create of the zone that shares it would fail
    cloud = make_cloud(simulator.api_endpoint, timing=replace(QUICK, api_timeout=24.0))
    zone = cloud.zone(cloud.zones(deadline)[0])
    simulator.add_fault(fault="delay", operation=LIST_VOLUMES, seconds=LIMIT_SECONDS, count=1)

    assert list(zone.list_volumes(deadline)) == []

    assert simulator.operations_called().count(LIST_VOLUMES) == 2


def test_list_whose_turn_does_not_come_does_not_end_the_time_of_those_who_asked(
    server: ScriptedServer, make_cloud: MakeCloud, deadline: Deadline
) -> None:  # S20
    timing, paces = replace(QUICK, api_timeout=2.0), nearly_still()
    server.script += [ZONES]
    cloud = make_cloud(server.url, timing=timing, paces=paces)
    cloud.zones(deadline)  # takes the turn
    zone = cloud.zone(ZoneName("ch-gva-2"))

    for get in (zone.list_volumes, zone.list_snapshots):
        with pytest.raises(ApiUnavailable, match=r"list-.* for zone ch-gva-2: .* within 2 s"):
            get(deadline)
    assert len(server.received) == 1


def nearly_still() -> Paces:
    """Make paces that let one request through in each zone, and the next after minutes."""
    return Paces(timing=QUICK, most_per_second=0.001)


def take_turn(paces: Paces, zone: str) -> None:
    with paces.of(zone).turn("another request", Deadline(LONG_SECONDS)):
        pass


# zones


def test_zones_are_listed_once(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline
) -> None:  # S20
    assert cloud.zones(deadline) == simulator.zones
    assert cloud.zones(deadline) == simulator.zones
    assert simulator.operations_called() == [LIST_ZONES]


def test_zones_are_listed_again_when_they_are_old(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:
    cloud = make_cloud(simulator.api_endpoint, timing=replace(QUICK, zones_age=0.0))

    cloud.zones(deadline)
    cloud.zones(deadline)

    wait_until(lambda: simulator.operations_called() == [LIST_ZONES] * 2)


def test_zone_that_does_not_answer_delays_no_call_when_the_zones_are_old(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:  # S12: it would be all creates in all zones, once an hour
    cloud = make_cloud(simulator.api_endpoint, timing=replace(QUICK, zones_age=0.0))
    cloud.zones(deadline)
    simulator.add_fault(fault="delay", operation=LIST_ZONES, seconds=LIMIT_SECONDS)

    for _ in range(3):
        assert cloud.zones(Deadline(0.5)) == simulator.zones

    wait_until(partial(has_called, simulator, 2))
    assert simulator.operations_called() == [LIST_ZONES] * 2  # one read at a time


def test_zone_that_answered_is_asked_first_the_next_time(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline
) -> None:  # S12: the dead zone is often the first, and a zone that nobody knows is asked for
    simulator.add_fault(fault="drop", operation="*", zone=simulator.zones[0])
    cloud.zones(deadline)
    simulator.clear_calls()

    cloud.zones(deadline, [ZoneName("at-new-1")])

    assert [call.zone for call in simulator.calls()] == [simulator.zones[1]]


def test_old_zones_serve_while_no_new_ones_come(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:  # S12
    cloud = make_cloud(simulator.api_endpoint, timing=replace(QUICK, zones_age=0.0))
    cloud.zones(deadline)
    simulator.add_fault(fault="drop", operation="*")

    assert cloud.zones(deadline) == simulator.zones


def test_dead_zone_does_not_hide_the_others(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline
) -> None:  # S12
    simulator.add_fault(fault="drop", operation="*", zone=simulator.zones[0])

    assert cloud.zones(deadline) == simulator.zones


@pytest.mark.parametrize("status", [400, 403, 404, 503])
def test_zone_that_refuses_does_not_hide_the_others(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline, status: int
) -> None:  # S12
    simulator.add_fault(fault="refuse", operation="*", status=status, zone=simulator.zones[0])

    assert cloud.zones(deadline) == simulator.zones


def test_zone_whose_turn_does_not_come_does_not_hide_the_others(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:  # S12
    timing, paces = replace(QUICK, api_timeout=5.0), nearly_still()
    cloud = make_cloud(simulator.api_endpoint, timing=timing, paces=paces)
    take_turn(paces, simulator.zones[0])

    assert cloud.zones(deadline) == simulator.zones


def test_refused_key_is_told_by_what_every_zone_says(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline
) -> None:  # N14
    simulator.add_fault(fault="refuse", operation="*", status=403)

    with pytest.raises(ApiDenied, match="check the API key"):
        cloud.zones(deadline)


def test_key_that_one_zone_refuses_while_another_is_dead_may_be_good(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline
) -> None:  # S12
    simulator.add_fault(fault="drop", operation="*", zone=simulator.zones[0])
    simulator.add_fault(fault="refuse", operation="*", status=403, zone=simulator.zones[1])

    with pytest.raises(ApiUnavailable, match="check the API key"):
        cloud.zones(deadline)


def test_zones_are_unavailable_while_none_answers(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline
) -> None:
    simulator.add_fault(fault="refuse", operation="*", status=503, count=2)

    with pytest.raises(ApiUnavailable, match="HTTP 503"):
        cloud.zones(deadline)
    assert cloud.zones(deadline) == simulator.zones


@pytest.mark.parametrize(
    "flags", [{"zones": ("{first}", "xx-none-1")}, {"default_zone": "xx-none-1"}]
)
def test_zone_of_a_flag_that_does_not_exist_is_an_error(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline, flags: dict[str, Any]
) -> None:  # S12: a list of the others would be short
    zones = tuple(each.format(first=simulator.zones[0]) for each in flags.pop("zones", ()))
    cloud = make_cloud(simulator.api_endpoint, zones=zones, **flags)

    for _ in range(2):
        with pytest.raises(
            ApiUnavailable, match=r"zone xx-none-1 does not exist.*correct the flag"
        ):
            cloud.zones(deadline)


def test_default_zone_is_the_one_that_is_asked(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:
    first, second = simulator.zones[:2]
    cloud = make_cloud(simulator.api_endpoint, zones=(first, second), default_zone=second)

    assert cloud.zones(deadline) == (first, second)
    assert [call.zone for call in simulator.calls()] == [second]


def has_called(simulator: SimulatorProcess, times: int) -> bool:
    return len(simulator.operations_called()) >= times


def hole(zones: Sequence[str]) -> dict[str, Any]:
    """Describe a fault: a list of zones that has only these."""
    body = json.dumps({"zones": [{"name": each} for each in zones]})
    return {"fault": "garbage", "operation": LIST_ZONES, "body": body}


def test_zone_that_no_list_names_is_not_asked_and_not_called_empty(
    simulator: SimulatorProcess, cloud: Cloud, metrics: Metrics, deadline: Deadline
) -> None:  # S12: everything in it would count as deleted
    cloud.zones(deadline)
    simulator.clear_calls()

    for _ in range(2):
        with pytest.raises(ApiUnavailable, match="zone xx-none-1 is not among those") as caught:
            cloud.zone(ZoneName("xx-none-1")).get_volume(uuid4(), deadline)
        assert caught.value.may_have_effect is False

    assert simulator.operations_called() == [LIST_ZONES] * 2  # read again each time
    assert {call.zone for call in simulator.calls()} <= set(simulator.zones)
    assert "xx-none-1" not in metrics.text()


def test_list_that_lacks_a_zone_is_not_believed(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline
) -> None:  # S12
    first, second = simulator.zones[:2]
    fault = simulator.add_fault(**hole([first]))
    cloud.zones(deadline)

    with pytest.raises(ApiUnavailable, match=f"zone {second} is not among those"):
        cloud.zone(ZoneName(second)).list_volumes(deadline)
    simulator.remove_fault(fault)

    assert cloud.zone(ZoneName(second)).list_volumes(deadline).ids() == frozenset()
    assert cloud.zones(deadline) == (first, second)


def test_zone_that_was_listed_once_is_kept(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:  # S12: a list without its volumes would read as "detached"
    cloud = make_cloud(simulator.api_endpoint, timing=replace(QUICK, zones_age=0.0))
    cloud.zones(deadline)
    simulator.add_fault(**hole(simulator.zones[:1]))

    for reads in (2, 3):
        assert cloud.zones(deadline) == simulator.zones
        wait_until(partial(has_called, simulator, reads))


def test_zone_that_is_asked_for_is_listed_again(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline
) -> None:  # S12
    first, second = (ZoneName(each) for each in simulator.zones[:2])
    fault = simulator.add_fault(**hole([first]))
    assert cloud.zones(deadline, [second]) == (first,)
    simulator.remove_fault(fault)

    assert cloud.zones(deadline, [first]) == (first,)
    assert cloud.zones(deadline, [second]) == (first, second)


@pytest.mark.parametrize(
    "names", [[], ["evil/v2/block-storage#"], ["CH-GVA-2"], ["a.b"], ["user@host"], ["x" * 64]]
)
def test_list_without_a_zone_is_no_answer(
    simulator: SimulatorProcess,
    cloud: Cloud,
    metrics: Metrics,
    deadline: Deadline,
    names: list[str],
) -> None:  # S12, F18
    simulator.add_fault(**hole(names))

    with pytest.raises(ApiUnavailable, match="no zone tells which zones exist"):
        cloud.zones(deadline)

    assert {call.zone for call in simulator.calls()} <= set(simulator.zones)


def test_hostile_name_hides_no_zone_and_becomes_no_url(
    simulator: SimulatorProcess, cloud: Cloud, deadline: Deadline
) -> None:  # F18
    simulator.add_fault(**hole(["evil/v2/block-storage#", *simulator.zones]))

    assert cloud.zones(deadline) == simulator.zones


def test_zones_of_flags_serve_where_the_list_is_forbidden(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:  # some roles lack list-zones
    first, second = simulator.zones[:2]
    simulator.add_fault(fault="refuse", operation=LIST_ZONES, status=403)
    cloud = make_cloud(simulator.api_endpoint, default_zone=first)

    assert cloud.zone(ZoneName(first)).list_volumes(deadline).ids() == frozenset()
    with pytest.raises(ApiDenied):
        cloud.zone(ZoneName(second)).list_volumes(deadline)


PAGE = "<html>404 Not Found</html>"
IN_THE_API_S_FORM = '{"message": "no Route matched with those values"}'


def page(**rule: Any) -> dict[str, Any]:
    """Describe a fault: a load balancer's own 404."""
    return {"fault": "refuse", "status": 404, "body": PAGE, **rule}


@pytest.mark.parametrize("body", [PAGE, IN_THE_API_S_FORM])
def test_404_is_no_proof_while_the_list_has_the_volume(
    simulator: SimulatorProcess, zone: ZoneClient, owner: Owner, deadline: Deadline, body: str
) -> None:  # section 7
    volume = owner.volume().id.uuid
    snapshot = owner.snapshot(zone.get_volume(volume, deadline)).id.uuid
    for operation in ("get-block-storage-volume", "delete-block-storage-volume"):
        simulator.add_fault(**page(operation=operation, body=body))
    simulator.add_fault(**page(operation="get-block-storage-snapshot", body=body))

    for call in (
        partial(zone.get_volume, volume, deadline),
        partial(zone.delete_volume, volume, deadline),
        partial(zone.get_snapshot, snapshot, deadline),
    ):
        with pytest.raises(UnprovenAbsence, match="HTTP 404"):
            call()


def test_404_of_a_load_balancer_counts_once_a_list_lacks_the_volume(
    simulator: SimulatorProcess, zone: ZoneClient, deadline: Deadline
) -> None:  # section 7
    simulator.add_fault(**page(operation="get-block-storage-volume"))
    simulator.add_fault(**page(operation="get-block-storage-snapshot"))

    with pytest.raises(NotFound, match="does not exist"):
        zone.get_volume(uuid4(), deadline)
    with pytest.raises(NotFound, match="does not exist"):
        zone.get_snapshot(uuid4(), deadline)


@pytest.mark.parametrize("body", [PAGE, IN_THE_API_S_FORM])
def test_404_proves_nothing_while_there_is_no_list(
    simulator: SimulatorProcess, zone: ZoneClient, deadline: Deadline, body: str
) -> None:  # section 7
    simulator.add_fault(**page(body=body))

    with pytest.raises(ApiUnavailable) as caught:
        zone.delete_volume(uuid4(), deadline.within(2.0))
    assert caught.value.may_have_effect is True


@pytest.mark.parametrize("body", [IN_THE_API_S_FORM, PAGE])
def test_404_for_what_is_asked_of_the_zone_itself_is_no_absence(
    simulator: SimulatorProcess, zone: ZoneClient, deadline: Deadline, body: str
) -> None:  # section 7: callers take NotFound for the absence of their volume
    simulator.add_fault(**page(body=body))

    for call in (
        partial(zone.list_quotas, deadline.within(1.0)),
        partial(
            zone.create_volume,
            name="a",
            size_gib=1,
            labels={},
            snapshot_id=None,
            deadline=deadline,
        ),
    ):
        with pytest.raises(ApiUnavailable):
            call()


def test_zone_out_of_scope_is_reached_for_what_is_there(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:
    """A volume made before the scope was narrowed must not be taken for deleted."""
    first, second = simulator.zones[:2]
    cloud = make_cloud(simulator.api_endpoint, zones=(first,))
    cloud.zones(deadline)

    assert cloud.zone(ZoneName(second)).list_volumes(deadline).ids() == frozenset()


def test_endpoint_without_zone_serves_its_zone_only(
    simulator: SimulatorProcess, make_cloud: MakeCloud, deadline: Deadline
) -> None:
    first, second = simulator.zones[:2]
    endpoint = simulator.api_endpoint.replace("{zone}", first)
    cloud = make_cloud(endpoint, default_zone=first)

    assert cloud.zones(deadline) == (first,)
    assert cloud.zone(ZoneName(first)).list_volumes(deadline).ids() == frozenset()
    with pytest.raises(ApiUnavailable, match=f"{second} can't be reached.* {first} only"):
        cloud.zone(ZoneName(second)).list_volumes(deadline)


def test_client_of_a_zone_is_the_same_for_all(cloud: Cloud, deadline: Deadline) -> None:
    """S20: its lists can only be shared by those who share the client."""
    cloud.zones(deadline)

    assert cloud.zone(ZoneName("ch-gva-2")) is cloud.zone(ZoneName("ch-gva-2"))
