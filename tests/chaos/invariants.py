"""What must hold once all is deleted, read from the cloud and from its log of calls."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from tests.chaos.sidecars import Sidecars
from tests.chaos.world import World

_DETACH = "detach-block-storage-volume"
_DELETE = "delete-block-storage-volume"
_UPDATE = "update-block-storage-volume"
_MAKING = ("create", "snapshot")
_MAKING_AND_ENDING = (*_MAKING, "delete", "delete-snapshot")


def check(world: World, sidecars: Sidecars) -> int:
    """Tell the story every breach; return how many volumes C3 allows to be left."""
    orphans: list[str] = []
    twins = _check_names(world)
    strangers = {each["id"] for each in world.strangers.values()}
    for volume in world.cloud.volumes():
        if volume["id"] in strangers:
            _check_stranger(world, volume)
        elif _may_be_left(world, sidecars, volume, twins):
            orphans.append(volume["name"])
        else:
            world.story.breach("no volume is left", _about(volume))
    for snapshot in world.cloud.snapshots():
        if not any(snapshot["name"] == f"clone-{name}" for name in orphans):  # the clone keeps it
            world.story.breach("no snapshot is left", _about(snapshot))
    present = {each["id"] for each in world.cloud.volumes()}
    for missing in strangers - present:
        world.story.breach("what is not ours is not touched", f"{missing} is gone")
    _check_calls(world, sidecars, strangers)
    return len(orphans)


def _check_stranger(world: World, volume: dict[str, Any]) -> None:
    before = next(each for each in world.strangers.values() if each["id"] == volume["id"])
    for field in ("name", "labels", "size"):
        if volume[field] != before[field]:
            what = f"{field} of {_about(volume)} was {before[field]}"
            world.story.breach("what is not ours is not touched", what)


def _check_names(world: World) -> set[str]:
    """Return the names that have twins in two zones, as a restart may bring them about (C3)."""
    forgotten = bool(world.restarts or world.leader_changes)
    twins = set()
    for one, other in _made_twice(world):
        if forgotten and one["zone"] != other["zone"]:
            twins.add(one["name"])
        else:
            ids = f"{one['reference']['id']} and {other['reference']['id']}"
            world.story.breach("no name is made twice", f"{one['name']}: {ids}")
    return twins


def _made_twice(world: World) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each two creations of one name of which the later came while the earlier's was there.

    Creations that failed and were undone, and what was deleted before, are no twins.
    """
    operations = world.cloud.operations()
    present = {each["id"] for each in (*world.cloud.volumes(), *world.cloud.snapshots())}
    gone_at = {
        each["reference"]["id"]: each["started-at"] + (each["seconds"] or 0.0)
        for each in operations
        if each["kind"] in _MAKING_AND_ENDING
    }
    creations = [each for each in operations if each["kind"] in _MAKING]
    for one, other in itertools.combinations(creations, 2):
        made = one["reference"]["id"]
        was_there = made in present or gone_at[made] > other["started-at"]
        if (one["kind"], one["name"]) == (other["kind"], other["name"]) and was_there:
            yield one, other


def _may_be_left(world: World, sidecars: Sidecars, volume: dict[str, Any], twins: set[str]) -> bool:
    """Return whether C3 allows it: in another zone, and found by the search for orphans.

    A claim is sent to another zone only once the volume there has its labels. Of twins the user is
    told by name (D11), and one of them may have lost its maker before that repaired its labels. Nor
    has it any where the API dropped those of the create and refused to write them.
    """
    name = volume["name"]
    if volume["labels"].get("exoblock/cluster-id") == "chaos":
        return name in sidecars.left_elsewhere | twins
    if world.plan.modes.get("create-labels") != "dropped":
        return False
    return name in twins or (name in sidecars.left_elsewhere and _was_refused_labels(world, volume))


def _was_refused_labels(world: World, volume: dict[str, Any]) -> bool:
    return any(
        call.operation == _UPDATE
        and call.resource == volume["id"]
        and 400 <= (call.status or 0) < 500
        for call in world.cloud.calls()
    )


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
