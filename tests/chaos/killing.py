"""Kill the driver once at every step and at every API call of every RPC: the replay converges.

So does a call that is cancelled there, and it leaves nothing held.
"""

from __future__ import annotations

import ast
import pathlib
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from csi_exoblock import controller
from tests.chaos.batch import stage
from tests.chaos.fleet import NEVER, Driver, Fleet, Kill
from tests.chaos.plan import ZONES
from tests.chaos.scenes import SCENES, Cast, Scene
from tests.chaos.world import CALL_SECONDS, TIME_SCALE
from tests.support.simulator_process import SimulatorProcess

_ATTEMPTS = 100
_PLAYS = 3
_PAUSE_SECONDS = 1 * TIME_SCALE
_CHECK_SECONDS = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a scene showed.

    Attributes:
        killed: At which steps the driver died or was cancelled.
        broken: What was then not as without a kill.
    """

    scene: str
    killed: tuple[str, ...]
    broken: tuple[str, ...]


def named_steps() -> set[str]:
    """Return the steps that the controller's code names; a name made up of parts by its first."""
    folder = pathlib.Path(controller.__path__[0])
    return {
        name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "logs.step"
        for name in (_literal(node.args[0]),)
    }


def _literal(argument: ast.expr) -> str:
    first = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
    return str(ast.literal_eval(first))


def findings_of(name: str) -> Findings:
    """Kill the driver, and cancel the call, at every point of a scene."""
    scene = SCENES[name]
    with stage() as (cloud, fleet), tempfile.NamedTemporaryFile("r") as file:
        for _ in range(_PLAYS):
            wanted = _play(scene, cloud, fleet, steps=file.name)
            seen = tuple(dict.fromkeys(file.read().splitlines()))
            steps = tuple(each for each in seen if not scene.only or each in scene.only)
            if set(scene.only) <= set(steps):
                break  # else a busy machine was too late for a wait of 0.1 s
        points = [Kill(at=at, name=step) for step in steps for at in ("step", "pause")]
        for ordinal in () if scene.only else range(1, len(cloud.calls()) + 1):
            points += [Kill(at=at, ordinal=ordinal) for at in ("request", "answer")]
        broken = tuple(
            f"{name}, {kill}: {left} instead of {wanted}"
            for kill in points
            if (left := _left_by(scene, cloud, fleet, kill)) != wanted
        )
    return Findings(scene=name, killed=steps, broken=broken)


def _left_by(scene: Scene, cloud: SimulatorProcess, fleet: Fleet, kill: Kill) -> object:
    """Play a scene with a kill; what comes to no end is told as well, and the others go on."""
    try:
        return _play(scene, cloud, fleet, kill=kill)
    except AssertionError as error:
        return str(error)


def _play(
    scene: Scene, cloud: SimulatorProcess, fleet: Fleet, *, kill: Kill = NEVER, steps: str = ""
) -> object:
    """Play a scene, repeat its last call when the driver dies in it, and say what is left."""
    *before, last = scene.calls
    cloud.clear()
    for question, answer in scene.modes.items():
        cloud.set_mode(question, answer)
    zone = ZONES[0]
    cast = Cast(*(f"{zone}/{cloud.add_instance(zone)}" for _ in range(2)))
    first = partial(fleet.start, kill=kill, steps=steps, flags=scene.flags)
    driver = first() if scene.together else fleet.start()
    for each in before:
        answer = _until_done(driver, *each(cast))
        cast.volume = (getattr(answer, "volume", None) and answer.volume.volume_id) or cast.volume
        cast.snapshot = (getattr(answer, "snapshot", None) and answer.snapshot.snapshot_id) or ""
    if not scene.together:
        driver.kill()
    for kind, seconds in scene.latencies.items():
        cloud.set_latency(kind, seconds)
    for fault in scene.faults:
        cloud.add_fault(**fault)
    cloud.clear_calls()
    if not scene.together:
        driver = first()
    for death in (kill, NEVER):
        if death.at == "pause":
            _cancel_when_it_pauses(driver, *last(cast), seconds=scene.call_seconds)
        answer = _until_done(driver, *last(cast), seconds=scene.call_seconds)
        driver.kill()
        cloud.take_in_what_was_sent()
        if answer is not None:
            break
        driver = fleet.start(flags=scene.flags)
    return _truth(cloud)


def _cancel_when_it_pauses(driver: Driver, method: str, request: Any, seconds: float) -> None:
    """Send a call, and give it up when it has come to where the process stops itself.

    Where that is a wait, it may be over before the call comes there: then the call is answered.
    """
    for _ in range(_ATTEMPTS):
        future = getattr(driver.controller, method).future(request, timeout=seconds)
        while not (driver.is_stopped() or future.done()):
            time.sleep(_CHECK_SECONDS)
        if driver.is_stopped():
            future.cancel()  # or its time is over just now, which is as good
            driver.go_on()
            return
        if future.exception() is None:
            return
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError(f"{method} never comes to where it was to be cancelled")


def _until_done(driver: Driver, method: str, request: Any, *, seconds: float = CALL_SECONDS) -> Any:
    """Repeat a call as a sidecar does until its answer is final; None if the driver dies."""
    last: grpc.RpcError | None = None
    for _ in range(_ATTEMPTS):
        try:
            answer = getattr(driver.controller, method)(request, timeout=seconds)
            if method != "CreateSnapshot" or answer.snapshot.ready_to_use:
                return answer
        except grpc.RpcError as error:
            if not driver.is_alive():
                return None
            driver.go_on()  # it may have come later than its first call to where it stops itself
            last = error
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                return error
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError(f"{method} never succeeds: {last}")


def _truth(cloud: SimulatorProcess) -> object:
    """Return what the cloud holds, without what differs from one run to the next."""
    volumes = sorted(
        (each["name"], each["size"], each["state"], sorted(each["labels"]))
        for each in cloud.volumes()
    )
    return volumes, sorted((each["name"], each["state"]) for each in cloud.snapshots())
