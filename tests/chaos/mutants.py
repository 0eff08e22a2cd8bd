"""Drivers that are broken on purpose, from outside the package: the harness must see each.

Each does what a driver of this kind is known to have done wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import grpc

from csi_exoblock.concurrency import Deadline, Holds
from csi_exoblock.controller.adoption import Adoption
from csi_exoblock.controller.creations import Creations
from csi_exoblock.controller.detachments import Detachments
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.controller.relabelling import LabelWriter
from csi_exoblock.controller.snapshot_creation import SnapshotCreation
from csi_exoblock.controller.snapshots import Snapshots
from csi_exoblock.controller.specs import SnapshotSpec, VolumeChanges
from csi_exoblock.csi import status
from csi_exoblock.errors import ApiUnavailable, DeadlineExceeded, NotFound
from csi_exoblock.exoscale.client import ZoneClient
from csi_exoblock.exoscale.transport import Request, Transport
from csi_exoblock.exoscale.zones import Zones
from csi_exoblock.model import NodeId, Snapshot, Volume, VolumeId, ZoneName
from csi_exoblock.timing import ControllerTiming


def post_is_repeated_blindly() -> None:
    """Send a write again when its answer is lost, as many HTTP clients do by default (C1)."""
    original = Transport.send

    def send(self: Transport, request: Request, read: Any, deadline: Deadline) -> Any:
        try:
            return original(self, request, read, deadline)
        except ApiUnavailable:
            if request.method == "GET":
                raise
            return original(self, request, read, deadline)

    Transport.send = send  # type: ignore[method-assign]


def lost_answer_is_final() -> None:
    """Answer INTERNAL when nobody knows what became of a write (C1)."""
    codes = dict(status.CODES)
    codes[ApiUnavailable] = grpc.StatusCode.INTERNAL
    status.CODES = codes


def detach_without_reading() -> None:
    """Detach the volume from whatever instance has it by now (D3)."""

    def detach(
        self: Detachments, volume_id: VolumeId, node_id: NodeId | None, deadline: Deadline
    ) -> None:
        with self._ledger.hold(f"volume {volume_id}") as entry:
            client = self._cloud.zone(volume_id.zone)
            volume = client.get_volume(volume_id.uuid, deadline)
            if volume.attached_to:
                self._ledger.send(
                    entry, partial(client.detach_volume, volume_id.uuid, deadline), deadline
                )

    Detachments.detach = detach  # type: ignore[method-assign]


def adoption_by_name_only() -> None:
    """Take whatever volume has the name, as the vendor's driver does (D11)."""
    Adoption._differences = lambda *_: []  # type: ignore[method-assign]


def lock_is_kept_on_cancel() -> None:
    """Never let go of what a call held whose caller went away (S5)."""
    original = Holds.hold
    kept = []

    @contextmanager
    def hold(self: Holds, thing: str) -> Iterator[None]:
        held = original(self, thing)
        held.__enter__()
        try:
            yield
        except DeadlineExceeded:
            kept.append(held)  # were it forgotten, its end would let go
            raise
        except BaseException:
            held.__exit__(None, None, None)
            raise
        held.__exit__(None, None, None)

    Holds.hold = hold  # type: ignore[method-assign]


def labels_of_others_are_blanked() -> None:
    """Take every label that was not sent for one that has survived its removal (N10)."""
    original = LabelWriter._update

    def update(
        self: LabelWriter,
        volume_id: VolumeId,
        wanted: VolumeChanges,
        labels: Mapping[str, str],
        entry: Entry,
        deadline: Deadline,
    ) -> Volume:
        seen = original(self, volume_id, wanted, labels, entry, deadline)
        survivors = {key for key, value in seen.labels.items() if value} - labels.keys()
        if survivors:
            emptied = {**labels, **dict.fromkeys(survivors, "")}
            seen = original(self, volume_id, wanted, emptied, entry, deadline)
        return seen

    LabelWriter._update = update  # type: ignore[method-assign]


def snapshot_is_named_before_it_is_ready() -> None:
    """Answer the id of a snapshot that can still fail (S18)."""
    resume = SnapshotCreation.resume

    def named(
        self: SnapshotCreation, spec: SnapshotSpec, entry: Entry, deadline: Deadline
    ) -> Snapshot | None:
        operation = entry.operation
        if operation and operation.reference:
            with contextlib.suppress(NotFound):
                return self._cloud.zone(operation.zone).get_snapshot(operation.reference, deadline)
        return resume(self, spec, entry, deadline)

    SnapshotCreation.resume = named  # type: ignore[method-assign]
    SnapshotCreation.wait_until_ready = lambda self, snapshot, deadline: snapshot  # type: ignore[method-assign]


def labels_are_written_from_an_old_read() -> None:
    """Write the whole map of labels as it was when the call read the volume first (D12)."""
    read = VolumeReader.read
    seen: dict[VolumeId, Volume] = {}

    def remembered(
        self: VolumeReader, volume_id: VolumeId, entry: Entry, deadline: Deadline
    ) -> Volume:
        seen[volume_id] = read(self, volume_id, entry, deadline)
        return seen[volume_id]

    def write(
        self: LabelWriter,
        volume_id: VolumeId,
        changes: VolumeChanges,
        deadline: Deadline,
    ) -> Volume:
        labels = {**seen[volume_id].labels, **changes.labels}
        return self._update(volume_id, changes, labels, Entry(), deadline)

    VolumeReader.read = remembered  # type: ignore[method-assign]
    LabelWriter.write = write  # type: ignore[method-assign]


def not_found_is_gone() -> None:
    """Believe a 404 right after a create, whatever the lists say (C1)."""
    begin = Creations.__init__

    def hasty(self: Creations[Any], kind: Any, *, timing: ControllerTiming, **others: Any) -> None:
        begin(self, kind, timing=replace(timing, settle=0.0), **others)

    Creations.__init__ = hasty  # type: ignore[method-assign]
    RecentCreations.seconds_until_shown = lambda *_: 0.0  # type: ignore[method-assign]
    ZoneClient._doubt = lambda *_: ""  # type: ignore[method-assign]


def clone_takes_any_snapshot_of_its_name() -> None:
    """Take a user's snapshot for the temporary one that a clone is made from (N6)."""
    find = Snapshots._find

    def trusting(
        self: Snapshots, spec: SnapshotSpec, entry: Entry, deadline: Deadline
    ) -> Snapshot | None:
        if not spec.clone_of:
            return find(self, spec, entry, deadline)
        names = self._labels.names_for(spec)
        found = self._lookup.find([spec.volume_id.zone], names, entry, deadline)
        return found[0] if found else None

    Snapshots._find = trusting  # type: ignore[method-assign]


def unlisted_zone_is_empty() -> None:
    """Believe a list of zones that lacks one: all that is in it is gone (S12)."""

    def require(self: Zones, zone: ZoneName, deadline: Deadline) -> None:
        if zone not in self.in_scope(deadline, (zone,)):
            raise NotFound(f"zone {zone} does not exist")

    Zones.require = require  # type: ignore[method-assign]


MUTANTS: Mapping[str, Callable[[], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        post_is_repeated_blindly,
        lost_answer_is_final,
        detach_without_reading,
        adoption_by_name_only,
        lock_is_kept_on_cancel,
        labels_of_others_are_blanked,
        snapshot_is_named_before_it_is_ready,
        labels_are_written_from_an_old_read,
        not_found_is_gone,
        clone_takes_any_snapshot_of_its_name,
        unlisted_zone_is_empty,
    )
}
