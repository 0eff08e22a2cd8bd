"""Run operations: do their work on the disks, wait for their latency, end them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from uuid import UUID

from csi_exoblock.simulator.disks.content import Disks
from csi_exoblock.simulator.state.calls import CallLog
from csi_exoblock.simulator.state.cloud import Cloud, Zone
from csi_exoblock.simulator.state.modes import Question
from csi_exoblock.simulator.state.resources import (
    Ending,
    Kind,
    Leaves,
    Operation,
    OperationState,
    Reason,
    Volume,
    VolumeState,
)
from csi_exoblock.simulator.time.settlement import settle

BOOT_DISK = UUID("b007d15c-0000-4000-8000-000000000000")
"""The id under which the host's own disk appears if its serial looks like a volume's."""

_PAUSE_SECONDS = 0.05  # between two checks whether a disk is still in use
_RESIZE_LAG_SECONDS = 2.0  # how long a resize goes on after its answer, if the mode says so

log = logging.getLogger(__name__)


class Runner:
    """Runs each operation in a separate task."""

    def __init__(self, cloud: Cloud, calls: CallLog, disks: Disks) -> None:
        self._cloud = cloud
        self._calls = calls
        self._disks = disks
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, operation: Operation, ending: Ending) -> Operation:
        """Begin to run an operation towards its ending, and return it as it is now."""
        operation = replace(operation, ending=ending)
        self._cloud.keep(operation)
        self._go(operation)
        return operation

    def resume(self) -> None:
        """Resume after a restart: with the devices and pending operations of the last process.

        A process that was killed might not have saved its last volumes. The saved state would give
        the next volumes the same ids, and so the same files.
        """
        zones = self._cloud.zones.values()
        self._disks.keep_only(
            {id for zone in zones for id in zone.volumes},
            {id for zone in zones for id in zone.snapshots},
        )
        for zone in self._cloud.zones.values():
            for volume in zone.volumes.values():
                instance = zone.instances.get(volume.instance) if volume.instance else None
                if volume.state is VolumeState.ATTACHED and instance and instance.is_local:
                    self._disks.connect(volume.id, volume.size_gib)
        for operation in tuple(self._cloud.operations.values()):
            if operation.finished_at is None:
                self._go(operation)

    async def finish_now(self, operation: Operation, ending: Ending) -> None:
        """End an operation that hangs; one that was ended or forgotten before stays as it is."""
        await self._end(replace(operation, ending=ending))

    async def disconnect(self, volumes: list[Volume]) -> None:
        """Remove the devices of volumes that lost their instance."""
        for volume in volumes:
            await asyncio.to_thread(self._disks.disconnect, volume.id)

    async def resize(self, zone: Zone, larger: Volume) -> None:
        """Replace a volume by its larger self, at once or after the answer, as the mode says."""
        if self._cloud.modes.has(Question.RESIZE_FINAL, "yes"):
            await self._grow(zone, larger)
        else:
            self._spawn(self._grow_later(zone, larger))

    async def show_boot_disk(self) -> None:
        """Show the host's own disk among those of volumes, or hide it."""
        shown = self._cloud.modes.has(Question.BOOT_SERIAL, "like-a-volume")
        if shown and BOOT_DISK not in self._disks.devices():
            await asyncio.to_thread(self._disks.connect, BOOT_DISK, 1)
        elif not shown:
            await asyncio.to_thread(self._disks.disconnect, BOOT_DISK)

    async def stop(self) -> None:
        """Abandon all running operations."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def clear(self) -> None:
        """Abandon all running operations, and remove all disks."""
        await self.stop()
        await asyncio.to_thread(self._disks.clear)

    def _go(self, operation: Operation) -> None:
        self._spawn(self._run(operation))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("an operation was aborted by an error", exc_info=error)

    async def _run(self, operation: Operation) -> None:
        begun = self._work_at_begin(operation)
        if begun is not None:
            operation = await self._work(operation, begun)
        if operation.ending.calls is not None:
            await self._calls.further(operation.ending.calls)
            await self.finish_now(operation, _in_the_end(operation.ending))
            return
        if operation.ending.state is OperationState.PENDING:
            return
        await asyncio.sleep(max(0.0, operation.due_at - self._cloud.clock()))
        if operation.kind is Kind.DETACH and self._cloud.modes.has(Question.DETACH_IN_USE, "waits"):
            while await asyncio.to_thread(self._disks.is_in_use, operation.target):
                await asyncio.sleep(_PAUSE_SECONDS)
        await self._end(operation)

    async def _grow_later(self, zone: Zone, larger: Volume) -> None:
        await asyncio.sleep(self._cloud.latencies.scaled(_RESIZE_LAG_SECONDS))
        await self._grow(zone, larger)

    async def _grow(self, zone: Zone, larger: Volume) -> None:
        volume = zone.volumes.get(larger.id)
        if volume is not None and volume.size_gib < larger.size_gib:
            zone.put(replace(volume, size_gib=larger.size_gib))
            await asyncio.to_thread(self._disks.resize, larger.id, larger.size_gib)

    async def _end(self, operation: Operation) -> None:
        if self._cloud.has_ended(operation):
            return
        work = self._work_at_end(operation)
        if work is not None:
            operation = await self._work(operation, work)
        if not self._cloud.has_ended(operation):
            settle(self._cloud, operation)
        elif operation.kind is Kind.ATTACH and not self._is_local(operation):
            # Its instance went while the device was made.
            await asyncio.to_thread(self._disks.disconnect, operation.target)

    async def _work(self, operation: Operation, work: Callable[[], None]) -> Operation:
        """Do an operation's work on the disks; if that fails, the operation will fail."""
        try:
            await asyncio.to_thread(work)
        except OSError as error:
            log.error("operation %s failed: %s", operation.kind, error)
            ending = Ending(
                state=OperationState.FAILURE,
                leaves=Leaves.NOTHING,
                reason=Reason.FAULT,
                message=str(error),
            )
            return replace(operation, ending=ending)
        return operation

    def _work_at_begin(self, operation: Operation) -> Callable[[], None] | None:
        """Return the work at the begin: a snapshot is copied at once, as of that moment."""
        zone = self._cloud.zones[operation.zone]
        if operation.kind is Kind.SNAPSHOT and operation.target in zone.snapshots:
            snapshot = zone.snapshots[operation.target]
            return lambda: self._disks.take_snapshot(snapshot.volume, snapshot.id)
        if operation.kind is Kind.CREATE and operation.target in zone.volumes:
            volume = zone.volumes[operation.target]
            if (source := volume.source) is not None:
                return lambda: self._disks.restore(source, volume.id)
            if self._cloud.modes.has(Question.NEW_VOLUME, "old-data"):
                return lambda: self._disks.recycle(volume.id, volume.size_gib)
            if self._cloud.modes.has(Question.NEW_VOLUME, "noise"):
                return lambda: self._disks.scramble(volume.id, volume.size_gib)
        return None

    def _work_at_end(self, operation: Operation) -> Callable[[], None] | None:
        """Return the work on the disks when the operation takes effect or is undone."""
        target = operation.target
        is_done = operation.ending.leaves is Leaves.DONE
        match operation.kind:
            case Kind.ATTACH if is_done and self._is_local(operation):
                size_gib = self._cloud.zones[operation.zone].volume(target).size_gib
                return lambda: self._disks.connect(target, size_gib)
            case Kind.DETACH if is_done:
                return lambda: self._disks.disconnect(target)
            case Kind.DELETE if is_done:
                return lambda: self._disks.delete_volume(target)
            case Kind.CREATE if operation.ending.leaves is Leaves.NOTHING:
                return lambda: self._disks.delete_volume(target)
            case Kind.DELETE_SNAPSHOT if is_done:
                return lambda: self._disks.delete_snapshot(target)
            case Kind.SNAPSHOT if operation.ending.leaves is Leaves.NOTHING:
                return lambda: self._disks.delete_snapshot(target)
        return None

    def _is_local(self, operation: Operation) -> bool:
        zone = self._cloud.zones[operation.zone]
        volume = zone.volumes.get(operation.target)
        if volume is None or volume.instance is None:
            return False
        instance = zone.instances.get(volume.instance)
        return instance is not None and instance.is_local


def _in_the_end(ending: Ending) -> Ending:
    """Return the ending of an operation that waits for calls: one that hangs then succeeds."""
    return Ending() if ending.state is OperationState.PENDING else ending
