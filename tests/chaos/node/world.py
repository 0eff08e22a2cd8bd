"""One schedule's host and driver: what is to go wrong goes wrong where the plan has it."""

from __future__ import annotations

import os
import pathlib
import threading
from collections import Counter
from typing import Any

import grpc

from tests.chaos.fleet import LOG_LEVEL, Driver, Fleet
from tests.chaos.node import plan as plans
from tests.chaos.node.disks import Disk, Host
from tests.chaos.node.plan import Plan, StepDeed
from tests.chaos.node.steps import TURN, Steps
from tests.chaos.node.tools import Tools
from tests.chaos.node.volumes import MIB_AT_FIRST, Volume
from tests.chaos.story import Story

TIME_SCALE = 0.02
"""A second of a node is 20 ms here: a command that answers at once takes 5."""

CALL_SECONDS = 120 * TIME_SCALE  # as long as kubelet waits
FLAGS = (
    "node",
    *("--instance-id", "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10", "--zone", "ch-gva-2"),
    *("--time-scale", str(TIME_SCALE), "--log-level", os.environ.get(LOG_LEVEL, "info")),
    *("--device-wait-timeout", "20s", "--device-in-use-timeout", "10s"),
)
_TEXT_CHARACTERS = 300
_APPEARS_AFTER_SECONDS = 0.01
_ANSWERS_UNTIL_A_HANG_ENDS = 2
_ANSWERS_UNTIL_IT_WAKES = 3  # one of its own call, two of its successor
_JUNK = b"data of another volume that begins with no signature"
_FINDING = "finding the device"
_MARKING = "setting the formatting marker"


class Refused(Exception):
    """A call's error, as kubelet reads it."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def is_final(self) -> bool:
        """Whether kubelet believes that nothing was left behind (requirements, section 0)."""
        return self.code not in (
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.ABORTED,
        )


class World:
    """The host as the plan wants it, and the driver that kubelet talks to.

    Attributes:
        folder: Where everything of this schedule is.
        fired: What happened during which RPC, commands' faults apart.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        fleet: Fleet,
        steps: Steps,
        plan: Plan,
        mutant: str = "",
    ) -> None:
        self.plan = plan
        self.story = Story()
        self.host = Host(folder, with_serials=plan.with_serials)
        self.tools = Tools(folder)
        self.fired: Counter[tuple[str, str]] = Counter()
        self.restarts = 0
        kubelet = folder / "kubelet"
        kubelet.mkdir()
        self.volumes = [Volume(each, self.host, kubelet) for each in plan.volumes]
        self._by_uuid = {each.uuid: each for each in self.volumes}
        self._decoy = Disk(self.host, mib=MIB_AT_FIRST, sector_bytes=4096)
        self.folder = folder
        self._fleet = fleet
        self._steps = steps
        self._mutant = mutant
        self._lock = threading.RLock()
        self._driver: Driver | None = None
        self._dead: list[Driver] = []
        self._in_flight: dict[str, Any] = {}
        self._steps_taken: Counter[tuple[str, str]] = Counter()
        self._answers: Counter[str] = Counter()
        self._faults_are_over = False
        self._silent = Disk(self.host, mib=MIB_AT_FIRST, sector_bytes=4096)
        self._asleep: dict[str, threading.Event] = {}
        self._prepare()

    def call(self, volume: Volume, method: str, request: Any) -> Any:
        """Call the driver about a volume and return its answer.

        Raises:
            Refused: It answered with an error, or died, or was not waited for any longer.
        """
        what = f"{self.story.next_call()} {method.removeprefix('Node')} {volume.plan.number}"
        self.story.tell(f"{what} ...")
        try:
            answer = self._send(volume, method, request)
        except Refused as refused:
            text = str(refused).replace(f"{self.folder}/", "")[:_TEXT_CHARACTERS]
            self.story.tell(f"{what} -> {refused.code.name}: {text}")
            if refused.code is grpc.StatusCode.UNKNOWN:
                self.story.breach("no code is UNKNOWN", what)
            raise
        finally:
            self._let_hanging_commands_go_on(volume)
            self._wake(volume)
            self._let_speak(volume)
        self.story.tell(f"{what} -> OK")
        return answer

    def restart(self, *, gracefully: bool = False) -> None:
        """End the driver; the next call finds a new one."""
        with self._lock:
            if self._driver is not None:
                self.story.tell(f"driver is {'stopped' if gracefully else 'killed'}")
                self._driver.end(gracefully=gracefully)

    def end_faults(self) -> None:
        """Let everything work from now on."""
        self._faults_are_over = True
        for volume in self.volumes:
            volume.disk.speak()
        for sleeper in self._asleep.values():
            sleeper.set()
        self.tools.end_faults()
        self.story.tell("all faults are over")

    def thaw(self) -> None:
        """Thaw every file system that was left frozen."""
        for volume in self.volumes:
            volume.thaw()

    def close(self) -> None:
        """End the driver, and take everything away that is left of the disks."""
        self.end_faults()
        self.thaw()  # a driver that waits for one can't be killed
        self.restart()
        for driver in (*self._dead, self._driver):
            if driver is not None:
                driver.kill()
        for volume in self.volumes:
            for path in list(volume.guests):
                volume.stop_using(path)
            volume.disk.close()
        self._decoy.close()
        self._silent.close()
        self._steps.on_step = lambda *_: True

    def swap_links(self, volume: Volume) -> None:
        """Have two disks' links name each other's device."""
        self.story.tell(f"  {volume.plan.number} {plans.SWAPPED}")
        others = [each.disk for each in self.volumes if each is not volume]
        plugged = [each for each in (*others, self._decoy) if each.number is not None]
        mine, other = volume.disk, plugged[0]
        if mine.number is not None and other.number is not None and not mine.lost:
            self.host.link(other, mine.number)
            self.host.link(mine, other.number)

    def on_step(self, uuid: str, rpc: str, step: str) -> bool:
        """Do what is to happen at a step of the driver; say whether it survives that."""
        volume = self._by_uuid.get(uuid)
        if volume is None:
            return True
        if step == TURN:
            return self._do_deeds(volume, rpc, plans.AT_TURN)
        if step == _MARKING and not self._do_deeds(volume, rpc, plans.AT_MARKING):
            return False
        with self._lock:
            self._steps_taken[uuid, rpc] += 1
            ordinal = self._steps_taken[uuid, rpc]
        self.story.tell(f"  {volume.plan.number} {step} ({ordinal})")
        if rpc == plans.STAGE and step == _FINDING and volume.appears_at:
            self._make_appear(volume)
        return self._do_deeds(volume, rpc, ordinal)

    def _prepare(self) -> None:
        self.story.tell(f"disks {'have serials' if self.plan.with_serials else 'have links only'}")
        self._decoy.write(_JUNK)
        self.tools.note_content(str(self._decoy.uuid), "the decoy's data")
        if self.plan.with_serials:
            self._decoy.plug()
        if self.plan.has_silent_neighbour:
            self.story.tell("a disk of somebody else's is silent")
            self._silent.plug(silent=True)
        for volume in self.volumes:
            self.story.tell(f"{volume.plan}: {volume.id}")
        for fault in self.plan.faults:
            self.story.tell(f"{fault}")
            uuid = self.volumes[fault.volume].uuid
            self.tools.befall(uuid, fault.rpc, fault.tool, fault.run, fault.kind)
        for deed in self.plan.deeds:
            self.story.tell(f"{deed}")
        self._steps.on_step = self.on_step

    def _send(self, volume: Volume, method: str, request: Any) -> Any:
        driver = self._present_driver()
        future = getattr(driver.node, method).future(request, timeout=CALL_SECONDS)
        with self._lock:
            self._in_flight[volume.uuid] = future
        if not self._do_deeds(volume, method, 0):
            driver.end()
        try:
            return future.result()
        except grpc.FutureCancelledError as error:
            raise Refused(grpc.StatusCode.CANCELLED, "kubelet gave up") from error
        except grpc.RpcError as error:
            raise Refused(error.code(), error.details() or "") from error

    def _present_driver(self) -> Driver:
        """Return the driver; start it if there is none, as kubelet does with one that died."""
        with self._lock:
            if self._driver is None or not self._driver.is_alive():
                if self._driver is not None:
                    self._dead.append(self._driver)  # others may still talk to it
                self.restarts += 1
                self.story.tell("driver is started")
                self._driver = self._fleet.start(
                    flags=(
                        *("--device-dir", str(self.host.links)),
                        *("--kubelet-path", str(self.folder / "kubelet")),
                    ),
                    mutant=self._mutant,
                    steps=str(self._steps.path),
                    environment={"CHAOS_FOLDER": str(self.folder)},
                )
            return self._driver

    def _do_deeds(self, volume: Volume, rpc: str, step: int) -> bool:
        if self._faults_are_over:
            return True
        survives = True
        for deed in self.plan.deeds:
            here = (deed.rpc, deed.step) == (rpc, step)
            if here and self.volumes[deed.volume] is volume:
                self.story.tell(f"  {volume.plan.number} {deed.kind}")
                survives &= self._do(volume, deed)
        return survives

    def _do(self, volume: Volume, deed: StepDeed) -> bool:
        self.fired[deed.kind, deed.rpc] += 1
        match deed.kind:
            case plans.PULLED:
                volume.disk.vanish()
            case plans.SLEEPS:
                self._sleep(volume)
            case plans.EXCHANGED | plans.REPLACED:
                self._decoy.plug(wanted=volume.disk.make_way())
            case plans.FAILS:
                volume.disk.fail()
            case plans.SWAPPED:
                self.swap_links(volume)
            case plans.UNLINKED:
                self.host.unlink(volume.disk)
            case plans.GROWS:
                volume.grow()
            case plans.CANCELLED:
                self._in_flight[volume.uuid].cancel()
            case plans.KILLED:
                return False
        return True

    def _sleep(self, volume: Volume) -> None:
        """Leave the driver where it is, until its successor has given three answers."""
        with self._lock:
            if volume.uuid in self._asleep or self._driver is None:
                return
            awake = self._asleep[volume.uuid] = threading.Event()
            self._dead.append(self._driver)
            self._driver = None
        awake.wait()
        self.story.tell(f"  {volume.plan.number} the driver that slept goes on")

    def _wake(self, volume: Volume) -> None:
        sleeper = self._asleep.get(volume.uuid)
        if sleeper is not None and not sleeper.is_set():
            self._answers[volume.uuid] += 1
            if self._answers[volume.uuid] >= _ANSWERS_UNTIL_IT_WAKES:
                sleeper.set()

    def _let_speak(self, volume: Volume) -> None:
        if volume.disk.is_silent:
            self.fired[plans.SILENT, plans.STAGE] += 1
            volume.silent_answers += 1
            if volume.silent_answers >= _ANSWERS_UNTIL_A_HANG_ENDS:
                self.story.tell(f"  {volume.plan.number} its disk tells its serial")
                volume.disk.speak()

    def _make_appear(self, volume: Volume) -> None:
        volume.appears_at -= 1
        if volume.appears_at == 0:
            self.fired[plans.LATE, plans.STAGE] += 1
            self.story.tell(f"  {volume.plan.number} {plans.LATE}")
            threading.Timer(_APPEARS_AFTER_SECONDS, volume.disk.appear).start()

    def _let_hanging_commands_go_on(self, volume: Volume) -> None:
        for key in self.tools.hanging(volume.uuid):
            self._answers[key] += 1
            if self._answers[key] >= _ANSWERS_UNTIL_A_HANG_ENDS:
                self.tools.let_go_on(key)
