"""What a list proves about an operation: success at most, and only what it surely shows (S20)."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from csi_exoblock.exoscale.list_evidence import Finding, Resource, find, resource_of
from csi_exoblock.exoscale.routes import OPERATIONS
from csi_exoblock.model import (
    NodeId,
    Operation,
    Snapshot,
    SnapshotId,
    Volume,
    VolumeId,
    ZoneName,
)
from csi_exoblock.states import OperationState, SnapshotState, VolumeState

pytestmark = pytest.mark.fast

ZONE = ZoneName("ch-gva-2")
THING, HERE, ELSEWHERE = uuid4(), uuid4(), uuid4()
CREATE, DELETE = "create-block-storage-volume", "delete-block-storage-volume"
ATTACH, DETACH = "attach-block-storage-volume-to-instance", "detach-block-storage-volume"
TAKE, DELETE_SNAPSHOT = "create-block-storage-snapshot", "delete-block-storage-snapshot"

DONE, UNDER_WAY, UNCLEAR = Finding.SUCCEEDED, Finding.UNDER_WAY, Finding.UNCLEAR


def operation(kind: str, *, about: UUID | None = THING, copies: bool = False) -> Operation:
    return Operation(
        id=uuid4(),
        zone=ZONE,
        kind=kind,
        state=OperationState.PENDING,
        reference=THING,
        reason=None,
        message="",
        about=about,
        instance=HERE if kind == ATTACH else None,
        copies=copies,
    )


def volume(state: VolumeState, attached_to: UUID | None = None) -> Volume:
    return Volume(
        id=VolumeId(ZONE, THING),
        name="a",
        size_gib=1,
        state=state,
        attached_to=NodeId(ZONE, attached_to) if attached_to else None,
        labels={},
        snapshot_ids=(),
        created_at=datetime.now(UTC),
    )


def snapshot(state: SnapshotState) -> Snapshot:
    return Snapshot(
        id=SnapshotId(ZONE, THING),
        name="a",
        state=state,
        volume_id=None,
        volume_size_gib=1,
        labels={},
        created_at=datetime.now(UTC),
    )


@pytest.mark.parametrize(
    ("kind", "seen", "finding"),
    [
        (CREATE, volume(VolumeState.CREATING), UNDER_WAY),
        (CREATE, volume(VolumeState.DETACHED), DONE),
        (CREATE, None, UNCLEAR),  # it failed, or the list lags
        (ATTACH, volume(VolumeState.ATTACHING, HERE), UNDER_WAY),
        (ATTACH, volume(VolumeState.ATTACHED, HERE), DONE),
        (ATTACH, volume(VolumeState.ATTACHED, ELSEWHERE), UNCLEAR),
        (ATTACH, volume(VolumeState.DETACHED), UNCLEAR),
        (DETACH, volume(VolumeState.DETACHING, HERE), UNDER_WAY),
        (DETACH, volume(VolumeState.DETACHED), DONE),
        (DETACH, volume(VolumeState.DETACHED, HERE), UNCLEAR),
        (DETACH, volume(VolumeState.ATTACHED, HERE), UNCLEAR),
        (DETACH, None, UNCLEAR),
        (DELETE, volume(VolumeState.DELETING), UNDER_WAY),
        (DELETE, volume(VolumeState.DELETED), DONE),
        (DELETE, volume(VolumeState.DETACHED), UNCLEAR),
        (TAKE, snapshot(SnapshotState.ALLOCATED), UNDER_WAY),
        (TAKE, snapshot(SnapshotState.CREATING), UNDER_WAY),
        (TAKE, snapshot(SnapshotState.CREATED), DONE),
        (TAKE, None, UNCLEAR),
        (DELETE_SNAPSHOT, snapshot(SnapshotState.DESTROYING), UNDER_WAY),
        (DELETE_SNAPSHOT, snapshot(SnapshotState.DESTROYED), DONE),
        (DELETE_SNAPSHOT, snapshot(SnapshotState.CREATED), UNCLEAR),
    ],
)
@pytest.mark.parametrize("was_shown", [True, False])
def test_only_the_wanted_state_proves_success(
    kind: str, seen: Volume | Snapshot | None, finding: Finding, was_shown: bool
) -> None:
    assert find(operation(kind), seen, was_shown=was_shown) is finding


@pytest.mark.parametrize(
    ("kind", "seen"),
    [(CREATE, volume(VolumeState.DETACHED)), (TAKE, snapshot(SnapshotState.CREATED))],
)
def test_a_state_does_not_prove_that_a_copy_is_whole(kind: str, seen: Volume | Snapshot) -> None:
    # S18
    assert find(operation(kind, copies=True), seen, was_shown=True) is UNCLEAR


@pytest.mark.parametrize("kind", [DELETE, DELETE_SNAPSHOT])
def test_absence_proves_a_deletion_only_of_what_lists_have_shown(kind: str) -> None:  # C1
    assert find(operation(kind), None, was_shown=True) is DONE
    assert find(operation(kind), None, was_shown=False) is UNCLEAR


@pytest.mark.parametrize(
    "state", [VolumeState.ERROR, VolumeState.UNKNOWN, VolumeState.SNAPSHOTTING]
)
@pytest.mark.parametrize("kind", [CREATE, ATTACH, DETACH, DELETE])
def test_any_other_state_proves_nothing(kind: str, state: VolumeState) -> None:
    assert find(operation(kind), volume(state, HERE), was_shown=True) is UNCLEAR


def test_which_operations_a_list_may_settle() -> None:
    """Not labels: a list might show those that somebody else wrote."""
    settled = {kind: resource_of(operation(kind)) for kind in OPERATIONS}

    assert {kind: resource for kind, resource in settled.items() if resource} == {
        **dict.fromkeys([CREATE, ATTACH, DETACH, DELETE], Resource.VOLUME),
        **dict.fromkeys([TAKE, DELETE_SNAPSHOT], Resource.SNAPSHOT),
    }
    assert resource_of(operation(CREATE, about=None)) is None
