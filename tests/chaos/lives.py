"""What users do with their claims: each life runs in a thread of its own."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from csi_exoblock.pb import csi_pb2
from csi_exoblock.timing import Timing
from tests.chaos.plan import Life
from tests.chaos.sidecars import GivenUp, Sidecars
from tests.chaos.world import TIME_SCALE, World
from tests.controller import requests as csi

_GIVEN_UP_SECONDS = Timing().operation_stalled * TIME_SCALE
_PROTECT = "exoblock/protect"


class Claim:
    """A claim under way, for those who wait for it or depend on it."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.settled = threading.Event()
        self.volume: csi_pb2.Volume | None = None
        self.dependents: list[threading.Event] = []
        self.decoys: list[str] = []


class Lives:
    """All lives of a schedule."""

    def __init__(self, world: World, sidecars: Sidecars) -> None:
        self._world = world
        self._sidecars = sidecars
        self._claims = {life.number: Claim(life) for life in world.plan.lives}
        self._sources = {life.number: self._choose_source(life) for life in world.plan.lives}

    def run(self) -> None:
        """Live them all, and return when the last has ended."""
        threads = [self._spawn(self._live, claim) for claim in self._claims.values()]
        for thread in threads:
            thread.join()

    def _choose_source(self, life: Life) -> Claim | None:
        """Return the claim that a life's volume is made from, and have it wait for that."""
        if not life.source:
            return None
        fit = [
            claim
            for number, claim in self._claims.items()
            if number < life.number and not (claim.life.stranger or claim.life.impatient)
        ]
        source = fit[life.number % len(fit)]
        source.dependents.append(self._claims[life.number].settled)
        return source

    def _live(self, claim: Claim) -> None:
        source = self._sources[claim.life.number]
        snapshot = None
        try:
            request = self._request(claim.life)
            if source:
                source.settled.wait()
                if source.volume is None:
                    return
                if claim.life.decoy:
                    claim.decoys.append(self._add_decoy(source.volume.volume_id, request.name))
                snapshot = self._copy_from(source.volume, claim.life, request)
            claim.volume = self._provision(request, claim)
        finally:
            claim.settled.set()
        self._remove_decoys(claim)
        if claim.volume:
            self._use(claim.volume, claim.life, request)
            for dependent in claim.dependents:
                dependent.wait()
        elif request.name in self._sidecars.left_elsewhere and snapshot:
            self._remove_orphan(request.name)
        self._end(claim.volume, snapshot)

    def _request(self, life: Life) -> csi_pb2.CreateVolumeRequest:
        return csi.create_volume(f"pvc-{life.number}", life.size_gib)

    def _copy_from(
        self, source: csi_pb2.Volume, life: Life, request: csi_pb2.CreateVolumeRequest
    ) -> csi_pb2.Snapshot | None:
        if life.source == "clone":
            request.volume_content_source.volume.volume_id = source.volume_id
            # the source may grow meanwhile
            request.capacity_range.required_bytes = source.capacity_bytes + 8 * csi.GIB
            return None
        snapshot = self._sidecars.snapshot(f"snapshot-{life.number}", source.volume_id)
        request.volume_content_source.snapshot.snapshot_id = snapshot.snapshot_id
        request.capacity_range.required_bytes += snapshot.size_bytes
        return snapshot

    def _add_decoy(self, volume_id: str, name: str) -> str:
        """Add a user's snapshot that has the name which the snapshot of a clone would have."""
        zone, uuid = volume_id.split("/")
        decoy = f"{zone}/{self._world.cloud.add_snapshot(zone, uuid, f'clone-{name}')}"
        self._sidecars.decoys.add(decoy)
        self._world.story.tell(f"a user's snapshot {decoy} is named clone-{name}")
        return decoy

    def _remove_decoys(self, claim: Claim) -> None:
        """Have the user delete what has a clone's name, as the refused clone asked for."""
        present = {each["id"] for each in self._world.cloud.snapshots()}
        for decoy in claim.decoys:
            if decoy.split("/")[1] not in present:
                self._world.story.breach("what is not ours is not touched", f"{decoy} is gone")
            self._sidecars.delete_by_hand("snapshot", decoy)
        claim.decoys.clear()

    def _remove_orphan(self, name: str) -> None:
        """Have an administrator delete a restored volume that is left, where it keeps its snapshot.

        Else the snapshot could never be deleted, as the API says.
        """
        if self._world.plan.modes.get("delete-restored-snapshot") != "after-volume":
            return
        for volume in self._world.cloud.volumes():
            if volume["name"] == name:
                self._sidecars.delete_by_hand("volume", f"{volume['zone']}/{volume['id']}")

    def _provision(
        self, request: csi_pb2.CreateVolumeRequest, claim: Claim
    ) -> csi_pb2.Volume | None:
        asked, life = itertools.count(1), claim.life

        def is_wanted() -> bool:
            number = next(asked)
            if number > 1:
                self._remove_decoys(claim)
            # a user who sees that the name is taken, or who is impatient, deletes the claim
            return not (life.stranger and number > 3) and not 0 < life.impatient < number

        zones = list(self._world.plan.zones)
        turn = life.number % len(zones)
        return self._sidecars.provision(
            request, zones[turn:] + zones[:turn], is_wanted, moves=life.moves
        )

    def _use(
        self, volume: csi_pb2.Volume, life: Life, request: csi_pb2.CreateVolumeRequest
    ) -> None:
        zone, _, _ = volume.volume_id.partition("/")
        nodes = self._world.nodes_in(zone)
        size = volume.capacity_bytes // csi.GIB
        work: list[threading.Thread] = []
        grown = False
        self._sidecars.list_all()
        for deed in life.deeds:
            match deed:
                case "attach":
                    self._attached(volume.volume_id, nodes[0])
                case "attach twice":
                    self._attached_twice(volume.volume_id, nodes)
                case "expand":
                    size, grown = size + 1, True
                    self._sidecars.expand(volume.volume_id, size)
                case "expand in use":
                    size, grown = size + 2, True
                    self._sidecars.attach(volume.volume_id, nodes[0])
                    work.append(self._spawn(self._sidecars.expand, volume.volume_id, size))
                    self._sidecars.detach(volume.volume_id, nodes[0])
                    self._attached(volume.volume_id, nodes[1])
                case "snapshot":
                    name = f"extra-{life.number}"
                    snapshot = self._sidecars.snapshot(name, volume.volume_id)
                    self._sidecars.delete_snapshot(snapshot.snapshot_id)
                case "lower":
                    size = self._lowered(volume.volume_id, nodes, size)
                    grown = True
                case "modify":
                    self._modified(volume.volume_id, life)
                case "modify beside an administrator":
                    self._modified_beside_an_administrator(volume.volume_id)
                case "repeat" if not grown:
                    self._sidecars.repeat_provision(request)
            self._sidecars.list_all()
            for each in work:
                each.join()

    def _attached(self, volume_id: str, node_id: str) -> None:
        self._sidecars.attach(volume_id, node_id)
        self._require_attached(volume_id, node_id)
        self._sidecars.detach(volume_id, node_id)

    def _attached_twice(self, volume_id: str, nodes: list[str]) -> None:
        """Move a pod, while a late detach of its first node is repeated (D3)."""
        first, second = nodes
        self._attached(volume_id, first)
        self._sidecars.attach(volume_id, second)
        late = self._spawn(self._sidecars.detach, volume_id, first)
        late.join()
        self._require_attached(volume_id, second)
        self._sidecars.detach(volume_id, second)

    def _modified_beside_an_administrator(self, volume_id: str) -> None:
        """Change labels while somebody adds another one, which has to stay (N10).

        Only where the cloud merges labels. Where it replaces them, a client that reads and writes
        between the read and the write of another removes labels, and nothing can prevent that.
        """
        change = functools.partial(self._sidecars.modify, volume_id, labels="tier=silver")
        modifying = self._spawn(change)
        if self._world.plan.modes.get("update-labels") == "merge":
            added = self._sidecars.label_by_hand(volume_id, modifying)
            modifying.join()
            if added and not self._sidecars.labels_of(volume_id).get(added):
                what = f"{added} of {volume_id} is gone"
                self._world.story.breach("what others label stays so", what)
        modifying.join()

    def _lowered(self, volume_id: str, nodes: list[str], size: int) -> int:
        """Ask for much while a pod uses the volume, then for less; return the size it then has."""
        self._sidecars.attach(volume_id, nodes[0])
        self._sidecars.try_to_expand(volume_id, size + 4)
        self._sidecars.detach(volume_id, nodes[0])
        self._sidecars.expand(volume_id, size + 1)
        self._attached(volume_id, nodes[1])
        found = int(self._truth(volume_id)["size"])
        if found != size + 1 and self._world.plan.modes.get("resize-attached") != "accepted":
            what = f"{volume_id} has {found} GiB, not {size + 1}"
            self._world.story.breach("a volume is as large as was asked last", what)
        return found

    def _modified(self, volume_id: str, life: Life) -> None:
        """Change labels, while an administrator protects the volume if the life says so (D12)."""
        zone, uuid = volume_id.split("/")
        if life.protected:
            self._world.cloud.relabel_volume(zone, uuid, {_PROTECT: "yes"}, after_get=True)
        self._sidecars.modify(volume_id, labels="tier=gold")
        if life.protected:
            labels = self._truth(volume_id)["labels"]
            if not labels.get(_PROTECT):
                what = f"{_PROTECT} of {volume_id} is gone, {labels} are left"
                self._world.story.breach("labels that others write stay", what)
            self._finish_updates(uuid)
            self._world.cloud.relabel_volume(zone, uuid, {_PROTECT: None})

    def _finish_updates(self, uuid: str) -> None:
        """End the writes that would still set older labels, whatever has changed since.

        Only a process that died leaves one behind its answer, or one that has given it up.
        """
        for each in self._world.cloud.operations():
            is_pending = each["state"] == "pending" and each["kind"] == "update"
            if not is_pending or each["reference"]["id"] != uuid:
                continue
            is_new_process = self._world.restarts or self._world.leader_changes
            if not is_new_process and time.time() - each["started-at"] < _GIVEN_UP_SECONDS:
                what = f"an update of {uuid} goes on: {each['id']}"
                self._world.story.breach("no write goes on behind its answer", what)
            self._world.cloud.finish_operation(each["zone"], each["id"])

    def _end(self, volume: csi_pb2.Volume | None, snapshot: csi_pb2.Snapshot | None) -> None:
        """Delete both at once: one may have to wait for the other."""
        threads = []
        if volume:
            threads.append(self._spawn(self._sidecars.delete_volume, volume.volume_id))
        if snapshot:
            threads.append(self._spawn(self._sidecars.delete_snapshot, snapshot.snapshot_id))
        for thread in threads:
            thread.join()

    def _require_attached(self, volume_id: str, node_id: str) -> None:
        instance = (self._truth(volume_id).get("instance") or {}).get("id")
        if instance != node_id.split("/")[1]:
            what = f"{volume_id} is attached to {instance}, not to {node_id}"
            self._world.story.breach("an attached volume stays where it is", what)

    def _truth(self, volume_id: str) -> dict[str, Any]:
        """Return what the cloud holds of a volume, nothing if it is gone."""
        uuid = volume_id.split("/")[1]
        return next((each for each in self._world.cloud.volumes() if each["id"] == uuid), {})

    def _spawn(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except GivenUp as given_up:
                self._world.story.breach("nothing is stuck for ever", str(given_up))
            except Exception as error:  # the top of a thread: its life ends here, and untold
                self._world.story.breach("the harness itself does not fail", repr(error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread
