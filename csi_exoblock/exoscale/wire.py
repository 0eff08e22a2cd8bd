"""The API's JSON, parsed into the model; only this module names the API's fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from csi_exoblock.errors import ApiUnavailable
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.model import (
    Instance,
    NodeId,
    Operation,
    Quota,
    Snapshot,
    SnapshotId,
    Volume,
    VolumeId,
    ZoneName,
    is_zone_name,
)
from csi_exoblock.states import (
    FailureReason,
    InstanceState,
    OperationState,
    SnapshotState,
    VolumeState,
)

T = TypeVar("T")

UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What json and this module's functions raise if an answer can't be understood."""

_WORDS_LENGTH = 300  # nobody reads all of a proxy's error page


def volume(zone: ZoneName, body: Any) -> Volume:
    """Read a `block-storage-volume`."""
    snapshots = body.get("block-storage-snapshots") or ()
    return Volume(
        id=VolumeId(zone, UUID(body["id"])),
        name=body.get("name") or "",
        size_gib=int(body.get("size") or 0),
        state=VolumeState(body.get("state")),
        attached_to=_attached_to(zone, body.get("instance")),
        labels=_labels(body.get("labels")),
        snapshot_ids=tuple(SnapshotId(zone, UUID(each["id"])) for each in snapshots),
        created_at=_moment(body.get("created-at")),
    )


def volumes(zone: ZoneName, body: Any) -> Listed[Volume]:
    """Read the answer of `list-block-storage-volumes`."""
    return _listed(partial(volume, zone), body["block-storage-volumes"])


def snapshot(zone: ZoneName, body: Any) -> Snapshot:
    """Read a `block-storage-snapshot`."""
    source = body.get("block-storage-volume")
    return Snapshot(
        id=SnapshotId(zone, UUID(body["id"])),
        name=body.get("name") or "",
        state=SnapshotState(body.get("state")),
        volume_id=VolumeId(zone, UUID(source["id"])) if source else None,
        volume_size_gib=int(body.get("volume-size") or 0),
        labels=_labels(body.get("labels")),
        created_at=_moment(body.get("created-at")),
    )


def snapshots(zone: ZoneName, body: Any) -> Listed[Snapshot]:
    """Read the answer of `list-block-storage-snapshots`."""
    return _listed(partial(snapshot, zone), body["block-storage-snapshots"])


def operation(zone: ZoneName, body: Any) -> Operation:
    """Read an `operation`."""
    reference = body.get("reference") or {}
    state = OperationState(body.get("state"))
    return Operation(
        id=UUID(body["id"]),
        zone=zone,
        state=state,
        reference=UUID(reference["id"]) if reference.get("id") else None,
        reason=FailureReason(body.get("reason")) if state is OperationState.FAILURE else None,
        message=shorten(body.get("message") or "", _WORDS_LENGTH),
    )


def instance(zone: ZoneName, body: Any) -> Instance:
    """Read an `instance`."""
    kind = (body.get("instance-type") or {}).get("id")
    return Instance(
        id=NodeId(zone, UUID(body["id"])),
        state=InstanceState(body.get("state")),
        type_id=UUID(kind) if kind else None,
    )


def instance_ids(_zone: ZoneName, body: Any) -> frozenset[UUID]:
    """Read the ids in the answer of `list-instances`."""
    return frozenset(UUID(each["id"]) for each in body["instances"])


def instance_size(_zone: ZoneName, body: Any) -> str:
    """Read the size of an `instance-type`, such as `small`."""
    return body.get("size") or ""


def quotas(_zone: ZoneName, body: Any) -> tuple[Quota, ...]:
    """Read the answer of `list-quotas`."""
    return tuple(
        Quota(
            resource=each["resource"],
            usage=int(each.get("usage") or 0),
            limit=_limit(each.get("limit")),
        )
        for each in body["quotas"]
    )


def zones(_zone: ZoneName, body: Any) -> tuple[ZoneName, ...]:
    """Read the answer of `list-zones`.

    A name that can't be part of an id is left out: no volume of the driver is there, and the name
    would become part of a URL (F18).

    Raises:
        ValueError: The list has no zone.
    """
    named = [ZoneName(each["name"]) for each in body["zones"] if is_zone_name(each["name"])]
    if not named:
        raise ValueError("it lists no zone")
    return tuple(named)


def of(id: UUID, read: Callable[[ZoneName, Any], T]) -> Callable[[ZoneName, Any], T]:
    """Return a reader of one resource that refuses the answer about another one.

    Caches and proxies mix up answers, and what is believed of a resource is done to it (D12, F18).
    """

    def read_that_one(zone: ZoneName, body: Any) -> T:
        if UUID(body["id"]) != id:
            raise ValueError(f"it is about {UUID(body['id'])}")
        return read(zone, body)

    return read_that_one


def refusal(body: bytes) -> str:
    """Return the API's own words for a refusal, in one line of bounded length, perhaps empty.

    They are `message`, `error`, or `title`, `detail` and `errors` of RFC 9457; of an answer that is
    no JSON it is the text.
    """
    try:
        said = list(_words(json.loads(body)))
    except UNREADABLE:
        said = [body.decode(errors="replace")]
    return shorten(": ".join(said), _WORDS_LENGTH)


def is_refusal(body: bytes) -> bool:
    """Return whether a refusal has one of the two forms in which the API itself says no.

    They are an object with `message`, and one with `title` and `detail` (RFC 9457). A gateway
    before the API may answer in JSON too, of another form.
    """
    try:
        said = json.loads(body)
    except UNREADABLE:
        return False
    if not _is_map(said):
        return False
    message, *problem = (_is_text(said.get(each)) for each in ("message", "title", "detail"))
    return message or all(problem)


def shorten(text: str, length: int) -> str:
    """Return the text as one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def creation(
    *, name: str, labels: Mapping[str, str], size_gib: int | None = None, source: UUID | None = None
) -> dict[str, object]:
    """Return the body of a request that creates a volume or a snapshot."""
    body: dict[str, object] = {"name": name, "labels": dict(labels)}
    if size_gib is not None:
        body["size"] = size_gib
    if source:
        body["block-storage-snapshot"] = {"id": str(source)}
    return body


def labelling(labels: Mapping[str, str], name: str | None = None) -> dict[str, object]:
    """Return the body of an update: always all labels, the name only if it changes."""
    return {"labels": dict(labels), **({"name": name} if name else {})}


def attaching(instance_id: UUID) -> dict[str, object]:
    """Return the body of an attach."""
    return {"instance": {"id": str(instance_id)}}


def resizing(size_gib: int) -> dict[str, object]:
    """Return the body of a resize."""
    return {"size": size_gib}


def of_instance(instance_id: UUID) -> dict[str, str]:
    """Return the query that restricts a list of volumes to an instance."""
    return {"instance-id": str(instance_id)}


def _listed(read: Callable[[Any], T], entries: Any) -> Listed[T]:
    """Return a list whose entries are parsed when they are needed; each must have an id now.

    Raises:
        ApiUnavailable: Raised later by the list, when it needs an entry that can't be parsed.
    """

    def read_entry(entry: Any) -> T:
        with _understanding():
            return read(entry)

    def names_of(entries: Iterable[Any], label: str) -> list[str]:
        with _understanding():
            return [
                (each.get("labels") or {}).get(label) or each.get("name") or "" for each in entries
            ]

    def state_of(entry: Any) -> str:
        with _understanding():
            return str(entry.get("state"))

    return Listed(
        {each["id"]: each for each in entries},
        read=read_entry,
        names_of=names_of,
        state_of=state_of,
    )


@contextmanager
def _understanding() -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        what = shorten(f"{type(error).__name__}: {error}", _WORDS_LENGTH)
        raise ApiUnavailable(f"an entry of a list can't be understood: {what}") from error


def _attached_to(zone: ZoneName, instance: Any) -> NodeId | None:
    """Read the instance of a volume; null, {} and an empty id mean that it is detached."""
    id = (instance or {}).get("id")
    return NodeId(zone, UUID(id)) if id else None


def _labels(labels: Any) -> dict[str, str]:
    """Read labels; leave out those without a value."""
    return {key: str(value) for key, value in (labels or {}).items() if value is not None}


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _limit(limit: int | None) -> int | None:
    """Read a quota's limit, `None` if it is -1 (unlimited) or absent (it can't be reached)."""
    return limit if limit is not None and limit >= 0 else None


def _is_map(body: Any) -> bool:
    return isinstance(body, dict)


def _is_text(field: Any) -> bool:
    return isinstance(field, str) and bool(field)


def _words(body: Any) -> Iterator[str]:
    for field in ("title", "message", "error", "detail"):
        if body.get(field):
            yield str(body[field])
    for each in body.get("errors") or ():
        words = (each.get(field) for field in ("location", "message", "detail"))
        if said := " ".join(str(word) for word in words if word and word != body.get("message")):
            yield said
