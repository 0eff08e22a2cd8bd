"""Serve the vendor's API under `/<zone>/v2`, and under `/v2` that of the first zone.

Source: the vendor's OpenAPI description; the names of the routes are its operation ids.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from csi_exoblock.simulator.http import wire
from csi_exoblock.simulator.http.gateway import ApiRequest, Gateway, Handler
from csi_exoblock.simulator.rules.attachments import Attachments
from csi_exoblock.simulator.rules.snapshots import Snapshots
from csi_exoblock.simulator.rules.volumes import Volumes
from csi_exoblock.simulator.state import instance_types, refusals
from csi_exoblock.simulator.state.cloud import Cloud
from csi_exoblock.simulator.state.durations import RESIZE
from csi_exoblock.simulator.state.modes import Question
from csi_exoblock.simulator.state.resources import Operation
from csi_exoblock.simulator.time.runner import Runner
from csi_exoblock.simulator.time.visibility import Visibility

_READABLE_SECONDS = 1.0  # where operations can be read only briefly


class Api:
    """The vendor's API before a cloud."""

    def __init__(self, *, cloud: Cloud, runner: Runner, gateway: Gateway) -> None:
        self._cloud = cloud
        self._runner = runner
        self._gateway = gateway
        self._volumes = Volumes(cloud)
        self._attachments = Attachments(cloud)
        self._snapshots = Snapshots(cloud)
        self._visibility = Visibility(cloud)
        self._encoder = wire.Encoder(cloud)

    def routes(self) -> list[web.RouteDef]:
        """Return every route of the API."""
        volumes, snapshots = "/block-storage", "/block-storage-snapshot"
        volume, snapshot = f"{volumes}/{{id:[^/:]+}}", f"{snapshots}/{{id:[^/:]+}}"
        table: tuple[tuple[str, str, str, Handler], ...] = (
            ("GET", "/zone", "list-zones", self._list_zones),
            ("GET", "/operation/{id}", "get-operation", self._get_operation),
            ("GET", "/instance", "list-instances", self._list_instances),
            ("GET", "/instance/{id}", "get-instance", self._get_instance),
            ("GET", "/instance-type/{id}", "get-instance-type", self._get_instance_type),
            ("GET", "/quota", "list-quotas", self._list_quotas),
            ("GET", "/quota/{id}", "get-quota", self._get_quota),
            ("GET", volumes, "list-block-storage-volumes", self._list_volumes),
            ("POST", volumes, "create-block-storage-volume", self._create_volume),
            ("GET", volume, "get-block-storage-volume", self._get_volume),
            ("PUT", volume, "update-block-storage-volume", self._update_volume),
            ("DELETE", volume, "delete-block-storage-volume", self._delete_volume),
            ("PUT", f"{volume}:attach", "attach-block-storage-volume-to-instance", self._attach),
            ("PUT", f"{volume}:detach", "detach-block-storage-volume", self._detach),
            ("PUT", f"{volume}:resize-volume", "resize-block-storage-volume", self._resize),
            (
                "POST", f"{volume}:create-snapshot", "create-block-storage-snapshot",
                self._create_snapshot,
            ),
            ("GET", snapshots, "list-block-storage-snapshots", self._list_snapshots),
            ("GET", snapshot, "get-block-storage-snapshot", self._get_snapshot),
            ("PUT", snapshot, "update-block-storage-snapshot", self._update_snapshot),
            ("DELETE", snapshot, "delete-block-storage-snapshot", self._delete_snapshot),
        )  # fmt: skip
        return [
            web.route(method, f"{base}{path}", self._gateway.serve(name, handler))
            for base in ("/{zone}/v2", "/v2")
            for method, path, name, handler in table
        ]

    def _start(self, request: ApiRequest, operation: Operation) -> bytes:
        return wire.encode(wire.operation(self._runner.start(operation, request.ending)))

    # The handlers, in the order of the routes.

    async def _list_zones(self, request: ApiRequest) -> bytes:
        return wire.encode(wire.zones(self._cloud.listed_zones, request.base_url))

    async def _get_operation(self, request: ApiRequest) -> bytes:
        operation = self._cloud.operation(request.zone, request.id)
        self._require_readable(operation)
        return wire.encode(wire.operation(operation))

    async def _list_instances(self, request: ApiRequest) -> bytes:
        instances = request.zone.instances.values()
        return wire.encode({"instances": [wire.instance(each) for each in instances]})

    async def _get_instance(self, request: ApiRequest) -> bytes:
        return wire.encode(wire.instance(request.zone.instance(request.id)))

    async def _get_instance_type(self, request: ApiRequest) -> bytes:
        return wire.encode(instance_types.describe(request.id))

    async def _list_quotas(self, request: ApiRequest) -> bytes:
        rows = [wire.quota(self._cloud, resource) for resource in self._cloud.quotas]
        return wire.encode({"quotas": rows})

    async def _get_quota(self, request: ApiRequest) -> bytes:
        return wire.encode(wire.quota(self._cloud, request.path_id))

    async def _list_volumes(self, request: ApiRequest) -> bytes:
        zone, instance = request.zone, request.instance
        if self._cloud.modes.has(Question.LIST_OF_INSTANCE, "no"):
            instance = None
        volumes = zone.attached_to(instance) if instance else zone.volumes.values()
        return self._encoder.listed("block-storage-volumes", self._visibility.listed(volumes))

    async def _create_volume(self, request: ApiRequest) -> bytes:
        body = request.body
        operation = self._volumes.create(
            request.zone,
            name=body.name(),
            size_gib=body.size_gib(),
            labels=body.labels(),
            source=body.reference("block-storage-snapshot"),
        )
        return self._start(request, operation)

    async def _get_volume(self, request: ApiRequest) -> bytes:
        answer = self._encoder.one(self._visibility.shown(request.zone.volume(request.id)))
        self._cloud.was_shown(request.zone, request.id)
        return answer

    async def _update_volume(self, request: ApiRequest) -> bytes:
        change = request.body.change()
        return self._start(request, self._volumes.update(request.zone, request.id, change))

    async def _delete_volume(self, request: ApiRequest) -> bytes:
        return self._start(request, self._volumes.delete(request.zone, request.id))

    async def _attach(self, request: ApiRequest) -> bytes:
        instance = request.body.require_reference("instance")
        operation = self._attachments.attach(request.zone, request.id, instance)
        return self._start(request, operation)

    async def _detach(self, request: ApiRequest) -> bytes:
        return self._start(request, self._attachments.detach(request.zone, request.id))

    async def _resize(self, request: ApiRequest) -> bytes:
        size_gib = request.body.require_size_gib()
        larger = self._volumes.resize(request.zone, request.id, size_gib)
        await self._runner.resize(request.zone, larger)
        await asyncio.sleep(self._cloud.latencies.draw(RESIZE, self._cloud.age()))
        return self._encoder.one(request.zone.volume(request.id))

    async def _create_snapshot(self, request: ApiRequest) -> bytes:
        body = request.body
        operation = self._snapshots.create(
            request.zone, request.id, name=body.name(), labels=body.labels()
        )
        return self._start(request, operation)

    async def _list_snapshots(self, request: ApiRequest) -> bytes:
        snapshots = self._visibility.listed(request.zone.snapshots.values())
        return self._encoder.listed("block-storage-snapshots", snapshots)

    async def _get_snapshot(self, request: ApiRequest) -> bytes:
        return self._encoder.one(self._visibility.shown(request.zone.snapshot(request.id)))

    async def _update_snapshot(self, request: ApiRequest) -> bytes:
        change = request.body.change()
        return self._start(request, self._snapshots.update(request.zone, request.id, change))

    async def _delete_snapshot(self, request: ApiRequest) -> bytes:
        return self._start(request, self._snapshots.delete(request.zone, request.id))

    def _require_readable(self, operation: Operation) -> None:
        answer = self._cloud.modes.answer(Question.OPERATIONS)
        if answer == "denied":
            raise refusals.forbidden()
        if answer == "missing":
            raise refusals.not_found("operation", operation.id)
        if answer == "briefly" and operation.finished_at is not None:
            age_seconds = self._cloud.clock() - operation.finished_at
            if age_seconds > self._cloud.latencies.scaled(_READABLE_SECONDS):
                raise refusals.not_found("operation", operation.id)
