"""Show tests and people the true state of the cloud, and let them change it without the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from csi_exoblock.simulator.disks.content import Disks
from csi_exoblock.simulator.http import wire
from csi_exoblock.simulator.http.body import parse_id
from csi_exoblock.simulator.rules.attachments import Attachments
from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.cloud import Cloud, Zone
from csi_exoblock.simulator.state.codec import decode
from csi_exoblock.simulator.state.instance_types import InstanceSize
from csi_exoblock.simulator.state.resources import (
    Ending,
    InstanceState,
    Snapshot,
    SnapshotState,
    Volume,
    VolumeState,
)
from csi_exoblock.simulator.time.runner import Runner

Handler = Callable[[web.Request], Awaitable[Any]]

Table = tuple[tuple[str, str, Handler], ...]
"""Method, path and handler of each route; the handlers' docstrings describe them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Instances, volumes, snapshots and operations of all zones."""

    cloud: Cloud
    runner: Runner
    disks: Disks

    def table(self) -> Table:
        """Return every route."""
        instance = "/instances/{zone}/{id}"
        return (
            ("GET", "/instances", self._get_instances),
            ("POST", "/instances/{zone}", self._add_instance),
            ("PUT", instance, self._set_instance),
            ("DELETE", instance, self._remove_instance),
            ("GET", "/devices", self._get_devices),
            ("GET", "/volumes", self._get_volumes),
            ("POST", "/volumes/{zone}", self._add_volumes),
            ("PUT", "/volumes/{zone}/{id}", self._set_volume_state),
            ("PUT", "/volumes/{zone}/{id}/labels", self._relabel_volume),
            ("GET", "/snapshots", self._get_snapshots),
            ("POST", "/snapshots/{zone}", self._add_snapshot),
            ("PUT", "/snapshots/{zone}/{id}", self._set_snapshot_state),
            ("GET", "/operations", self._get_operations),
            ("POST", "/operations/{zone}/{id}", self._finish_operation),
        )

    def _zone(self, request: web.Request) -> Zone:
        return self.cloud.zone(request.match_info["zone"])

    async def _get_instances(self, request: web.Request) -> list[wire.Json]:
        """List the instances of all zones; local ones are this host."""
        return [
            {
                **wire.instance(each),
                "zone": zone.name,
                "size": each.size,
                "local": each.is_local,
                "locked": each.is_locked,
            }
            for zone in self.cloud.zones.values()
            for each in zone.instances.values()
        ]

    async def _add_instance(self, request: web.Request) -> wire.Json:
        """Add a running instance to a zone: {"name": "...", "size": "tiny", "local": false}."""
        body = await request.json() if request.can_read_body else {}
        if body.get("local") and self.disks.why_missing:
            raise refusals.conflict(f"volumes have no devices: {self.disks.why_missing}")
        instance = self.cloud.add_instance(
            self._zone(request),
            name=body.get("name", ""),
            size=InstanceSize(body.get("size", InstanceSize.MEDIUM)),
            is_local=bool(body.get("local")),
        )
        return wire.instance(instance)

    async def _set_instance(self, request: web.Request) -> None:
        """Change the state of an instance, or lock it: {"state": "stopped"}, {"locked": true}."""
        zone, body = self._zone(request), await request.json()
        instance = zone.instance(_id(request))
        state = InstanceState(body.get("state", instance.state))
        zone.put(replace(instance, is_locked=bool(body.get("locked", instance.is_locked))))
        freed = Attachments(self.cloud).set_instance_state(zone, instance.id, state)
        await self.runner.disconnect(freed)

    async def _remove_instance(self, request: web.Request) -> None:
        """Forget an instance: it then does not exist."""
        freed = Attachments(self.cloud).remove_instance(self._zone(request), _id(request))
        await self.runner.disconnect(freed)

    async def _get_devices(self, request: web.Request) -> dict[str, str | None]:
        """Say why volumes have no devices on this host: {"missing": "not root"}; null: they do."""
        return {"missing": self.disks.why_missing}

    async def _get_volumes(self, request: web.Request) -> list[wire.Json]:
        """List the volumes of all zones as they are, with source, device and use at detach."""
        devices, pulled = self.disks.devices(), self.disks.pulled()
        return [
            {
                **wire.volume(each),
                "zone": zone.name,
                "source": str(each.source) if each.source else None,
                "device": devices.get(each.id),
                "detached-in-use": each.id in pulled,
            }
            for zone in self.cloud.zones.values()
            for each in zone.volumes.values()
        ]

    async def _add_volumes(self, request: web.Request) -> None:
        """Fill a zone with detached volumes, beyond all quotas: {"count": 9, "prefix": "old-"}."""
        body = await request.json()
        zone = self._zone(request)
        for number in range(body["count"]):
            volume = Volume(
                id=self.cloud.new_id(),
                name=f"{body.get('prefix', 'volume-')}{number}",
                size_gib=1,
                state=VolumeState.DETACHED,
                labels={},
                created_at=self.cloud.clock(),
            )
            zone.put(volume)

    async def _set_volume_state(self, request: web.Request) -> None:
        """Put a volume into a state, as if that had happened by itself.

        {"state": "error"}, or {"state": "attaching", "instance": "..."}; null: no instance.
        """
        zone, body = self._zone(request), await request.json()
        volume = replace(zone.volume(_id(request)), state=VolumeState(body["state"]))
        if "instance" in body:
            id = body["instance"]
            volume = replace(volume, instance=zone.instance(parse_id(id)).id if id else None)
        zone.put(volume)

    async def _relabel_volume(self, request: web.Request) -> None:
        """Add labels, and remove those that are null: {"labels": {"a": "b"}}.

        With "after-get": true right after the next get of the volume, before its answer is sent.
        """
        zone, body, id = self._zone(request), await request.json(), _id(request)
        if body.get("after-get"):
            self.cloud.relabel_after_get(zone.volume(id).id, dict(body["labels"]))
        else:
            self.cloud.relabel(zone, id, dict(body["labels"]))

    async def _add_snapshot(self, request: web.Request) -> wire.Json:
        """Add a snapshot of a volume, without content: {"volume": "...", "name": "..."}."""
        zone, body = self._zone(request), await request.json()
        volume = zone.volume(parse_id(body["volume"]))
        snapshot = Snapshot(
            id=self.cloud.new_id(),
            name=body["name"],
            volume=volume.id,
            volume_size_gib=volume.size_gib,
            state=SnapshotState.CREATED,
            labels={},
            created_at=self.cloud.clock(),
        )
        zone.put(snapshot)
        zone.put(replace(volume, snapshots=(*volume.snapshots, snapshot.id)))
        return wire.snapshot(snapshot)

    async def _get_snapshots(self, request: web.Request) -> list[wire.Json]:
        """List the snapshots of all zones."""
        return [
            {**wire.snapshot(each), "zone": zone.name}
            for zone in self.cloud.zones.values()
            for each in zone.snapshots.values()
        ]

    async def _set_snapshot_state(self, request: web.Request) -> None:
        """Put a snapshot into a state, as if that had happened by itself: {"state": "error"}."""
        zone = self._zone(request)
        state = SnapshotState((await request.json())["state"])
        zone.put(replace(zone.snapshot(_id(request)), state=state))

    async def _get_operations(self, request: web.Request) -> list[wire.Json]:
        """List the operations with kind, new name, and seconds, which is the cloud's own time."""
        return [
            {
                **wire.operation(each),
                "zone": each.zone,
                "kind": each.kind,
                "name": each.change.name,
                "started-at": each.started_at,
                "seconds": each.finished_at - each.started_at if each.finished_at else None,
            }
            for each in self.cloud.operations.values()
        ]

    async def _finish_operation(self, request: web.Request) -> None:
        """End an operation that hangs: with success, or {"state": "failure", "leaves": "error"}."""
        ending = decode(Ending, await request.json()) if request.can_read_body else Ending()
        operation = self.cloud.operation(self._zone(request), _id(request))
        await self.runner.finish_now(operation, ending)


def _id(request: web.Request) -> Any:
    return parse_id(request.match_info["id"])
