"""Lists whose entries are read only when somebody uses them (S20)."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from csi_exoblock.errors import ApiUnavailable
from csi_exoblock.exoscale import wire
from csi_exoblock.model import ZoneName

ZONE = ZoneName("ch-gva-2")
LABEL = "exoblock/name"


def entry(name: str, *, label: str | None = None, **others: Any) -> dict[str, Any]:
    labels = {} if label is None else {LABEL: label}
    return {"id": str(uuid4()), "name": name, "labels": labels, "state": "detached", **others}


def body(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"block-storage-volumes": list(entries)}


def test_volume_is_found_by_its_id() -> None:
    wanted, other = entry("a"), entry("b")

    listed = wire.volumes(ZONE, body(wanted, other))

    found = listed.get(UUID(wanted["id"]))
    assert found == wire.volume(ZONE, wanted)
    assert listed.get(uuid4()) is None
    assert listed.get(None) is None
    assert listed.ids() == {wanted["id"], other["id"]}


def test_label_is_the_name_where_it_has_a_value() -> None:  # N10
    labelled = entry("renamed", label="pvc-1")
    named, emptied = entry("pvc-1"), entry("pvc-1", label="")
    other = entry("pvc-1", label="pvc-2")

    listed = wire.volumes(ZONE, body(labelled, named, emptied, other, entry("pvc-3")))

    found = {str(each.id.uuid) for each in listed.named({"pvc-1", "pvc-4"}, LABEL)}
    assert found == {each["id"] for each in (labelled, named, emptied)}


def test_whole_list_is_what_the_api_listed() -> None:
    entries = [entry(name) for name in "abc"]

    listed = wire.volumes(ZONE, body(*entries))

    assert list(listed) == [wire.volume(ZONE, each) for each in entries]
    assert len(listed) == 3


@pytest.mark.parametrize("garbage", [{"state": 7, "instance": "x"}, {"created-at": "yesterday"}])
def test_entry_that_cannot_be_understood_harms_nobody_who_reads_others(
    garbage: dict[str, Any],
) -> None:
    good, bad = entry("a"), entry("b", **garbage)

    listed = wire.volumes(ZONE, body(good, bad))

    assert [each.name for each in listed.named({"a"}, LABEL)] == ["a"]
    for read in (lambda: list(listed), lambda: listed.get(UUID(bad["id"]))):
        with pytest.raises(ApiUnavailable, match="can't be understood"):
            read()


@pytest.mark.parametrize("garbage", [7, None, {"name": "no id"}])
def test_list_of_what_has_no_id_is_no_list(garbage: object) -> None:
    with pytest.raises(wire.UNREADABLE):
        wire.volumes(ZONE, {"block-storage-volumes": [garbage]})


def test_list_that_cannot_be_searched_does_not_say_that_nothing_was_found() -> None:  # C1
    listed = wire.volumes(ZONE, body(entry("a"), {"id": "x", "labels": 7}))

    with pytest.raises(ApiUnavailable, match="can't be understood"):
        listed.named({"a"}, LABEL)
