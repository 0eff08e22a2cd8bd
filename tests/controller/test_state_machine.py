"""Any order of creates, copies, growths, deletes and lists agrees with a simple model of it.

C5: sizes. S18: one snapshot for each name. S20: pages show what was there when the list began.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, cast

import grpc
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from csi_exoblock.pb import csi_pb2
from tests.controller import requests as csi
from tests.controller.conftest import Controller
from tests.support.driver_process import DriverProcess
from tests.support.simulator_process import SimulatorProcess

T = TypeVar("T")

OK = None
OUT_OF_RANGE = grpc.StatusCode.OUT_OF_RANGE
ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS

names = st.sampled_from(["a", "b", "c"])
sizes = st.sampled_from([0, 0.5, 1, 1.2, 2, 3.5, 4])
limits = st.sampled_from([0, 0, 1, 1.5, 3, 5])


@dataclass
class Made:
    """What the model holds of a volume or snapshot."""

    id: str
    gib: int
    source: str = ""


@dataclass
class Reading:
    """A list that is being read page by page."""

    token: str
    expected: set[str]
    seen: list[str] = field(default_factory=list)


class Model(RuleBasedStateMachine):
    """The driver beside a dictionary."""

    controller: ClassVar[Controller]
    cloud: ClassVar[SimulatorProcess]
    readings = Bundle("readings")

    def __init__(self) -> None:
        super().__init__()
        self.cloud.clear()
        self.volumes: dict[str, Made] = {}
        self.snapshots: dict[str, Made] = {}

    @rule(name=names, gib=sizes, limit=limits)
    def create(self, name: str, gib: float, limit: float) -> None:
        self._create(name, csi.create_volume(name, gib, limit_gib=limit), gib, limit, "", 0)

    @rule(name=names, snapshot=names, gib=sizes)
    def restore(self, name: str, snapshot: str, gib: float) -> None:
        source = self.snapshots.get(snapshot)
        if source is None:
            return
        request = csi.create_volume(name, gib, snapshot_id=source.id)
        self._create(name, request, gib, 0, source.id, source.gib)

    def _create(
        self,
        name: str,
        request: csi_pb2.CreateVolumeRequest,
        gib: float,
        limit: float,
        source: str,
        source_gib: int,
    ) -> None:
        size = max(1, math.ceil(gib))
        if source and size < source_gib:
            size = source_gib if gib == 0 else 0
        known = self.volumes.get(name)
        code, answer = outcome(lambda: self.controller.CreateVolume(request))
        if limit and limit < gib:
            assert code is grpc.StatusCode.INVALID_ARGUMENT
        elif known:
            fits = known.gib >= gib and (not limit or known.gib <= limit)
            if known.source == source and fits:
                assert answer is not None, code
                assert answer.volume.volume_id == known.id
            else:
                assert code in (ALREADY_EXISTS, OUT_OF_RANGE)
        elif size == 0 or (limit and size > limit):
            assert code is OUT_OF_RANGE
        else:
            assert answer is not None, code
            assert answer.volume.capacity_bytes == size * csi.GIB
            self.volumes[name] = Made(answer.volume.volume_id, size, source)

    @rule(name=names, gib=sizes)
    def expand(self, name: str, gib: float) -> None:
        known = self.volumes.get(name)
        if known is None or gib == 0:
            return
        answer = self.controller.ControllerExpandVolume(csi.expand(known.id, gib))
        known.gib = max(known.gib, math.ceil(gib))
        assert answer.capacity_bytes == known.gib * csi.GIB

    @rule(name=names, of=names)
    def snapshot(self, name: str, of: str) -> None:
        volume, known = self.volumes.get(of), self.snapshots.get(name)
        if volume is None:
            return
        request = csi.create_snapshot(name, volume.id)
        code, answer = outcome(lambda: self.controller.CreateSnapshot(request))
        if known and known.source != volume.id:
            assert code is ALREADY_EXISTS
            return
        assert answer is not None, code
        made = answer.snapshot
        known = self.snapshots.setdefault(name, Made(made.snapshot_id, volume.gib, volume.id))
        assert made.snapshot_id == known.id
        assert made.size_bytes == known.gib * csi.GIB

    @rule(name=names)
    def delete(self, name: str) -> None:
        if known := self.volumes.pop(name, None):
            self.controller.DeleteVolume(csi.delete_volume(known.id))

    @rule(name=names)
    def delete_snapshot(self, name: str) -> None:
        if known := self.snapshots.pop(name, None):
            self.controller.DeleteSnapshot(csi.delete_snapshot(known.id))

    @rule(target=readings, entries=st.integers(min_value=1, max_value=3))
    def begin_to_list(self, entries: int) -> object:
        page = self.controller.ListVolumes(csi_pb2.ListVolumesRequest(max_entries=entries))
        reading = Reading(page.next_token, {each.id for each in self.volumes.values()})
        return self._read(reading, page)

    @rule(target=readings, reading=consumes(readings), entries=st.integers(1, 3))
    def go_on_listing(self, reading: Reading, entries: int) -> object:
        request = csi_pb2.ListVolumesRequest(max_entries=entries, starting_token=reading.token)
        page = self.controller.ListVolumes(request)
        reading.token = page.next_token
        return self._read(reading, page)

    def _read(self, reading: Reading, page: csi_pb2.ListVolumesResponse) -> object:
        reading.seen += [each.volume.volume_id for each in page.entries]
        if reading.token:
            return reading
        assert sorted(reading.seen) == sorted(reading.expected)
        return multiple()

    @rule(name=names, by_source=st.booleans())
    def list_snapshots(self, name: str, by_source: bool) -> None:
        known = self.snapshots.get(name)
        if known is None:
            return
        request = csi_pb2.ListSnapshotsRequest()
        if by_source:
            request.source_volume_id = known.source
        else:
            request.snapshot_id = known.id
        entries = self.controller.ListSnapshots(request).entries
        listed = {each.snapshot.snapshot_id for each in entries}
        same = {each.id for each in self.snapshots.values() if each.source == known.source}
        assert listed == (same if by_source else {known.id})

    @rule(token=st.sampled_from(["0", "nonsense", "1-2"]))
    def list_with_a_bad_token(self, token: str) -> None:
        request = csi_pb2.ListVolumesRequest(starting_token=token)
        code, _ = outcome(lambda: self.controller.ListVolumes(request))
        assert code is grpc.StatusCode.ABORTED

    @invariant()
    def the_cloud_holds_what_the_model_holds(self) -> None:
        for mine, theirs in (
            (self.volumes, self.cloud.volumes()),
            (self.snapshots, self.cloud.snapshots()),
        ):
            expected = {name: made.id.split("/")[1] for name, made in mine.items()}
            assert {each["name"]: each["id"] for each in theirs} == expected
        sizes = {each["name"]: each["size"] for each in self.cloud.volumes()}
        assert sizes == {name: made.gib for name, made in self.volumes.items()}


def outcome(call: Callable[[], T]) -> tuple[grpc.StatusCode | None, T | None]:
    """Return the code of a call's error or its answer."""
    try:
        return OK, call()
    except grpc.RpcError as error:
        return cast(grpc.Call, error).code(), None


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Model]]:
    with SimulatorProcess.start("--latency", "0s", "--local-instance", "none") as cloud:
        driver = DriverProcess.start(
            "controller",
            "--api-endpoint", cloud.api_endpoint,
            "--default-zone", cloud.zones[0],
            "--time-scale", "0.01",
            "--api-timeout", "6000s",  # a minute: a busy machine is no broken network
            "--create-timeout", "6000s",
            folder=tmp_path_factory.mktemp("controller"),
            environment=cloud.environment,
        )  # fmt: skip
        Model.controller, Model.cloud = Controller(driver.channel), cloud
        yield Model
        driver.stop()


def test_the_driver_agrees_with_the_model(model: type[Model]) -> None:
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
