"""Changing the labels and names of volumes that exist (N10), for whatever reason (C4, N1)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Entry, Ledger
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.refusals import failed, refused
from csi_exoblock.controller.specs import VolumeChanges
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    DriverError,
    OperationPending,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import OperationState, Snapshot, Volume, VolumeId, VolumeState


class LabelWriter:
    """Writes whole label maps, right whether the API replaces the old map or merges into it."""

    def __init__(self, *, cloud: Cloud, ledger: Ledger) -> None:
        self._cloud = cloud
        self._ledger = ledger

    def write(
        self,
        volume: Volume,
        labels: Mapping[str, str],
        entry: Entry,
        deadline: Deadline,
        *,
        name: str | None = None,
    ) -> Volume:
        """Give the volume these labels and no others; return it as read afterwards.

        A key that survives its removal gets an empty value, which counts as absent.

        Args:
            entry: The volume's; it keeps a write whose answer is lost, or that goes on (S5).
            name: The volume's new name, `None` to leave it.

        Raises:
            ApiRejected: The API refuses the labels, or any change of them just now.
            OperationFailed: The API took the change, and it failed.
        """
        seen = self._update(volume, labels, entry, deadline, name=name)
        survivors = _present(seen.labels).keys() - labels.keys()
        if survivors:
            emptied = {**labels, **dict.fromkeys(survivors, "")}
            seen = self._update(volume, emptied, entry, deadline)
        return seen

    def write_to_snapshot(
        self, snapshot: Snapshot, labels: Mapping[str, str], deadline: Deadline
    ) -> None:
        """Give the snapshot these labels beside those that it has.

        Raises:
            ApiRejected: The API refuses the labels, or any change of them just now.
            OperationFailed: The API took the change, and it failed.
        """
        client = self._cloud.zone(snapshot.id.zone)
        update = partial(client.update_snapshot, snapshot.id.uuid, labels=labels, deadline=deadline)
        ended = self._ledger.send(Entry(), update, deadline)
        if ended.state is not OperationState.SUCCESS:
            raise failed(f"snapshot {snapshot.id} was not relabelled", ended)

    def _update(
        self,
        volume: Volume,
        labels: Mapping[str, str],
        entry: Entry,
        deadline: Deadline,
        *,
        name: str | None = None,
    ) -> Volume:
        def shows(seen: Volume) -> bool:
            return _present(labels).items() <= seen.labels.items() and name in (None, seen.name)

        client = self._cloud.zone(volume.id.zone)
        update = partial(
            client.update_volume, volume.id.uuid, labels=labels, name=name, deadline=deadline
        )
        ended = self._ledger.send(entry, update, deadline, shown_by=shows)
        seen = client.get_volume(volume.id.uuid, deadline)
        if ended.state is not OperationState.SUCCESS and not shows(seen):
            raise failed(f"volume {volume.id} was not relabelled", ended)
        return seen


class Modification:
    """Gives a volume the name and the labels that its VolumeAttributesClass asks for."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reader: VolumeReader,
        labels: Labels,
        writer: LabelWriter,
        timing: Timing,
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._labels = labels
        self._writer = writer
        self._timing = timing

    def modify(self, volume_id: VolumeId, changes: VolumeChanges, deadline: Deadline) -> None:
        """Make the changes that the volume does not show yet.

        Raises:
            NotFound: The volume does not exist.
            WrongState: The API changes no labels while the volume is attached.
            OperationPending: The volume is in the middle of something else.
        """
        deadline = deadline.within(self._timing.create_timeout)
        with self._ledger.hold(f"volume {volume_id}") as entry:
            volume = self._reader.read(volume_id, entry, deadline)
            labels = self._labels.changed(volume.labels, changes)
            name = changes.visible_name
            if _present(labels) == _present(volume.labels) and name in (None, volume.name):
                return
            logs.step("changing name and labels")
            try:
                self._writer.write(volume, labels, entry, deadline, name=name)
            except (ApiRejected, ApiDenied) as error:
                raise _why_refused(error, volume) from error


def _present(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if value}


def _why_refused(error: ApiRejected | ApiDenied, volume: Volume) -> DriverError:
    what = f"volume {volume.id} was not changed"
    if volume.state is VolumeState.SNAPSHOTTING:
        return OperationPending(f"{what}: a snapshot of it is being taken; {error}")
    if volume.attached_to:
        return WrongState(f"{what} while instance {volume.attached_to.uuid} has it; {error}")
    return refused(what, error)
