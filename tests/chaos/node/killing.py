"""Kill the driver once at every named step of every RPC that mounts: the replay converges (S15)."""

from __future__ import annotations

import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from csi_exoblock.config import DEFAULT_DRIVER_NAME
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.open_files import read
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import Timing
from tests.chaos.fleet import Driver, Fleet
from tests.chaos.node import table
from tests.chaos.node.batch import stage
from tests.chaos.node.disks import Host
from tests.chaos.node.plan import BLOCK, EXPAND, PUBLISH, STAGE, UNPUBLISH, UNSTAGE, VolumePlan
from tests.chaos.node.steps import Steps
from tests.chaos.node.tools import Tools
from tests.chaos.node.volumes import FLAGS, Volume
from tests.chaos.node.world import CALL_SECONDS
from tests.node.disks import run
from tests.support.waiting import wait_until

_ATTEMPTS = 200
_PAUSE_SECONDS = 0.02
_FULL = 0.8  # of its disk a file system fills more, and one that did not grow less


class Play:
    """One volume on its way to the call in which the driver dies."""

    def __init__(self, volume: Volume, driver: Driver) -> None:
        self.volume = volume
        self.target = volume.target("pod")
        self._driver = driver

    def ask(self, driver: Driver, method: str) -> bool:
        """Repeat a call as kubelet does; say whether the driver lived to see it done."""
        request = self._request(method)
        last: grpc.RpcError | None = None
        for _ in range(_ATTEMPTS):
            try:
                getattr(driver.node, method)(request, timeout=CALL_SECONDS)
                return True
            except grpc.RpcError as error:
                if not driver.is_alive():
                    return False
                last = error
                time.sleep(_PAUSE_SECONDS)
        raise AssertionError(f"{method} never succeeds: {last}")

    def end(self, driver: Driver) -> None:
        """Leave the node."""
        self.ask(driver, UNPUBLISH)
        self.ask(driver, UNSTAGE)
        self.volume.disk.close()

    def be_new(self) -> None:
        """Be attached for the first time."""

    def come(self) -> None:
        """Be staged, and written to."""
        self.ask(self._driver, STAGE)
        if not self.volume.is_block:
            self.volume.write_canary(self.volume.staging)

    def show(self) -> None:
        """Be staged and published."""
        self.come()
        self.ask(self._driver, PUBLISH)

    def be_used(self) -> None:
        """Have been staged once before."""
        self.come()
        self.ask(self._driver, UNSTAGE)

    def be_grown(self) -> None:
        """Have been staged once, and its disk have grown since."""
        self.be_used()
        self.volume.grow()

    def show_grown(self) -> None:
        """Be published, and its disk have grown since."""
        self.show()
        self.volume.grow()

    def lose_disk(self) -> None:
        """Be staged from a disk that was pulled out and has come back as another device."""
        self.come()
        self.volume.disk.vanish()
        self.volume.disk.plug()

    def shut_down(self) -> None:
        """Be staged, and have a file system that works no more."""
        self.come()
        run("xfs_io", "-x", "-c", "shutdown", str(self.volume.staging))

    def leave_frozen(self) -> None:
        """Be mounted nowhere any more, and frozen, by a backup that died (D13)."""
        self.come()
        self.volume.freeze()
        run("umount", str(self.volume.staging))

    def hang_growing(self) -> None:
        """Be frozen, and have a growth hang that a driver began which is gone (D13)."""
        self.come()
        self.volume.grow()
        self.volume.freeze()
        commands = Commands(timing=Timing(), metrics=Metrics(CollectorRegistry()))
        grow = ("btrfs", "filesystem", "resize", "max", str(self.volume.staging))
        threading.Thread(target=commands.run_to_its_end, args=grow, daemon=True).start()
        wait_until(lambda: _hangs(grow), "the growth to hang")

    def forget_flags(self) -> None:
        """Be bound to the target, yet without the flags of the staged mount (S28)."""
        self.come()
        self.target.mkdir()
        run("mount", "--bind", str(self.volume.staging), str(self.target))
        run("mount", "-o", "remount,bind,suid,dev", str(self.target))

    def be_half_made(self) -> None:
        """Leave a mkfs of the driver behind that did not end."""
        self.be_used()
        with self.volume.disk.path.open("r+b", buffering=0) as device:
            page = bytearray(device.read(4096))
            page[126] = 1  # sb_inprogress
            device.seek(0)
            device.write(page)
            os.fsync(device.fileno())
        marker = self.volume.id.replace("/", ".")
        (markers_of(self.volume.kubelet) / marker).write_text(self.volume.id)

    def truth(self, markers: list[str]) -> object:
        """Return what the node has of the volume, without what differs from one to the next."""
        volume = self.volume
        mounts = table.mounted_below(volume.kubelet)
        shown = {
            str(path.name): [
                (
                    # Which loop device it is differs from play to play.
                    each.root.removesuffix(f"{volume.disk.number}"),
                    *(each.filesystem, each.writable, each.loop == volume.disk.number),
                    sorted(each.options.intersection(FLAGS)),
                )
                for each in table.at(mounts, path)
            ]
            for path in (volume.staging, self.target)
        }
        canary, full = None, None
        if shown[volume.staging.name] and not volume.is_block:
            canary = (volume.read_canary(volume.staging) or "nothing").split()[0]
            found = os.statvfs(volume.staging)
            full = found.f_blocks * found.f_frsize > _FULL * volume.disk.size_bytes
        return shown, self.target.exists(), canary, full, markers

    def _request(self, method: str) -> Any:
        match method:
            case "NodeStageVolume":
                return self.volume.stage()
            case "NodeUnstageVolume":
                return self.volume.unstage()
            case "NodePublishVolume":
                return self.volume.publish(self.target)
            case "NodeUnpublishVolume":
                return self.volume.unpublish(self.target)
            case _:
                return self.volume.expand(self.target)


@dataclass(frozen=True, slots=True)
class Scene:
    """A volume, what happens to it before, and the call in which the driver dies.

    Attributes:
        steps: Where it dies: the steps that no other scene takes, or that are worth it here too.
    """

    filesystem: str
    before: Callable[[Play], None]
    last: str
    steps: tuple[str, ...]


_MAKING = (
    "formatting",
    "proving that the disk is blank",
    "setting the formatting marker",
    "making the file system",
    "removing the formatting marker",
)
_MOUNTING = ("mounting the file system", "verifying the staging mount")
_GROWING = "growing the mounted file system"
_UNMOUNTING = "unmounting to repair"
_THAWING = "thawing a frozen file system that nobody uses"
_FREEING = "thawing a frozen file system on which a command hangs"

SCENES: Mapping[str, Scene] = {
    "stage a blank ext4": Scene(
        "ext4",
        Play.be_new,
        STAGE,
        (
            "finding the device",
            "checking whether it is staged already",
            "probing the disk",
            *_MAKING,
        ),
    ),
    "stage a blank xfs": Scene("xfs", Play.be_new, STAGE, (*_MAKING[-2:], *_MOUNTING)),
    "stage a blank btrfs": Scene("btrfs", Play.be_new, STAGE, (*_MAKING[-2:], *_MOUNTING)),
    "stage an ext4 that grows": Scene(
        "ext4",
        Play.be_grown,
        STAGE,
        (
            "checking the file system",
            *_MOUNTING,
            _GROWING,
            "unmounting to grow",
            "growing the unmounted file system",
        ),
    ),
    "stage an xfs that grows": Scene("xfs", Play.be_grown, STAGE, (_GROWING,)),
    "stage after a disk was lost": Scene(
        "ext4", Play.lose_disk, STAGE, ("unmounting a disk that is gone", *_MOUNTING)
    ),
    "stage what is shut down": Scene("xfs", Play.shut_down, STAGE, (_UNMOUNTING, *_MOUNTING)),
    "stage what was left frozen": Scene(
        "ext4",
        Play.leave_frozen,
        STAGE,
        ("checking for a frozen file system", _THAWING, *_MOUNTING),
    ),
    "stage a half-made xfs": Scene(
        "xfs", Play.be_half_made, STAGE, ("wiping an unfinished file system", _MAKING[-2])
    ),
    "publish": Scene(
        "ext4",
        Play.come,
        PUBLISH,
        (
            "finding the device",
            "checking the staging mount",
            "checking the target",
            "binding the file system",
            "verifying the mount at the target",
        ),
    ),
    "publish after a disk was lost": Scene(
        "ext4", Play.lose_disk, PUBLISH, ("unmounting a disk that is gone", *_MOUNTING)
    ),
    "publish a raw device": Scene(
        BLOCK,
        Play.come,
        PUBLISH,
        ("binding the device", "verifying the mount at the target"),
    ),
    "publish what forgot its flags": Scene(
        "ext4",
        Play.forget_flags,
        PUBLISH,
        ("correcting the flags of the mount", "verifying the mount at the target"),
    ),
    "publish what is shut down": Scene("xfs", Play.shut_down, PUBLISH, (_UNMOUNTING, *_MOUNTING)),
    "unpublish": Scene(
        "ext4",
        Play.show,
        UNPUBLISH,
        ("unmounting the target", "removing the target"),
    ),
    "unpublish a raw device": Scene(
        BLOCK, Play.show, UNPUBLISH, ("writing back the device", "unmounting the target")
    ),
    "unstage": Scene(
        "btrfs",
        Play.come,
        UNSTAGE,
        (
            "checking for other mounts",
            "writing back the file system",
            "unmounting the staging path",
            "proving that the disk is free",
        ),
    ),
    "unstage what a growth hangs on": Scene(
        "btrfs", Play.hang_growing, UNSTAGE, (_FREEING, "unmounting the staging path")
    ),
    "expand": Scene("xfs", Play.show_grown, EXPAND, ("finding the device", _GROWING)),
}


def findings_of(name: str) -> tuple[str, list[str]]:
    """Kill the driver at every step of a scene; return what is then not as without a kill."""
    with stage() as (folder, fleet, steps):
        return name, list(_Theatre(folder, fleet, steps).findings(name, SCENES[name]))


class _Theatre:
    """A host on which a scene is played again and again, each time with a new volume."""

    def __init__(self, folder: pathlib.Path, fleet: Fleet, steps: Steps) -> None:
        self._folder = folder
        self._fleet = fleet
        self._steps = steps
        self._kubelet = folder / "kubelet"
        self._kubelet.mkdir()
        self._host = Host(folder, with_serials=True)
        Tools(folder)

    def findings(self, name: str, scene: Scene) -> Iterator[str]:
        helper, wanted, taken = self._play(scene, self._start())
        yield from (f"{name} doesn't take {step}" for step in scene.steps if step not in taken)
        for step in scene.steps:
            helper, seen, _ = self._play(scene, helper, kill=step)
            if seen != wanted:
                yield f"{name}, killed at {step}: {seen} instead of {wanted}"
        helper.kill()

    def _play(
        self, scene: Scene, helper: Driver, *, kill: str = ""
    ) -> tuple[Driver, object, list[str]]:
        """Play a scene; return who saw it to its end, what is true then, and the steps taken."""
        volume = Volume(_plan(scene), self._host, self._kubelet)
        volume.disk.plug()
        play = Play(volume, helper)
        scene.before(play)
        victim, taken = self._start(), []

        def on_step(_: str, __: str, step: str) -> bool:
            taken.append(step)
            return step != kill

        self._steps.on_step = on_step
        done = play.ask(victim, scene.last)
        self._steps.on_step = lambda *_: True
        victim.kill()
        if not done:
            helper.kill()
            helper = self._start()
            play.ask(helper, scene.last)
        truth = play.truth(self._markers())
        play.end(helper)
        return helper, truth, taken

    def _start(self) -> Driver:
        return self._fleet.start(
            flags=("--device-dir", str(self._host.links), "--kubelet-path", str(self._kubelet)),
            steps=str(self._steps.path),
            environment={"CHAOS_FOLDER": str(self._folder)},
        )

    def _markers(self) -> list[str]:
        """Return which disks are remembered as being formatted."""
        return sorted(each.name for each in markers_of(self._kubelet).glob("*"))


def markers_of(kubelet: pathlib.Path) -> pathlib.Path:
    """Return the folder in which the driver remembers what it is formatting (D10)."""
    return kubelet / "plugins" / DEFAULT_DRIVER_NAME / "formatting"


def _hangs(command: tuple[str, ...]) -> bool:
    found = (each for each in pathlib.Path("/proc").iterdir() if each.name.isdecimal())
    mine = (each for each in found if "\0".join(command) in read(each / "cmdline"))
    return any("State:\tD" in read(each / "status") for each in mine)


def _plan(scene: Scene) -> VolumePlan:
    return VolumePlan(
        number=0, filesystem=scene.filesystem, origin="new", sector_bytes=4096, rounds=()
    )
