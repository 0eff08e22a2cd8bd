"""Ids and states: what the orchestrator stored is read back, and nothing else passes for an id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi_exoblock.errors import NotFound
from csi_exoblock.model import NodeId, ResourceId, SnapshotId, VolumeId, ZoneName
from csi_exoblock.states import (
    FailureReason,
    InstanceState,
    OperationState,
    SnapshotState,
    VolumeState,
)

pytestmark = pytest.mark.fast

UUID_TEXT = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
ZONES = st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True).map(ZoneName)

NO_IDS = {
    "empty": "",
    "uuid alone": UUID_TEXT,
    "zone alone": "ch-gva-2/",
    "no zone": f"/{UUID_TEXT}",
    "zone too long": f"{'a' * 64}/{UUID_TEXT}",
    "upper case": f"ch-gva-2/{UUID_TEXT.upper()}",
    "braces": f"ch-gva-2/{{{UUID_TEXT}}}",
    "no dashes": f"ch-gva-2/{UUID_TEXT.replace('-', '')}",
    "one character short": f"ch-gva-2/{UUID_TEXT[:-1]}",
    "three parts": f"a/ch-gva-2/{UUID_TEXT}",
    "path": f"ch-gva-2/../{UUID_TEXT}",
    "newline": f"ch-gva-2/{UUID_TEXT}\n",
    "another host": f"ch-gva-2.example.org#/{UUID_TEXT}",
    "other digits": f"ch-gva-٢/{UUID_TEXT}",
    "oversized": "x" * 100_000,
}


@given(zone=ZONES, uuid=st.uuids())
@pytest.mark.parametrize("kind", [VolumeId, SnapshotId, NodeId])
def test_id_that_was_handed_out_is_read_back(
    kind: type[ResourceId], zone: ZoneName, uuid: object
) -> None:  # F8
    id = kind.parse(f"{zone}/{uuid}")

    assert type(id) is kind
    assert (id.zone, id.uuid) == (zone, uuid)
    assert kind.parse(str(id)) == id


@pytest.mark.parametrize("text", NO_IDS.values(), ids=NO_IDS)
def test_text_that_is_no_id_names_nothing_that_exists(text: str) -> None:
    with pytest.raises(NotFound, match="does not exist") as caught:
        VolumeId.parse(text)

    assert len(str(caught.value)) < 500  # F11


@pytest.mark.parametrize(
    ("kind", "noun"), [(VolumeId, "volume"), (SnapshotId, "snapshot"), (NodeId, "node")]
)
def test_message_says_what_does_not_exist(kind: type[ResourceId], noun: str) -> None:
    with pytest.raises(NotFound, match=f"^{noun} 'nonsense' does not exist"):
        kind.parse("nonsense")


def test_ids_of_different_kinds_are_different() -> None:
    text = f"ch-gva-2/{UUID_TEXT}"

    assert len({VolumeId.parse(text), SnapshotId.parse(text), VolumeId.parse(text)}) == 2


@pytest.mark.parametrize(
    "states", [VolumeState, SnapshotState, OperationState, FailureReason, InstanceState]
)
def test_state_that_the_api_adds_is_unknown(states: type[VolumeState]) -> None:
    assert [states(each.value) for each in states] == list(states)
    for new in ("brand-new", ""):
        assert states(new) is states.UNKNOWN
