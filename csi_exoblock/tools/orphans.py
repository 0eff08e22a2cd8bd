"""`csi-exoblock orphans`: resources that only the cloud or only Kubernetes knows (C4, C6)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from csi_exoblock.app.known import known_to
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.orphans import Orphan, OrphanKind, Orphans, OrphanSearch
from csi_exoblock.tools.reach import Reach
from csi_exoblock.tools.tables import Draw, Row, age, plain

_MEANING: Mapping[OrphanKind, str] = {
    OrphanKind.VOLUME: "volume without PersistentVolume",
    OrphanKind.SNAPSHOT: "snapshot without VolumeSnapshotContent",
    OrphanKind.TWIN: "volume without PersistentVolume, second of its name",
    OrphanKind.TEMPORARY: "snapshot of a clone, deleted automatically",
    OrphanKind.MISSING: "PersistentVolume without volume",
}
# The vendor's CLI; it asks before it deletes.
_COMMANDS: Mapping[OrphanKind, str] = {
    OrphanKind.VOLUME: "exo compute block-storage delete",
    OrphanKind.TWIN: "exo compute block-storage delete",
    OrphanKind.SNAPSHOT: "exo compute block-storage snapshot delete",
}


def find(reach: Reach) -> tuple[Orphans, float]:
    """Return the orphans of at least `orphan_age`, and the cloud's time.

    Raises:
        DriverError: Cloud or cluster can't be read.
    """
    deadline = Deadline(reach.timing.orphans_timeout)
    search = OrphanSearch(
        cloud=reach.cloud,
        labels=reach.labels(deadline),
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
            )
        )
        for each in orphans.found
    ]
    head = ("WHAT", "ID", "NAME", "SIZE", "AGE", "MADE FOR")
    found = draw(head, rows) if rows else "no orphans"
    unread = (f"zone {zone} was not read: {why}" for zone, why in orphans.unread.items())
    return "\n".join((found, *unread))


def as_json(orphans: Orphans) -> str:
    """Return the same as JSON."""
    found = [
        {**asdict(each), "created_at": each.created_at and each.created_at.isoformat()}
        for each in orphans.found
    ]
    return json.dumps({"orphans": found, "unread": dict(orphans.unread)}, indent=2)


def as_commands(orphans: Orphans) -> str:
    """Return a shell command for each orphan that must be deleted by hand. None of them was run."""
    return "\n".join(filter(None, map(_command, orphans.found)))


def _command(orphan: Orphan) -> str:
    command = _COMMANDS.get(orphan.kind)
    if command is None:
        return ""
    zone, _, uuid = orphan.id.partition("/")
    return (
        f"{command} --zone {zone} {uuid}  # {orphan.size_gib} GiB, {orphan.made_for or 'unknown'}"
    )
