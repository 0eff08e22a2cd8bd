"""What must hold once all is deleted, read from the cloud and from its log of calls."""

from __future__ import annotations

from typing import Any

from tests.chaos.sidecars import Sidecars
from tests.chaos.world import World

_DETACH = "detach-block-storage-volume"
_DELETE = "delete-block-storage-volume"


def check(world: World, sidecars: Sidecars) -> int:
    """Tell the story every breach; return how many volumes C3 allows to be left."""
    orphans = 0
    strangers = {each["id"] for each in world.strangers.values()}
    for volume in world.cloud.volumes():
        if volume["id"] in strangers:
            _check_stranger(world, volume)
        elif _is_allowed_orphan(world, volume):
            orphans += 1
        else:
            world.story.breach("no volume is left", _about(volume))
    for snapshot in world.cloud.snapshots():
        world.story.breach("no snapshot is left", _about(snapshot))
    present = {each["id"] for each in world.cloud.volumes()}
    for missing in strangers - present:
        world.story.breach("what is not ours is not touched", f"{missing} is gone")
    _check_calls(world, sidecars, strangers)
    return orphans


def _check_stranger(world: World, volume: dict[str, Any]) -> None:
    before = next(each for each in world.strangers.values() if each["id"] == volume["id"])
    for field in ("name", "labels", "size"):
        if volume[field] != before[field]:
            what = f"{field} of {_about(volume)} was {before[field]}"
            world.story.breach("what is not ours is not touched", what)


def _is_allowed_orphan(world: World, volume: dict[str, Any]) -> bool:
    """Tell whether C3 allows it: left in another zone, and seen by whoever looks for orphans."""
    disturbed = bool(world.restarts or world.leader_changes or world.plan.faults)
    is_labelled = volume["labels"].get("exoblock/cluster-id") == "chaos"
    return len(world.plan.zones) > 1 and disturbed and is_labelled


def _check_calls(world: World, sidecars: Sidecars, strangers: set[str]) -> None:
    asked = {
        (volume.split("/")[1], node.split("/")[1]) for volume, node in sidecars.asked_to_detach
    }
    for call in world.cloud.calls():
        what = f"{call.operation} {call.resource} on {call.instance}"
        was_asked = call.instance is None or (call.resource, call.instance) in asked
        if call.operation == _DETACH and not was_asked:
            world.story.breach("nobody is detached who was not asked for", what)
        if call.operation == _DELETE and call.instance:
            world.story.breach("no attached volume is deleted", what)
        if call.resource in strangers and not call.operation.startswith("get-"):
            world.story.breach("what is not ours is not touched", what)


def _about(thing: dict[str, Any]) -> str:
    fields = ("zone", "id", "name", "state", "labels")
    return " ".join(str(thing.get(field)) for field in fields)
