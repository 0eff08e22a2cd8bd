"""The sidecars as requirements.md, section 0, describes them: what they repeat, and when they stop.

Every method returns when the sidecar would call its work done, or raises GivenUp.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import requests

from csi_exoblock.pb import csi_pb2
from tests.chaos.world import TIME_SCALE, Refused, World
from tests.controller import requests as csi
from tests.controller.administrator import Administrator

PROVISIONER, ATTACHER, RESIZER, SNAPSHOTTER = "provisioner", "attacher", "resizer", "snapshotter"

_FIRST_PAUSE = 1 * TIME_SCALE
_LONGEST_PAUSE = 10 * TIME_SCALE
_CHECK_SECONDS = 0.005
_CHECKS = 200

PATIENCE_SECONDS = 25.0
"""What has not succeeded by then, in many attempts long after the last fault, is stuck."""

_MANY_ATTEMPTS = 30  # more than all faults of a plan can befall; on a busy machine they take longer

# What messages ask users to delete.
_BROKEN = re.compile(r"(volume|snapshot) (\S+/\S+) .*state (?:is )?error.*delete it")
_UNLABELLED = re.compile(r"snapshots? (.*) ha(?:s|ve) the name .* temporary snapshot of .*delete")
_TWINS = re.compile(r"several volumes are named \S+: \S+, (.*); delete all but one")

# What a refused list comes to, where there is no other sign of what it would have shown.
_REFUSED_READS = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT)

Wanted = Callable[[], bool]


class GivenUp(Exception):
    """Nothing came of it although all faults are over: it is stuck."""


class Sidecars:
    """All four, with what they remember.

    Attributes:
        asked_to_detach: Which volumes were to be detached from which nodes.
        left_elsewhere: Names of claims that were deleted when they were told to go to the zone of
            their volume: C3 leaves that volume to the search for orphans.
        decoys: Snapshots of users that have the name of a clone's own (N6).
    """

    def __init__(self, world: World, *, patience_seconds: float) -> None:
        self._world = world
        self._patience_seconds = patience_seconds
        self.asked_to_detach: set[tuple[str, str]] = set()
        self.left_elsewhere: set[str] = set()
        self.decoys: set[str] = set()
        self._first_answers: dict[str, Any] = {}

    def provision(
        self, request: csi_pb2.CreateVolumeRequest, zones: list[str], wanted: Wanted, *, moves: int
    ) -> csi_pb2.Volume | None:
        """Create a volume; None if the claim went and nothing is believed to be left of it.

        Args:
            zones: Where the pod may be moved to, the present one first.
            moves: After how many attempts its node is lost and the pod is moved, 0: never.
        """
        nothing_left, sent_elsewhere = True, False
        for attempt in self._attempts(f"volume {request.name}"):
            if nothing_left and not wanted():
                if sent_elsewhere:
                    self.left_elsewhere.add(request.name)
                return None
            if attempt == moves:
                zones.append(zones.pop(0))
            request.accessibility_requirements.CopyFrom(csi.topology(zones[0]))
            try:
                answer = self._world.call(PROVISIONER, "CreateVolume", request)
            except Refused as refused:
                nothing_left = refused.is_final
                sent_elsewhere = refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
                if sent_elsewhere:
                    zones.append(zones.pop(0))  # the scheduler moves the pod
                self._mend(refused)
                continue
            self._require_same(f"CreateVolume {request.name}", answer.volume)
            volume: csi_pb2.Volume = answer.volume
            return volume
        raise AssertionError("attempts never end")

    def repeat_provision(self, request: csi_pb2.CreateVolumeRequest) -> None:
        """Ask again for what was answered already, as a provisioner that forgot would."""
        for _ in self._attempts(f"volume {request.name} again"):
            try:
                answer = self._world.call(PROVISIONER, "CreateVolume", request)
            except Refused as refused:
                if refused.is_final and not self._may_be_new_to(refused, request.name):
                    what = f"CreateVolume {request.name}: {refused.code.name} {refused}"
                    self._world.story.breach("the same request has the same answer", what)
                    return
                continue
            self._require_same(f"CreateVolume {request.name}", answer.volume)
            return

    def delete_volume(self, volume_id: str) -> None:
        """Delete a volume."""
        self._until_ok(PROVISIONER, "DeleteVolume", csi.delete_volume(volume_id))

    def attach(self, volume_id: str, node_id: str) -> None:
        """Attach a volume to a node."""
        request = csi.publish(volume_id, node_id)
        self._until_ok(ATTACHER, "ControllerPublishVolume", request)

    def detach(self, volume_id: str, node_id: str) -> None:
        """Detach a volume from a node."""
        self.asked_to_detach.add((volume_id, node_id))
        request = csi.unpublish(volume_id, node_id)
        self._until_ok(ATTACHER, "ControllerUnpublishVolume", request)

    def expand(self, volume_id: str, gib: int) -> None:
        """Expand a volume; while it is in use that is refused, and asked again."""
        self._until_ok(RESIZER, "ControllerExpandVolume", csi.expand(volume_id, gib))

    def try_to_expand(self, volume_id: str, gib: int) -> None:
        """Ask once for more room, for a user who is going to ask for less."""
        with contextlib.suppress(Refused):
            self._world.call(RESIZER, "ControllerExpandVolume", csi.expand(volume_id, gib))

    def modify(self, volume_id: str, **parameters: str) -> None:
        """Give a volume other labels."""
        request = csi_pb2.ControllerModifyVolumeRequest(
            volume_id=volume_id, mutable_parameters=parameters
        )
        self._until_ok(RESIZER, "ControllerModifyVolume", request)

    def label_by_hand(self, volume_id: str, meanwhile: threading.Thread) -> str:
        """Label a volume as soon as a call changes labels too; return the key once it is there.

        The key is empty if a fault befell the administrator.
        """
        key, pause = "by-hand", threading.Event()
        update = "update-block-storage-volume"
        while meanwhile.is_alive() and update not in self._world.cloud.operations_called():
            pause.wait(_CHECK_SECONDS)
        with contextlib.suppress(requests.RequestException):
            Administrator(self._world.cloud).send_labels(volume_id, {key: "yes"})
        for _ in range(_CHECKS):
            if self.labels_of(volume_id).get(key):
                return key
            pause.wait(_CHECK_SECONDS)
        return ""

    def labels_of(self, volume_id: str) -> dict[str, str]:
        """Return the labels that a volume truly has, none if it is gone."""
        uuid = volume_id.split("/")[1]
        volumes = self._world.cloud.volumes()
        return next((each["labels"] for each in volumes if each["id"] == uuid), {})

    def snapshot(self, name: str, volume_id: str) -> csi_pb2.Snapshot:
        """Take a snapshot; handle, size and time of the first answer are kept for ever (S18)."""
        request = csi.create_snapshot(name, volume_id)
        for attempt in self._attempts(f"snapshot {name}"):
            if attempt == 1 and self._world.plan.leader_changes_between:
                self._world.change_leader(SNAPSHOTTER)
            try:
                answer = self._world.call(SNAPSHOTTER, "CreateSnapshot", request)
            except Refused as refused:
                if "delete the VolumeSnapshot" in str(refused):
                    return self._take_another(name, volume_id)
                self._mend(refused)
                continue
            snapshot: csi_pb2.Snapshot = answer.snapshot
            ready = snapshot.ready_to_use
            snapshot.ready_to_use = True
            self._require_same(f"CreateSnapshot {name}", snapshot)
            if ready:
                return snapshot
        raise AssertionError("attempts never end")

    def _take_another(self, name: str, volume_id: str) -> csi_pb2.Snapshot:
        """Delete a VolumeSnapshot whose snapshot failed after it had its id, and make a new one."""
        self._world.mended += 1
        self.delete_snapshot(self._first_answers[f"CreateSnapshot {name}"].snapshot_id)
        return self.snapshot(f"{name}-again", volume_id)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot."""
        self._until_ok(SNAPSHOTTER, "DeleteSnapshot", csi.delete_snapshot(snapshot_id))

    def list_all(self) -> None:
        """List everything once, as the attacher does every few minutes; errors are no matter."""
        for method, request in (
            ("ListVolumes", csi_pb2.ListVolumesRequest()),
            ("ListSnapshots", csi_pb2.ListSnapshotsRequest()),
        ):
            try:
                self._world.call(ATTACHER, method, request)
            except Refused:
                continue

    def _until_ok(self, sidecar: str, method: str, request: Any) -> None:
        for _ in self._attempts(f"{method} {request}"):
            try:
                self._world.call(sidecar, method, request)
            except Refused:
                continue
            return

    def _attempts(self, what: str) -> Iterator[int]:
        """Yield for every attempt how many came before it, with growing pauses between them.

        Raises:
            GivenUp: The schedule is long over, and still it does not succeed.
        """
        pause = _FIRST_PAUSE
        for attempt in itertools.count():
            yield attempt
            if attempt >= _MANY_ATTEMPTS and self._world.story.seconds() > self._patience_seconds:
                raise GivenUp(" ".join(what.split()))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _may_be_new_to(self, refused: Refused, name: str) -> bool:
        """Tell whether a process that did not make the thing may answer so.

        Its list may be refused, or show a twin in another zone, which a restart can bring about as
        the pod moves (C3): the user is told of both.
        """
        is_new = self._world.restarts or self._world.leader_changes
        zones = {each["zone"] for each in self._world.cloud.volumes() if each["name"] == name}
        is_twin = "several volumes are named" in str(refused) and len(zones) > 1
        return bool(is_new) and (refused.code in _REFUSED_READS or is_twin)

    def _mend(self, refused: Refused) -> None:
        """Delete by hand what a final message asks for (C3, D11, N6, S18).

        Only where the driver can't know better: the process that made it died, or leads no more. Or
        it lost the answer to a creation of whose labels the API keeps none.
        """
        asked = list(self._asked_for(str(refused))) if refused.is_final else []
        if not asked:
            return
        is_unlabelled = self._world.plan.modes.get("create-labels") == "dropped"
        if not (self._world.restarts or self._world.leader_changes or is_unlabelled):
            self._world.story.breach("no process leaves to users what it made", str(refused))
        for kind, id in asked:
            self.delete_by_hand(kind, id)
        self._world.mended += 1

    def _asked_for(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield kind and id of what a message asks its reader to delete.

        What users made themselves they delete without this; strangers are not deleted at all.
        """
        strangers = {each["id"] for each in self._world.strangers.values()}
        if broken := _BROKEN.search(text):
            yield broken[1], broken[2]
        elif unlabelled := _UNLABELLED.search(text):
            ids = unlabelled[1].split(", ")
            yield from (("snapshot", id) for id in ids if id not in self.decoys)
        elif (twins := _TWINS.search(text)) and not any(each in text for each in strangers):
            yield from (("volume", id) for id in twins[1].split(", "))

    def delete_by_hand(self, kind: str, id: str) -> None:
        """Have an administrator delete a volume or snapshot until it is gone."""
        cloud = self._world.cloud
        administrator = Administrator(cloud)
        delete, all_left = {
            "volume": (administrator.delete_volume, cloud.volumes),
            "snapshot": (administrator.delete_snapshot, cloud.snapshots),
        }[kind]
        for _ in self._attempts(f"{kind} {id} is deleted by hand"):
            if id.split("/")[1] not in {each["id"] for each in all_left()}:
                break
            with contextlib.suppress(requests.RequestException):  # a fault befell it
                delete(id)

    def _require_same(self, what: str, answer: Any) -> None:
        copy = type(answer)()
        copy.CopyFrom(answer)
        first = self._first_answers.setdefault(what, copy)
        if first != answer:
            self._world.story.breach(
                "the same request has the same answer", f"{what}: {first} then {answer}"
            )
