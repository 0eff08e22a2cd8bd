"""The API's JSON: what is missing is tolerated, what is new accepted, garbage is recognised."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csi_exoblock.exoscale import wire
from csi_exoblock.model import NodeId, Quota, SnapshotId, VolumeId, ZoneName
from csi_exoblock.states import (
    FailureReason,
    InstanceState,
    OperationState,
    SnapshotState,
    VolumeState,
)

ZONE = ZoneName("ch-gva-2")
ID = "00000000-0000-4000-8000-000000000001"
OTHER_ID = "00000000-0000-4000-8000-000000000002"
UUID_1, UUID_2 = UUID(ID), UUID(OTHER_ID)

VOLUME = {
    "id": ID,
    "name": "pvc-1",
    "size": 10,
    "state": "attached",
    "instance": {"id": OTHER_ID},
    "labels": {"a": "b"},
    "block-storage-snapshots": [{"id": OTHER_ID}],
    "blocksize": 4096,
    "created-at": "2024-01-01T12:00:00Z",
}
SNAPSHOT = {
    "id": ID,
    "name": "snapshot-1",
    "size": 1,
    "volume-size": 10,
    "state": "created",
    "block-storage-volume": {"id": OTHER_ID},
    "labels": {"a": "b"},
    "created-at": "2024-01-01T12:00:00Z",
}
PARSERS = [
    wire.volume,
    wire.volumes,
    wire.snapshot,
    wire.snapshots,
    wire.operation,
    wire.instance,
    wire.quotas,
    wire.zones,
]


def test_volume_is_read() -> None:
    volume = wire.volume(ZONE, VOLUME)

    assert volume.id == VolumeId(ZONE, UUID_1)
    assert (volume.name, volume.size_gib, volume.state) == ("pvc-1", 10, VolumeState.ATTACHED)
    assert volume.attached_to == NodeId(ZONE, UUID_2)
    assert volume.labels == {"a": "b"}
    assert volume.snapshot_ids == (SnapshotId(ZONE, UUID_2),)
    assert volume.created_at == datetime(2024, 1, 1, 12, tzinfo=UTC)


def test_snapshot_has_the_size_of_its_volume() -> None:  # S18
    snapshot = wire.snapshot(ZONE, SNAPSHOT)

    assert snapshot.id == SnapshotId(ZONE, UUID_1)
    assert (snapshot.name, snapshot.state) == ("snapshot-1", SnapshotState.CREATED)
    assert snapshot.volume_id == VolumeId(ZONE, UUID_2)
    assert snapshot.volume_size_gib == 10
    assert snapshot.created_at == datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("instance", [None, {}, {"id": ""}, {"id": None}])
def test_volume_that_nobody_has_may_name_its_instance_in_many_ways(instance: object) -> None:
    volume = wire.volume(ZONE, {**VOLUME, "instance": instance})

    assert volume.attached_to is None


@pytest.mark.parametrize("absent", [{}, dict.fromkeys(VOLUME) | dict.fromkeys(SNAPSHOT)])
def test_only_the_id_is_needed(absent: dict[str, None]) -> None:
    bare = {**absent, "id": ID}

    volume, snapshot = wire.volume(ZONE, bare), wire.snapshot(ZONE, bare)

    assert (volume.name, volume.size_gib, volume.attached_to) == ("", 0, None)
    assert (volume.labels, volume.snapshot_ids, volume.created_at) == ({}, (), None)
    assert volume.state is VolumeState.UNKNOWN
    assert (snapshot.name, snapshot.volume_size_gib, snapshot.volume_id) == ("", 0, None)
    assert (snapshot.labels, snapshot.created_at) == ({}, None)
    assert snapshot.state is SnapshotState.UNKNOWN


def test_words_that_the_api_adds_are_unknown_not_errors() -> None:
    new = {"id": ID, "state": "brand-new"}

    assert wire.volume(ZONE, new).state is VolumeState.UNKNOWN
    assert wire.snapshot(ZONE, new).state is SnapshotState.UNKNOWN
    assert wire.instance(ZONE, new).state is InstanceState.UNKNOWN
    assert wire.operation(ZONE, new).state is OperationState.UNKNOWN
    failed = {"id": ID, "state": "failure", "reason": "brand-new"}
    assert wire.operation(ZONE, failed).reason is FailureReason.UNKNOWN


def test_operation_has_a_reason_exactly_if_it_failed() -> None:
    body = {"id": ID, "reference": {"id": OTHER_ID}, "message": "no"}

    failed = wire.operation(ZONE, {**body, "state": "failure", "reason": "busy"})
    silent = wire.operation(ZONE, {**body, "state": "failure"})
    succeeded = wire.operation(ZONE, {**body, "state": "success", "reason": "busy"})

    assert (failed.reason, failed.message, failed.reference) == (FailureReason.BUSY, "no", UUID_2)
    assert silent.reason is FailureReason.UNKNOWN
    assert succeeded.reason is None


@pytest.mark.parametrize("reference", [None, {}, {"link": "/v2/block-storage"}])
def test_operation_may_lack_its_reference(reference: object) -> None:
    operation = wire.operation(ZONE, {"id": ID, "state": "pending", "reference": reference})

    assert operation.reference is None


def test_quota_without_limit_is_unlimited() -> None:  # N5
    rows = [
        {"resource": "a", "usage": 3, "limit": 7},
        {"resource": "b", "usage": 3, "limit": -1},
        {"resource": "c"},
        {"resource": "d", "usage": 0, "limit": 0},
    ]

    assert wire.quotas(ZONE, {"quotas": rows}) == (
        Quota(resource="a", usage=3, limit=7),
        Quota(resource="b", usage=3, limit=None),
        Quota(resource="c", usage=0, limit=None),
        Quota(resource="d", usage=0, limit=0),
    )


@pytest.mark.parametrize("parse", [wire.volumes, wire.snapshots, wire.quotas, wire.zones])
@pytest.mark.parametrize("body", [{}, [], None, "", {"block-storage-volumes": None}])
def test_answer_without_the_list_is_not_an_empty_list(parse: Any, body: object) -> None:
    """C1, S20: nothing would be found, and a volume made twice or reported as detached."""
    with pytest.raises(wire.UNREADABLE):
        parse(ZONE, body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ID),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
FIELDS = sorted({*VOLUME, *SNAPSHOT, "reference", "reason", "message", "quotas", "zones", "limit"})
BODY = JSON | st.dictionaries(st.sampled_from(FIELDS), JSON) | st.just(VOLUME)
LISTS = st.dictionaries(
    st.sampled_from(["block-storage-volumes", "block-storage-snapshots", "quotas", "zones"]),
    st.lists(BODY, max_size=2),
)


@given(parse=st.sampled_from(PARSERS), body=BODY | LISTS)
@example(parse=wire.volume, body={"id": ID, "size": json.loads("1e999")})
def test_garbage_is_always_recognised_as_such(parse: Any, body: object) -> None:
    with contextlib.suppress(*wire.UNREADABLE):
        parse(ZONE, body)


@given(body=st.binary() | st.text().map(str.encode))
def test_words_of_a_refusal_are_one_short_line_whatever_they_are(body: bytes) -> None:
    words = wire.refusal(body)

    assert len(words) <= 300
    assert words.splitlines() in ([], [words])
