"""What must hold once all is deleted, read from the cloud and from its log of calls."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from csi_exoblock.controller.labels import unmarked
from tests.chaos.sidecars import Sidecars
from tests.chaos.world import World

_DETACH = "detach-block-storage-volume"
_DELETE = "delete-block-storage-volume"
_LIST = "list-block-storage-volumes"
_UPDATE = "update-block-storage-volume"
_NO_REFUSALS = (HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS)
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
    kept_by_clones = {f"clone-{name}" for name in orphans}
    for snapshot in world.cloud.snapshots():
        if unmarked(snapshot["name"]) not in kept_by_clones:
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
    """Return the names that have twins in two zones where C3 cannot prevent them."""
    is_new_process = bool(world.restarts or world.leader_changes)
    twins = set()
    for one, other in _made_twice(world):
        is_elsewhere = one["zone"] != other["zone"]
        if is_new_process and is_elsewhere and _was_out_of_sight(world, one, other):
            twins.add(one["name"])
        else:
            ids = f"{one['reference']['id']} and {other['reference']['id']}"
            world.story.breach("no name is made twice", f"{one['name']}: {ids}")
    return twins


def _was_out_of_sight(world: World, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether no process could see the first creation before it sent the second.

    The zone was unlisted or could not be read meanwhile, or it hides what is being made.
    """
    zone, between = one["zone"], (one["started-at"], other["started-at"])
    return (
        world.plan.modes.get("unfinished") == "hidden"
        or any(zone not in listed for listed in world.plan.zone_lists.values())
        or world.was_not_read(zone)
        or any(
            call.operation == _LIST and call.zone == zone and call.status != HTTPStatus.OK
            for call in world.cloud.calls()
            if between[0] <= call.at <= between[1]
        )
    )


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
    has it any where the API dropped those of the create and refused to write them: a claim that
    waited for labels which the key's role forbids would wait for ever.
    """
    name = volume["name"]
    if volume["labels"].get("exoblock/cluster-id") == "chaos":
        return name in sidecars.left_elsewhere | twins
    if world.plan.modes.get("create-labels") != "dropped":
        return False
    return name in twins or (name in sidecars.left_elsewhere and _was_refused_labels(world, volume))


def _was_refused_labels(world: World, volume: dict[str, Any]) -> bool:
    """Return whether the API refused the last write of the volume's labels.

    A process that does not know what became of its write, or could not read the volume, asks again.
    """
    updates = [
        call.status
        for call in world.cloud.calls()
        if (call.operation, call.resource) == (_UPDATE, volume["id"])
    ]
    last = (updates or [None])[-1] or 0
    return 400 <= last < 500 and last not in _NO_REFUSALS


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
