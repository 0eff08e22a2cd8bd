"""What users do with their volumes on one node: each life runs in a thread of its own."""

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.chaos.node import plan
from tests.chaos.node.kubelet import DiskLost, GivenUp, Kubelet
from tests.chaos.node.plan import FILESYSTEMS, Round
from tests.chaos.node.volumes import Volume
from tests.chaos.node.world import World
from tests.node.disks import run

_CHECKS = {
    "ext4": ("e2fsck", "-f", "-n"),
    "ext3": ("e2fsck", "-f", "-n"),
    "xfs": ("xfs_repair", "-n"),
    "btrfs": ("btrfs", "check", "--readonly"),
}

_JUNK = b"data of somebody that begins with no signature "
_JUNK_AT = 8192
# Source: Linux, fs/xfs/libxfs/xfs_fs.h and fs/ext4/ext4.h: _IOR('X', 125, __u32).
_GOING_DOWN = 0x8004587D
# The log is written, and nothing is frozen before: a disk that fails meanwhile is never thawed.
_WITH_LOG = (1).to_bytes(4, sys.byteorder)
_FULL = 0.8  # of its disk a file system fills more, and one that did not grow less


class Lives:
    """All lives of a schedule.

    Args:
        limit_seconds: What goes on for longer than this hangs.
    """

    def __init__(self, world: World, kubelet: Kubelet, *, limit_seconds: float) -> None:
        self._world = world
        self._kubelet = kubelet
        self._limit_seconds = limit_seconds
        self._volumes = world.volumes

    def run(self) -> None:
        """Live them all; then, without any fault, check that each is as its pods left it."""
        self._together(self._live)
        self._world.end_faults()
        self._together(self._end)

    def _together(self, work: Callable[[Volume], None]) -> None:
        threads = [
            threading.Thread(target=self._guarded, args=(work, volume), daemon=True)
            for volume in self._volumes
        ]
        for thread in threads:
            thread.start()
        if not _ended(threads, self._limit_seconds):
            self._world.story.breach("nothing hangs", f"for {self._limit_seconds:.0f} s")
            self._world.thaw()  # who waits for a frozen file system can't even be killed
            _ended(threads, self._limit_seconds)

    def _guarded(self, work: Callable[[Volume], None], volume: Volume) -> None:
        try:
            work(volume)
        except GivenUp as given_up:
            self._world.story.breach("nothing is stuck for ever", str(given_up))
            volume.thaw()  # or the next pod that writes to it hangs
        except Exception as error:
            self._world.story.breach("the harness works", f"{type(error).__name__}: {error}")
            raise
        finally:
            self._hand_on(volume, at_last=True)

    def _live(self, volume: Volume) -> None:
        if volume.plan.origin == "copy":
            volume.copied.wait()
            if not volume.canary.written:  # its source came to nothing
                return
        self._provide(volume)
        for each in volume.plan.rounds:
            try:
                self._live_through(volume, each)
            except DiskLost:
                self._recover(volume, each)
            if plan.TRACED in each.deeds:
                self._leave_trace(volume)
            self._hand_on(volume)

    def _provide(self, volume: Volume) -> None:
        """Put on the disk what it holds from the beginning."""
        if volume.plan.origin == "static" and not volume.is_block:
            volume.disk.plug(visible=False)
            options = ("-s", "size=4096") if volume.plan.filesystem == "xfs" else ()
            command = (f"mkfs.{volume.plan.filesystem}", "-q", *options, str(volume.disk.path))
            run(*command)
            volume.disk.unplug()
            self._world.tools.note_content(volume.uuid, "a file system of somebody's")
        if volume.plan.is_noise:
            volume.disk.scramble()
        if volume.plan.origin == "foreign":
            volume.disk.write(_JUNK, offset=_JUNK_AT)
            self._world.tools.note_content(volume.uuid, "somebody's data")

    def _hand_on(self, volume: Volume, *, at_last: bool = False) -> None:
        """Let the volume's copy begin with what it holds, once it is detached; at last anyhow."""
        for copy in self._volumes[volume.plan.number + 1 : volume.plan.number + 2]:
            if copy.plan.origin != "copy" or copy.copied.is_set():
                continue
            ready = volume.canary.written and volume.disk.number is None
            if ready:
                volume.disk.copy_to(copy.disk)
                copy.canary.copy(volume.canary)
                self._world.tools.note_content(copy.uuid, "a copy")
            if ready or at_last:
                copy.copied.set()

    def _live_through(self, volume: Volume, each: Round) -> None:
        self._attach(volume, each)
        if not volume.plan.can_be_staged:
            self._kubelet.is_refused(volume)
        elif self._come(volume, each):
            for deed in each.deeds:
                self._do(volume, deed)
        self._go(volume)

    def _attach(self, volume: Volume, each: Round) -> None:
        if volume.disk.number is None or volume.disk.lost:
            volume.appears_at = each.late
            volume.silent_answers = 0
            volume.disk.plug(visible=not each.late, silent=each.is_silent)
            if each.swapped and self._world.plan.with_serials:
                self._world.swap_links(volume)

    def _come(self, volume: Volume, each: Round) -> bool:
        """Bring the volume to its pod; say whether that pod still wants it."""
        if "wrong type" in each.deeds and volume.canary.written and not volume.staged:
            others = (each for each in FILESYSTEMS if each != volume.plan.filesystem)
            self._kubelet.is_refused(volume, next(others))
        if not self._kubelet.stage(volume, impatient=each.impatient):
            return False
        self._meet(volume, "pod")
        return True

    def _go(self, volume: Volume) -> None:
        self._kubelet.leave(volume)
        volume.disk.unplug()

    def _leave_trace(self, volume: Volume) -> None:
        if volume.canary.written and volume.disk.number is None:
            self._world.story.tell(f"volume {volume.plan.number}: {plan.TRACED}")
            volume.leave_trace()

    def _recover(self, volume: Volume, each: Round) -> None:
        """Clean up after a disk that was lost: before or after it comes back elsewhere."""
        for path in tuple(volume.guests):  # nothing of theirs works any more
            volume.stop_using(path)
        if each.lost == "before":
            for target in tuple(volume.targets):
                self._kubelet.unpublish(volume, target)
            volume.disk.plug()
        else:
            self._go(volume)

    def _meet(self, volume: Volume, pod: str) -> pathlib.Path:
        """Publish the volume to a pod, which looks for what the last one wrote, and writes."""
        target = self._kubelet.publish(volume, pod)
        with self._losing_disk(volume, "what is handed out works"):
            found = volume.read_canary(target)
            if found not in volume.canary.possible:
                lost = found is None or found.split()[0] == f"volume-{volume.plan.number}"
                invariant = "no canary is lost" if lost else "no volume shows another's canary"
                what = f"volume {volume.plan.number}: {found}, not {set(volume.canary.possible)}"
                self._world.story.breach(invariant, what)
            volume.canary.found(found)
            self._write(volume, target)
        return target

    def _write(self, volume: Volume, target: pathlib.Path) -> None:
        if volume.is_block:
            self._world.tools.note_content(volume.uuid, "raw data")
        volume.write_canary(target)

    @contextmanager
    def _losing_disk(self, volume: Volume, invariant: str) -> Iterator[None]:
        """Take an error of what a pod does for the disk's, if that was lost."""
        try:
            yield
        except OSError as error:
            if volume.disk.lost:
                raise DiskLost(volume.id) from error
            self._world.story.breach(invariant, f"volume {volume.plan.number}: {error}")

    def _do(self, volume: Volume, deed: str) -> None:
        self._world.story.tell(f"volume {volume.plan.number}: {deed}")
        target = volume.targets[0]
        match deed:
            case "write":
                with self._losing_disk(volume, "what is handed out works"):
                    self._write(volume, target)
            case "stats":
                self._kubelet.ask(volume, plan.STATS, volume.stats(target))
            case "health":
                self._kubelet.ask(volume, plan.HEALTH, volume.health(target))
            case "stage again":
                self._kubelet.stage(volume)
            case "publish again":
                self._kubelet.publish(volume, "pod")
            case "second pod":
                self._meet(volume, "second")
            case "expand":
                volume.grow()
                self._kubelet.expand(volume, target)
            case "restart" | "stop":
                self._world.restart(gracefully=deed == "stop")
            case "force":
                volume.disk.vanish()
                raise DiskLost(volume.id)
            case "fail":
                volume.disk.fail()
                self._kubelet.ask(volume, plan.HEALTH, volume.health(target))
            case "shut down" if volume.plan.filesystem in ("ext4", "xfs"):
                self._shut_down(volume)
            case plan.BUSY:
                with self._losing_disk(volume, "what is handed out works"):
                    volume.use(target)
            case "in use while staged" if not volume.is_block:
                with self._losing_disk(volume, "what is handed out works"):
                    volume.use(volume.staging)
            case plan.ELSEWHERE if not volume.is_block:
                volume.use_elsewhere()
            case plan.HELD:
                with self._losing_disk(volume, "what is handed out works"):
                    volume.hold_device()
            case plan.READER if not volume.is_block:
                self._kubelet.publish(volume, plan.READER)
            case plan.FROZEN if not volume.is_block:
                with self._losing_disk(volume, "what is handed out works"):
                    volume.freeze()
            case plan.GROWING if not volume.is_block:
                volume.grow()
                with self._losing_disk(volume, "what is handed out works"):
                    volume.freeze()
                self._kubelet.ask(volume, plan.EXPAND, volume.expand(target))

    def _shut_down(self, volume: Volume) -> None:
        """Have the kernel give the file system up; its pods are replaced, without unstaging."""
        with self._losing_disk(volume, "what is handed out works"):
            file = os.open(volume.targets[0], os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(file, _GOING_DOWN, _WITH_LOG)
            finally:
                os.close(file)
        for path in tuple(volume.guests):
            volume.stop_using(path)
        for target in tuple(volume.targets):
            self._kubelet.unpublish(volume, target)
        self._meet(volume, "pod")

    def _end(self, volume: Volume) -> None:
        """Bring the volume to a last pod, in peace."""
        if volume.plan.origin == "copy" and not volume.canary.written:
            return
        quiet = Round()
        self._attach(volume, quiet)
        if volume.appears_at:
            volume.appears_at = 0
            volume.disk.appear()
        if not volume.plan.can_be_staged:
            self._kubelet.is_refused(volume)
        elif self._come(volume, quiet):
            self._require_full(volume)
        self._kubelet.leave(volume)
        self._require_sound(volume)
        volume.disk.unplug()

    def _require_sound(self, volume: Volume) -> None:
        """D8, S8: whatever happened to it, the file system is one without errors."""
        if volume.is_block or not volume.plan.can_be_staged:
            return
        check = (*_CHECKS[volume.plan.filesystem], str(volume.disk.path))
        done = subprocess.run(check, check=False, capture_output=True, text=True)
        if done.returncode:
            what = f"{volume.plan}: {done.returncode} {done.stdout[-500:]} {done.stderr[-500:]}"
            self._world.story.breach("a file system is sound", what)

    def _require_full(self, volume: Volume) -> None:
        """S8: after a stage in peace the file system fills its disk."""
        if volume.is_block:
            return
        found = os.statvfs(volume.targets[0])
        share = found.f_blocks * found.f_frsize / volume.disk.size_bytes
        if share < _FULL:
            what = f"{volume.plan}: {share:.2f} of its disk"
            self._world.story.breach("a file system fills its volume", what)


def _ended(threads: Sequence[threading.Thread], seconds: float) -> bool:
    """Wait for threads, and return whether all of them ended in time."""
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
