"""`csi-exoblock orphans`: resources that only the cloud or only Kubernetes knows (C4, C6)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from csi_exoblock.app.known import known_to
from csi_exoblock.controller.orphans import Orphan, OrphanKind, Orphans, OrphanSearch
from csi_exoblock.escaping import printable
from csi_exoblock.tools.installation import Installation
from csi_exoblock.tools.reach import Reach
from csi_exoblock.tools.tables import Draw, Row, age, plain

_MEANING: Mapping[OrphanKind, str] = {
    OrphanKind.VOLUME: "volume without PersistentVolume",
    OrphanKind.SNAPSHOT: "snapshot without VolumeSnapshotContent",
    OrphanKind.TWIN: "volume without PersistentVolume, second of its name",
    OrphanKind.TEMPORARY: "snapshot of a clone, deleted automatically",
    OrphanKind.BACKUP: "snapshot without VolumeSnapshotContent, by Velero",
    OrphanKind.MISSING: "PersistentVolume without volume",
}
# The vendor's CLI; it asks before it deletes.
_COMMANDS: Mapping[OrphanKind, str] = {
    OrphanKind.VOLUME: "exo compute block-storage delete",
    OrphanKind.TWIN: "exo compute block-storage delete",
    OrphanKind.SNAPSHOT: "exo compute block-storage snapshot delete",
    OrphanKind.BACKUP: "exo compute block-storage snapshot delete",  # a comment, as all of them
}


def find(reach: Reach) -> tuple[Orphans, float]:
    """Return the orphans of at least `orphan_age`, and the cloud's time.

    Raises:
        DriverError: Cloud or cluster can't be read.
    """
    deadline = reach.deadline(reach.timing.orphans_timeout)
    search = OrphanSearch(
        cloud=reach.cloud,
        labels=Installation(reach).labels(deadline),
        known=known_to(reach.kubernetes(), driver_name=reach.driver_name),
    )
    orphans, now = search.search(deadline), reach.cloud.now()
    old = tuple(
        each
        for each in orphans.found
        if each.created_at is None or now - each.created_at.timestamp() >= reach.timing.orphan_age
    )
    return Orphans(found=old, unread=orphans.unread), now


def as_text(orphans: Orphans, now: float, draw: Draw = plain) -> str:
    """Return a table, with a line for each zone that could not be read."""
    rows = [
        Row(
            (
                _MEANING[each.kind],
                each.id,
                each.name,
                "" if each.size_gib is None else f"{each.size_gib} GiB",
                age(each.created_at, now),
                each.made_for,
                each.obstacle,
            )
        )
        for each in orphans.found
    ]
    head = ("WHAT", "ID", "NAME", "SIZE", "AGE", "MADE FOR", "NOTE")
    found = draw(head, rows) if rows else "no orphans"
    return "\n".join((found, *_unread(orphans)))


def as_json(orphans: Orphans) -> str:
    """Return the same as JSON."""
    found = [
        {**asdict(each), "created_at": each.created_at and each.created_at.isoformat()}
        for each in orphans.found
    ]
    return json.dumps({"orphans": found, "unread": dict(orphans.unread)}, indent=2)


def as_commands(orphans: Orphans) -> str:
    """Return a shell command for each orphan that must be deleted by hand. None of them was run.

    What must not be deleted now, and zones that were not read, are comments.
    """
    unread = (f"# {line}" for line in _unread(orphans))
    return "\n".join((*filter(None, map(_command, orphans.found)), *unread))


def _command(orphan: Orphan) -> str:
    command = _COMMANDS.get(orphan.kind)
    if command is None:
        return ""
    # Anybody who may label a volume in the cloud chooses what it was made for.
    about = printable(f"{orphan.size_gib} GiB, {orphan.made_for or 'unknown'}")
    if orphan.obstacle:
        return f"# not to be deleted, {orphan.obstacle}: {orphan.kind} {orphan.id}, {about}"
    zone, _, uuid = orphan.id.partition("/")
    return f"{command} --zone {shlex.quote(zone)} {shlex.quote(uuid)}  # {about}"


def _unread(orphans: Orphans) -> Iterator[str]:
    for zone, why in orphans.unread.items():
        yield printable(f"zone {zone} was not read: {why}")
