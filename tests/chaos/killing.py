"""Kill the driver once at every step and at every API call of every RPC: the replay converges."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from csi_exoblock.pb import csi_pb2
from tests.chaos.batch import stage
from tests.chaos.fleet import NEVER, Driver, Fleet, Kill
from tests.chaos.plan import ZONES
from tests.chaos.world import CALL_SECONDS, TIME_SCALE
from tests.controller import requests as csi
from tests.simulator_process import SimulatorProcess

_ATTEMPTS = 100
_PAUSE_SECONDS = 1 * TIME_SCALE

Call = tuple[str, Any]
"""A method and its request."""


@dataclass(slots=True)
class Cast:
    """What the calls of a scene refer to, filled in as they are answered."""

    node: str
    volume: str = ""
    snapshot: str = ""


def _create(_: Cast) -> Call:
    return "CreateVolume", csi.create_volume("source", 2)


def _take(cast: Cast) -> Call:
    return "CreateSnapshot", csi.create_snapshot("snapshot", cast.volume)


def _attach(cast: Cast) -> Call:
    return "ControllerPublishVolume", csi.publish(cast.volume, cast.node)


def _restore(cast: Cast) -> Call:
    return "CreateVolume", csi.create_volume("copy", 3, snapshot_id=cast.snapshot)


def _clone(cast: Cast) -> Call:
    request = csi.create_volume("copy", 3)
    request.volume_content_source.volume.volume_id = cast.volume
    return "CreateVolume", request


def _delete(cast: Cast) -> Call:
    return "DeleteVolume", csi.delete_volume(cast.volume)


def _detach(cast: Cast) -> Call:
    return "ControllerUnpublishVolume", csi.unpublish(cast.volume, cast.node)


def _expand(cast: Cast) -> Call:
    return "ControllerExpandVolume", csi.expand(cast.volume, 4)


def _modify(cast: Cast) -> Call:
    parameters = {"labels": "tier=gold"}
    return "ControllerModifyVolume", csi_pb2.ControllerModifyVolumeRequest(
        volume_id=cast.volume, mutable_parameters=parameters
    )


def _delete_snapshot(cast: Cast) -> Call:
    return "DeleteSnapshot", csi.delete_snapshot(cast.snapshot)


SCENES: Mapping[str, tuple[Callable[[Cast], Call], ...]] = {
    "create": (_create,),
    "delete": (_create, _delete),
    "attach": (_create, _attach),
    "detach": (_create, _attach, _detach),
    "expand": (_create, _expand),
    "modify": (_create, _modify),
    "snapshot": (_create, _take),
    "delete a snapshot": (_create, _take, _delete_snapshot),
    "delete a clone": (_create, _clone, _delete),
    "restore": (_create, _take, _restore),
    "clone": (_create, _clone),
}
"""By name: calls that nobody disturbs, and last the one in which the driver dies."""


def findings_of(name: str) -> tuple[str, list[str]]:
    """Kill the driver at every point of a scene; return what is then not as without a kill."""
    return name, list(_findings(name))


def _findings(name: str) -> Iterator[str]:
    with stage() as (cloud, fleet), tempfile.NamedTemporaryFile("r") as steps:
        wanted = _play(name, cloud, fleet, steps=steps.name)
        points = [Kill(at="step", name=step) for step in dict.fromkeys(steps.read().splitlines())]
        for ordinal in range(1, len(cloud.calls()) + 1):
            points += [Kill(at=at, ordinal=ordinal) for at in ("request", "answer")]
        for kill in points:
            if (seen := _play(name, cloud, fleet, kill=kill)) != wanted:
                yield f"{name}, killed at {kill}: {seen} instead of {wanted}"


def _play(
    name: str, cloud: SimulatorProcess, fleet: Fleet, *, kill: Kill = NEVER, steps: str = ""
) -> object:
    """Play a scene, repeat its last call when the driver dies in it, and say what is left."""
    *before, last = SCENES[name]
    cloud.clear()
    cast = Cast(node=f"{ZONES[0]}/{cloud.add_instance(ZONES[0])}")
    helper = fleet.start()
    for each in before:
        answer = _until_ok(helper, *each(cast))
        cast.volume = (getattr(answer, "volume", None) and answer.volume.volume_id) or cast.volume
        cast.snapshot = (getattr(answer, "snapshot", None) and answer.snapshot.snapshot_id) or ""
    helper.kill()
    cloud.clear_calls()
    for death in (kill, NEVER):
        driver = fleet.start(kill=death, steps=steps)
        answer = _until_ok(driver, *last(cast))
        driver.kill()
        if answer is not None and death is kill:
            break
    return _truth(cloud)


def _until_ok(driver: Driver, method: str, request: Any) -> Any:
    """Repeat a call as a sidecar does; None if the driver dies."""
    last: grpc.RpcError | None = None
    for _ in range(_ATTEMPTS):
        try:
            return getattr(driver.controller, method)(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            if not driver.is_alive():
                return None
            last = error
            time.sleep(_PAUSE_SECONDS)
    raise AssertionError(f"{method} never succeeds: {last}")


def _truth(cloud: SimulatorProcess) -> object:
    """Return what the cloud holds, without what differs from one run to the next."""
    volumes = sorted(
        (each["name"], each["size"], each["state"], sorted(each["labels"]))
        for each in cloud.volumes()
    )
    return volumes, sorted((each["name"], each["state"]) for each in cloud.snapshots())
