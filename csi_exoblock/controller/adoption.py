"""Adopting a volume found by name, if it is the one that the create asks for (D11)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from csi_exoblock import logs
from csi_exoblock.capacity import gib_ceil
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.placement import is_accessible
from csi_exoblock.controller.quotas import (
    GIBIBYTES,
    above_largest,
    exceeded,
    read_quotas,
)
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.relabelling import LabelWriter
from csi_exoblock.controller.specs import CreatedVolume, VolumeChanges, VolumeSpec
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DriverError,
    Mismatch,
    NotFound,
)
from csi_exoblock.exoscale.client import Cloud, ZoneClient
from csi_exoblock.model import SnapshotId, Volume, VolumeId
from csi_exoblock.states import VOLUME_GOING, VolumeState

log = logging.getLogger(__name__)

_UNUSABLE = (*VOLUME_GOING, VolumeState.ERROR)


def only_one(found: Sequence[Volume], name: str, *, name_label: str) -> Volume | None:
    """Return the volume of that name, `None` if there is none.

    A volume that is being deleted counts only if there is no other.

    Args:
        name_label: The label that counts before the name in the cloud, so that only another value
            of it puts a volume aside.

    Raises:
        Mismatch: There are several, because names are not unique in the cloud.
    """
    found = [each for each in found if each.state not in VOLUME_GOING] or found
    if len(found) > 1:
        ids = ", ".join(str(volume.id) for volume in found)
        raise Mismatch(
            f"several volumes are named {name!r}: {ids}; delete all but one, or give the others "
            f"another value of label {name_label}"
        )
    return found[0] if found else None


class Adoption:
    """Checks that an existing volume is what a create asks for, and completes it."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        reader: VolumeReader,
        labels: Labels,
        writer: LabelWriter,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._reader = reader
        self._labels = labels
        self._writer = writer

    def adopt(
        self, volume: Volume, spec: VolumeSpec, entry: Entry, deadline: Deadline
    ) -> CreatedVolume:
        """Return the volume once it is created, as large as asked for, and labelled.

        Args:
            entry: The name's.

        Raises:
            Mismatch: It is not what the spec asks for, or not this driver's; the message says why.
            ApiUnavailable: It is in no zone that the spec allows, and has no labels yet.
        """
        logs.step("adopting the volume of that name")
        volume = self._reader.wait_while(volume, (VolumeState.CREATING,), deadline)
        size_gib = volume.size_gib
        if spec.source:  # a restore that came out too small is completed below (S8)
            size_gib = max(size_gib, gib_ceil(spec.size.required_bytes))
        if differences := self._differences(volume, size_gib, spec, deadline):
            raise Mismatch(
                f"volume {volume.id} has the name {spec.name!r} already, but "
                + "; ".join(differences)
            )
        if size_gib > volume.size_gib:
            size_gib = self._resize(volume, size_gib, entry, deadline)
        self._repair_labels(volume, spec, deadline)
        return CreatedVolume(id=volume.id, size_gib=size_gib)

    def _differences(
        self, volume: Volume, size_gib: int, spec: VolumeSpec, deadline: Deadline
    ) -> list[str]:
        return [
            *([_unusable(volume)] if volume.state in _UNUSABLE else []),
            *self._owner_differences(volume),
            *self._source_differences(volume, spec.source, deadline),
            *_size_differences(size_gib, spec),
        ]

    def _owner_differences(self, volume: Volume) -> list[str]:
        if self._labels.are_ours(volume.labels):
            return []
        if not self._labels.are_absent(volume.labels):
            return ["its labels say that another cluster or driver made it"]
        if volume.attached_to:
            return [f"it has no label of this driver and is attached to {volume.attached_to.uuid}"]
        return []

    def _source_differences(
        self, volume: Volume, source: SnapshotId | VolumeId | None, deadline: Deadline
    ) -> list[str]:
        if self._labels.are_absent(volume.labels):
            # The API dropped them, and nothing has repaired them since: only the size tells.
            return self._shortfall(volume, source, deadline)
        made_from = self._labels.source_of(volume.labels)
        asked = str(source.uuid) if source else None
        if made_from == asked:
            return []
        return [f"it was made from {made_from or 'nothing'}, asked for is {asked or 'nothing'}"]

    def _shortfall(
        self, volume: Volume, source: SnapshotId | VolumeId | None, deadline: Deadline
    ) -> list[str]:
        """Return a difference if the volume is smaller than the snapshot that it was restored from.

        The size of a clone proves nothing: its snapshot is gone, and its source can have grown.
        """
        if not isinstance(source, SnapshotId):
            return []
        try:
            snapshot = self._cloud.zone(source.zone).get_snapshot(source.uuid, deadline)
        except NotFound:
            return []
        if volume.size_gib >= snapshot.volume_size_gib:
            return []
        return [f"it has {volume.size_gib} GiB, its source {snapshot.volume_size_gib} GiB"]

    def _resize(self, volume: Volume, size_gib: int, entry: Entry, deadline: Deadline) -> int:
        """Make a restore as large as was asked for, and return its size as read afterwards."""
        what = (
            f"volume {volume.id} was restored with {volume.size_gib} GiB "
            f"and could not be resized to {size_gib} GiB yet"
        )
        logs.step("resizing a restore that came out too small")
        client = self._cloud.zone(volume.id.zone)
        try:
            with entry.sending():
                client.resize_volume(volume.id.uuid, size_gib, deadline)
            resized = client.get_volume(volume.id.uuid, deadline)  # its answer is no proof (C5)
        except DriverError as error:  # the volume exists, so no error may be final here (C1)
            why = None
            if isinstance(error, ApiRejected | ApiDenied):
                why = _quota_in_the_way(client, volume, size_gib, deadline)
            raise ApiUnavailable(f"{what}: {why or error}") from error
        if resized.size_gib < size_gib:
            raise ApiUnavailable(f"{what}: it has {resized.size_gib} GiB; a retry resizes it again")
        return resized.size_gib

    def _repair_labels(self, volume: Volume, spec: VolumeSpec, deadline: Deadline) -> None:
        wanted = {**self._labels.of_volume(spec), **volume.labels}
        if wanted == volume.labels:
            return
        logs.step("repairing the volume's labels")
        try:
            missing = {key: wanted[key] for key in wanted.keys() - volume.labels.keys()}
            with self._ledger.hold(f"volume {volume.id}") as entry:
                self._reader.read(volume.id, entry, deadline)
                self._writer.write(volume.id, VolumeChanges(labels=missing), deadline)
        except DriverError as error:  # people read labels; the volume works without them (C4)
            log.warning("labels not repaired", extra={"volume": volume.id, "error": str(error)})
            is_final = isinstance(error, ApiRejected | ApiDenied)
            if not (is_final or is_accessible(volume.id, spec.zones)):
                # The claim will be told to go to the volume's zone. If it is deleted instead, only
                # the labels tell whose volume it leaves (C3).
                raise ApiUnavailable(f"volume {volume.id} has no labels yet: {error}") from error


def _quota_in_the_way(
    client: ZoneClient, volume: Volume, size_gib: int, deadline: Deadline
) -> str | None:
    """Return which limit forbids the size, and what to do; `None` if none does."""
    quotas = read_quotas(client, deadline)
    more = {GIBIBYTES: size_gib - volume.size_gib}
    if limit := above_largest(quotas, size_gib) or exceeded(quotas, more):
        return f"{limit}; have the quota raised, or delete the claim; Kubernetes will retry"
    return None


def _unusable(volume: Volume) -> str:
    """Return the state as a difference; the driver deletes nothing that can hold data (C4)."""
    remedy = "; delete it in the cloud" if volume.state is VolumeState.ERROR else ""
    return f"its state is {volume.state}{remedy}"


def _size_differences(size_gib: int, spec: VolumeSpec) -> list[str]:
    if spec.size.allows(size_gib):
        return []
    limit = f" and at most {spec.size.limit_bytes}" if spec.size.limit_bytes else ""
    return [
        f"its size is {size_gib} GiB, asked for: at least {spec.size.required_bytes}{limit} bytes"
    ]
