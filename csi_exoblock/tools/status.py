"""`csi-exoblock status`: a table of all claims with their volumes (N20)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from csi_exoblock.escaping import printable
from csi_exoblock.kubernetes.storage import Claim, PersistentVolume, VolumeAttachment
from csi_exoblock.model import BYTES_PER_GIB, Volume
from csi_exoblock.states import VolumeState
from csi_exoblock.tools import tables
from csi_exoblock.tools.facts import Facts
from csi_exoblock.tools.tables import span

_ERROR_CHARACTERS = 300
_UNDER_WAY = (
    VolumeState.CREATING,
    VolumeState.ATTACHING,
    VolumeState.DETACHING,
    VolumeState.SNAPSHOTTING,
    VolumeState.DELETING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A reason why a volume waits, or a contradiction between cloud and Kubernetes.

    Attributes:
        seconds: For how long it has been so, `None` if that is not known.
        is_wrong: Whether somebody must act.
    """

    text: str
    seconds: float | None = None
    is_wrong: bool = False

    def __str__(self) -> str:
        return self.text if self.seconds is None else f"{self.text}, for {span(self.seconds)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One claim or PersistentVolume.

    Attributes:
        asked_gib: The size that the claim requests.
        cloud_gib: The size of the volume in the cloud.
        known_gib: The capacity that Kubernetes last recorded, with a file system of that size.
        state: The volume's state in the cloud; empty if there is no volume.
        instance: The UUID of the instance to which it is attached in the cloud; empty for none.
        node: The Node of that instance.
    """

    claim: str
    persistent_volume: str
    volume: str
    asked_gib: int | None
    cloud_gib: int | None
    known_gib: int | None
    filesystem: str
    state: str
    instance: str
    node: str
    notes: tuple[Note, ...]

    @property
    def is_wrong(self) -> bool:
        """Whether somebody must act."""
        return any(each.is_wrong for each in self.notes)


def rows(facts: Facts) -> tuple[Row, ...]:
    """Return a row for each PersistentVolume, and for each claim that waits for one or lost it."""
    bound = [_of_volume(each, facts) for each in facts.volumes]
    claims = [each for each in facts.claims.values() if each.class_name in facts.classes]
    waiting = [_of_claim(each, _wait(each, facts)) for each in claims if not each.volume_name]
    lost = [_of_claim(each, _loss(each)) for each in claims if each.phase == "Lost"]
    found = [*bound, *waiting, *lost]
    return tuple(sorted(found, key=lambda row: (row.claim, row.persistent_volume)))


def as_text(found: tuple[Row, ...], facts: Facts, draw: tables.Draw = tables.plain) -> str:
    """Return a table. A note that needs action begins with `!`."""
    lines = [tables.Row(_cells(row), row.is_wrong) for row in found]
    head = ("CLAIM", "VOLUME", "GIB ASKED/CLOUD/KNOWN", "TYPE", "STATE", "NODE", "WAITS FOR")
    unread = (f"! zone {zone} was not read: {printable(why)}" for zone, why in facts.unread.items())
    return "\n".join((draw(head, lines) if lines else "no volumes", *unread))


def as_json(found: tuple[Row, ...], facts: Facts) -> str:
    """Return the same as JSON."""
    return json.dumps(as_values(found, facts), indent=2)


def as_values(found: tuple[Row, ...], facts: Facts) -> object:
    """Return the same as values of JSON."""
    return {"volumes": [asdict(row) for row in found], "unread": dict(facts.unread)}


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.claim,
        row.volume,
        "/".join("?" if each is None else str(each) for each in _sizes(row)),
        row.filesystem,
        row.state,
        row.node or row.instance,
        "; ".join(f"! {each}" if each.is_wrong else str(each) for each in row.notes),
    )


def _sizes(row: Row) -> tuple[int | None, ...]:
    return row.asked_gib, row.cloud_gib, row.known_gib


def _of_claim(claim: Claim, note: Note) -> Row:
    """Return the row of a claim without PersistentVolume."""
    return Row(
        claim=f"{claim.namespace}/{claim.name}",
        persistent_volume=claim.volume_name,
        volume="",
        asked_gib=_gib(claim.asked_bytes),
        cloud_gib=None,
        known_gib=_gib(claim.has_bytes),
        filesystem="",
        state="",
        instance="",
        node="",
        notes=(note,),
    )


def _wait(claim: Claim, facts: Facts) -> Note:
    waits_for_pod = facts.classes[claim.class_name].waits_for_pod and not claim.has_node
    # Of a pod whose volume could not be made the scheduler forgets the node: the events tell that.
    what = f"{'a pod that uses it' if waits_for_pod else 'its volume'}; see the claim's events"
    return Note(text=what, seconds=_since(claim.created_at, facts.now))


def _loss(claim: Claim) -> Note:
    what = f"its PersistentVolume {claim.volume_name} is gone"
    return Note(text=f"{what}; csi-exoblock orphans shows the volume if it is left", is_wrong=True)


def _of_volume(volume: PersistentVolume, facts: Facts) -> Row:
    claim = facts.claims.get(volume.claim) if volume.claim else None
    if claim and claim.volume_name != volume.name:
        claim = None  # of a deleted claim, whose name another one has now
    seen = facts.cloud.get(volume.handle)
    instance = str(seen.attached_to.uuid) if seen and seen.attached_to else ""
    return Row(
        claim="/".join(volume.claim or ()),
        persistent_volume=volume.name,
        volume=volume.handle,
        asked_gib=_gib(claim.asked_bytes) if claim else None,
        cloud_gib=seen.size_gib if seen else None,
        known_gib=_gib(claim.has_bytes) if claim else None,
        filesystem="block" if volume.volume_mode == "Block" else volume.filesystem,
        state=seen.state.value if seen else "",
        instance=instance,
        node=facts.nodes.get(instance, ""),
        notes=tuple(_notes(volume, claim, seen, facts)),
    )


def _notes(
    volume: PersistentVolume, claim: Claim | None, seen: Volume | None, facts: Facts
) -> Iterator[Note]:
    attachments = facts.attachments.get(volume.name, ())
    if volume.handle in facts.missing:
        yield Note(text="the volume does not exist", is_wrong=True)
    elif seen is None:
        yield Note(text=f"unknown: zone {volume.handle.partition('/')[0]} was not read")
    else:
        yield from _of_cloud(volume, claim, seen, facts)
        yield from _of_places(seen, attachments, facts)
    for attachment in attachments:
        yield from _of_attachment(attachment, facts.now)
    for snapshot in facts.snapshots.get(volume.handle, ()):
        taken = _since(snapshot.created_at, facts.now)
        name, error = "/".join(snapshot.snapshot), _after(snapshot.error)
        yield Note(text=f"snapshot {name}{error}", seconds=taken, is_wrong=bool(error))
    if volume.deleted_at is not None:
        seconds = _since(volume.deleted_at, facts.now)
        yield Note(text="being deleted; see the PersistentVolume's events", seconds=seconds)
    if volume.phase == "Released":
        yield Note(text="nothing: its claim is gone, and Kubernetes keeps it")
    if not volume.is_placed:
        what = "it has no nodeAffinity, so its pod can be put into another zone"
        yield Note(text=f"{what}; see docs/static-volumes.md")
    if volume.phase == "Failed":
        yield Note(text="its deletion failed; see the PersistentVolume's events", is_wrong=True)


def _of_cloud(
    volume: PersistentVolume, claim: Claim | None, seen: Volume, facts: Facts
) -> Iterator[Note]:
    if seen.state is VolumeState.ERROR:
        yield Note(text="the volume is in state error; ask Exoscale's support", is_wrong=True)
    elif seen.state in _UNDER_WAY:
        yield Note(text=f"the cloud, which is {seen.state.value} it")
    asked = _gib(claim.asked_bytes) if claim else None
    if volume.handle in facts.pending_gib:
        size_gib = facts.pending_gib[volume.handle]
        yield Note(text=f"its pod to be replaced, then it grows to {size_gib} GiB")
    elif asked is not None and asked > seen.size_gib:
        yield Note(text=f"growth to {asked} GiB; see the claim's events", is_wrong=True)
    elif claim and claim.has_bytes and (_gib(claim.has_bytes) or 0) < seen.size_gib:
        yield Note(text="its file system to grow, once its pod is replaced")


def _of_places(
    seen: Volume, attachments: tuple[VolumeAttachment, ...], facts: Facts
) -> Iterator[Note]:
    """Compare the places of the volume in cloud and Kubernetes."""
    nodes = {each.node_name for each in attachments if each.is_attached}
    instance = str(seen.attached_to.uuid) if seen.attached_to else ""
    node = facts.nodes.get(instance, "")
    if seen.state in _UNDER_WAY:
        return
    if instance and not attachments:
        where = f"node {node}" if node else f"instance {instance}, which is no node"
        yield Note(text=f"attached to {where}, without VolumeAttachment", is_wrong=True)
    elif instance and nodes and node not in nodes:
        where = node or instance
        yield Note(
            text=f"Kubernetes has it at {', '.join(sorted(nodes))}, the cloud at {where}",
            is_wrong=True,
        )
    elif nodes and not instance:
        yield Note(
            text=f"Kubernetes has it at {', '.join(sorted(nodes))}, the cloud nowhere",
            is_wrong=True,
        )


def _of_attachment(attachment: VolumeAttachment, now: float) -> Iterator[Note]:
    error = _after(attachment.error)
    if attachment.deleted_at is not None:
        yield Note(
            text=f"detach from {attachment.node_name}{error}",
            seconds=_since(attachment.deleted_at, now),
            is_wrong=bool(error),
        )
    elif not attachment.is_attached:
        yield Note(
            text=f"attach to {attachment.node_name}{error}",
            seconds=_since(attachment.created_at, now),
            is_wrong=bool(error),
        )


def _since(moment: datetime | None, now: float) -> float | None:
    """Return the seconds since a moment, `None` if it is not known."""
    return None if moment is None else now - moment.timestamp()


def _after(error: str) -> str:
    return f" ({' '.join(error.split())[:_ERROR_CHARACTERS]})" if error else ""


def _gib(size_bytes: int) -> int | None:
    return math.ceil(size_bytes / BYTES_PER_GIB) if size_bytes else None
