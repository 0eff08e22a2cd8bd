"""Changing labels and names of existing volumes and snapshots (N10, C4, N1)."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.controller.fresh_reads import send_on_fresh_read
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.reading import VolumeReader, require_present
from csi_exoblock.controller.refusals import failed, lasting, refused
from csi_exoblock.controller.specs import VolumeChanges
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    OperationPending,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Operation, Snapshot, Volume, VolumeId
from csi_exoblock.states import VOLUME_BUSY, OperationState
from csi_exoblock.timing import ControllerTiming

_PAUSE_GROWTH = 1.2  # labels are seen at latest a fifth of an update's duration after they changed
_MOST_WRITES = 3  # the change, what survived its removal, and what others overwrote meanwhile


class LabelWriter:
    """Changes labels of volumes and snapshots, for an API that replaces maps or merges them.

    The API takes whole maps, and has no conditional write. So each write starts from a map that was
    read just before it:

        labels {a: 1}                    # the call's first read
        administrator adds {protect: x}  # by other means, meanwhile
        labels {a: 1, protect: x}        # read again before the write
        write {a: 2, protect: x}         # so the administrator's label stays
        administrator writes {a: 1}      # from an older read of theirs
        write {a: 2}                     # the change is written once more

    A label is removed only if the first read showed it: one that others add later stays.

    A volume's labels have an entry of their own in the ledger. An update that hangs, or whose
    answer is lost, holds up the next change of labels, which it would undo (S5). It holds up no
    attach, detach or delete, and changes no answer of theirs.
    """

    def __init__(
        self, *, cloud: Cloud, ledger: Ledger, reader: VolumeReader, timing: ControllerTiming
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._reader = reader
        self._timing = timing

    def has_pending(self, volume_id: VolumeId) -> bool:
        """Return whether an earlier change of the volume's labels can still take effect."""
        return self._ledger.has_pending(_labels_of(volume_id))

    def write(self, volume_id: VolumeId, changes: VolumeChanges, deadline: Deadline) -> Volume:
        """Make the changes that the volume does not show yet; return it as read afterwards.

        An earlier change that is pending comes first. A key that survives its removal gets an empty
        value, which counts as absent.

        Raises:
            NotFound: The volume does not exist.
            ApiRejected: The API refuses the labels, or any change of them just now.
            ApiUnavailable: The API took the change, and the volume does not show it.
            OperationFailed: The API took the change, and it failed.
        """
        with self._ledger.hold(_labels_of(volume_id)) as entry:
            return self._write(volume_id, changes, entry, deadline)

    def write_to_snapshot(
        self, snapshot: Snapshot, labels: Mapping[str, str], deadline: Deadline
    ) -> None:
        """Add the labels that the snapshot lacks; labels that it has keep their values.

        Raises:
            NotFound: The snapshot does not exist.
            ApiRejected: The API refuses the labels, or any change of them just now.
            OperationFailed: The API took the change, and it failed.
        """
        client = self._cloud.zone(snapshot.id.zone)
        missing = {key: labels[key] for key in labels.keys() - snapshot.labels.keys()}
        read = partial(client.get_snapshot, snapshot.id.uuid, deadline)

        def update(seen: Snapshot) -> Operation:
            wanted = {**missing, **seen.labels}
            return client.update_snapshot(snapshot.id.uuid, labels=wanted, deadline=deadline)

        ended = send_on_fresh_read(
            lambda seen: self._ledger.send(Entry(), partial(update, seen), deadline), read(), read
        )
        if ended.state is not OperationState.SUCCESS:
            raise failed(f"snapshot {snapshot.id} was not relabelled", ended)

    def _write(
        self, volume_id: VolumeId, changes: VolumeChanges, entry: Entry, deadline: Deadline
    ) -> Volume:
        read = partial(self._reader.read, volume_id, entry, deadline)
        seen = read()
        removed = changes.removed & _present(seen.labels).keys()
        wanted = replace(changes, removed=removed)
        survivors: Collection[str] = ()
        for _ in range(_MOST_WRITES):
            if is_shown(wanted, seen):
                break
            change = partial(self._change, wanted, survivors, entry, deadline)
            seen = send_on_fresh_read(change, seen, read)
            survivors = removed & _present(seen.labels).keys()
        if not is_shown(wanted, seen):
            raise ApiUnavailable(
                f"volume {volume_id} does not show the name and labels that the API took: others "
                "write them too, or the API ignores them; retry"
            )
        return seen

    def _change(
        self,
        wanted: VolumeChanges,
        survivors: Collection[str],
        entry: Entry,
        deadline: Deadline,
        seen: Volume,
    ) -> Volume:
        labels = {key: value for key, value in seen.labels.items() if key not in wanted.removed}
        labels |= {**wanted.labels, **dict.fromkeys(survivors, "")}
        logs.step("changing name and labels")
        return self._update(seen.id, wanted, labels, entry, deadline)

    def _update(
        self,
        volume_id: VolumeId,
        wanted: VolumeChanges,
        labels: Mapping[str, str],
        entry: Entry,
        deadline: Deadline,
    ) -> Volume:
        client = self._cloud.zone(volume_id.zone)
        update = partial(
            client.update_volume,
            volume_id.uuid,
            labels=labels,
            name=wanted.visible_name,
            deadline=deadline,
        )
        shown_by = partial(is_shown, wanted)
        ended = self._ledger.send(entry, update, deadline, shown_by=shown_by)
        seen = client.get_volume(volume_id.uuid, deadline)
        if ended.state is OperationState.SUCCESS or shown_by(seen):
            return seen
        if ended.state is OperationState.FAILURE:
            raise failed(f"volume {volume_id} was not relabelled", ended)
        return self._wait_until_shown(seen, wanted, deadline)

    def _wait_until_shown(self, seen: Volume, wanted: VolumeChanges, deadline: Deadline) -> Volume:
        """Read the volume until it shows the changes, for at most `Timing.settle`; return it.

        Their operation could not be followed to its end.
        """
        end = time.monotonic() + self._timing.settle
        for pause in pauses(self._timing.poll_initial, self._timing.poll_max, growth=_PAUSE_GROWTH):
            if is_shown(wanted, seen) or time.monotonic() >= end:
                break
            logs.step("waiting until the volume shows its labels")
            deadline.wait(pause)
            seen = self._cloud.zone(seen.id.zone).get_volume(seen.id.uuid, deadline)
        return seen


def is_shown(changes: VolumeChanges, volume: Volume) -> bool:
    """Return whether the volume has the new name and labels, and none of the removed ones."""
    present = _present(volume.labels)
    return (
        _present(changes.labels).items() <= present.items()
        and changes.removed.isdisjoint(present)
        and changes.visible_name in (None, volume.name)
    )


class Modification:
    """Gives a volume the name and the labels that its VolumeAttributesClass asks for."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reader: VolumeReader,
        labels: Labels,
        writer: LabelWriter,
        timing: ControllerTiming,
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._labels = labels
        self._writer = writer
        self._timing = timing

    def modify(self, volume_id: VolumeId, changes: VolumeChanges, deadline: Deadline) -> None:
        """Make the changes that the volume does not show yet.

        Raises:
            NotFound: The volume does not exist, or is being deleted.
            WrongState: The API changes no labels while the volume is attached, or it is another
                cluster's.
            OperationPending: The cloud is doing something else with the volume.
        """
        deadline = deadline.within(self._timing.create_timeout)
        changes = self._labels.fitting(changes)
        with self._ledger.hold(f"volume {volume_id}") as entry:
            volume = self._reader.read(volume_id, entry, deadline)
            require_present(volume)
            self._labels.require_own(volume)
        if is_shown(changes, volume) and not self._writer.has_pending(volume_id):
            return
        try:  # the volume is let go: an update that hangs must not keep a pod from moving (S5)
            self._writer.write(volume_id, changes, deadline)
        except (ApiRejected, ApiDenied) as error:
            self._require_shown(error, volume_id, changes, deadline)

    def _require_shown(
        self,
        error: ApiRejected | ApiDenied,
        volume_id: VolumeId,
        changes: VolumeChanges,
        deadline: Deadline,
    ) -> None:
        """Raise the reason of a refused change, unless the volume shows the change all the same.

        Raises:
            NotFound: It is being deleted by now.
            OperationPending: The cloud is doing something else with it.
            WrongState: The API changes nothing while an instance has it.
            DriverError: The refusal itself, where nothing else explains it.
        """
        logs.step("asking why the volume was not changed")
        seen = self._reader.get(volume_id, deadline)
        require_present(seen)
        if is_shown(changes, seen):
            return
        what = f"volume {volume_id} was not changed"
        if seen.state in VOLUME_BUSY:
            raise OperationPending(f"{what} while it is {seen.state}; {error}") from error
        if seen.attached_to and isinstance(error, ApiRejected):
            raise WrongState(
                f"{what} while instance {seen.attached_to.uuid} has it; {error}"
            ) from error
        raise lasting(refused(what, error)) from error


def _labels_of(volume_id: VolumeId) -> str:
    return f"labels of volume {volume_id}"


def _present(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if value}
