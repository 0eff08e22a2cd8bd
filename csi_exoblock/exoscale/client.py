"""The client of the API: for each zone one method per API operation that the driver uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar
from uuid import UUID

from csi_exoblock.concurrency import Deadline, SharedCall
from csi_exoblock.config import ApiSettings
from csi_exoblock.errors import (
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
    NotFound,
    UnprovenAbsence,
)
from csi_exoblock.exoscale import wire
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.exoscale.routes import OPERATIONS
from csi_exoblock.exoscale.transport import Request, Transport
from csi_exoblock.exoscale.zones import Zones
from csi_exoblock.model import Instance, Operation, Quota, Snapshot, Volume, ZoneName
from csi_exoblock.timing import CloudTiming

T = TypeVar("T")

# A zone with a rate limit gets at most one shared list per 20 requests that the limit allows.
_CALLS_A_LIST = 20
_MOST_BYTES_OF_A_LIST = 32 * 1024**2  # ten thousand volumes take a third of that (F18)
_LISTED = "list-"
_LISTED_KINDS = ("volume", "snapshot", "instance")
# Their 404 can be about the instance as well; their callers then read the volume.
_ABOUT_TWO = ("attach-block-storage-volume-to-instance", "detach-block-storage-volume")


class Cloud:
    """All zones behind one API key."""

    def __init__(self, *, transport: Transport, settings: ApiSettings, timing: CloudTiming) -> None:
        self._transport = transport
        self._settings = settings
        self._timing = timing
        self._lock = threading.Lock()
        self._clients: dict[ZoneName, ZoneClient] = {}
        self._zones = Zones(
            list_zones=lambda zone: self.zone(zone).list_zones(), settings=settings, timing=timing
        )

    def zones(self, deadline: Deadline, asked: Collection[ZoneName] = ()) -> Sequence[ZoneName]:
        """Return the zones in scope, as `Zones.in_scope` does."""
        return self._zones.in_scope(deadline, asked)

    def zone(self, name: ZoneName) -> ZoneClient:
        """Return the client of a zone, even of one that is out of scope: its ids stay usable.

        The client's first request checks whether the zone exists. The client of an unknown zone is
        not kept, because an id can name any zone and would fill the memory.
        """
        with self._lock:
            client = self._clients.get(name) or self._client_of(name)
            if self._zones.is_bounded(name):
                self._clients[name] = client
            return client

    def knows(self, zone: ZoneName) -> bool:
        """Return whether the API has ever listed a zone, as `Zones.knows` does."""
        return self._zones.knows(zone)

    def require(self, zone: ZoneName, deadline: Deadline) -> None:
        """Raise ApiUnavailable unless a zone exists, as `Zones.require` does."""
        self._zones.require(zone, deadline)

    def now(self) -> float:
        """Return the cloud's time in seconds of Unix time."""
        return self._transport.now()

    @property
    def has_time(self) -> bool:
        """Whether the cloud has told its time; `now` is this host's until then."""
        return self._transport.has_time

    def _client_of(self, name: ZoneName) -> ZoneClient:
        return ZoneClient(
            zone=name,
            endpoint=self._settings.endpoint.replace("{zone}", name),
            transport=self._transport,
            require=partial(self._zones.require, name),
            timing=self._timing,
        )


class ZoneClient:
    """One zone's API.

    Every method can raise `ApiUnavailable`, also when the API does not list the zone, and
    `ApiDenied`. Every write can raise `ApiRejected` too. Every method about one resource raises
    `NotFound` if the resource does not exist. Source of each: the API operation of the same name.

    Args:
        require: Raises `ApiUnavailable` unless the zone exists.
    """

    def __init__(
        self,
        *,
        zone: ZoneName,
        endpoint: str,
        transport: Transport,
        require: Callable[[Deadline], None],
        timing: CloudTiming,
    ) -> None:
        self.zone = zone
        self._endpoint = endpoint.rstrip("/")
        self._transport = transport
        self._require = require
        self._timing = timing
        between = self.seconds_between_lists
        self._volumes = SharedCall(
            self._read_volumes, name=f"volumes-{zone}", seconds_between=between
        )
        self._snapshots = SharedCall(
            self._read_snapshots, name=f"snapshots-{zone}", seconds_between=between
        )

    def seconds_between_lists(self) -> float:
        """Return the seconds between two shared lists: more if the zone has a rate limit."""
        by_limit = _CALLS_A_LIST * self._transport.seconds_between(self.zone)
        return max(self._timing.lists_apart, min(by_limit, self._timing.lists_apart_max))

    def list_zones(self) -> tuple[ZoneName, ...]:
        """Return all zones that exist; do not repeat a failed request, another zone can answer."""
        return self._read_for_all(self._transport.send_once, wire.zones, "list-zones")

    def list_quotas(self, deadline: Deadline) -> tuple[Quota, ...]:
        """Return the organisation's quotas."""
        return self._call(wire.quotas, "list-quotas", deadline)

    def get_instance(self, instance_id: UUID, deadline: Deadline) -> Instance:
        """Return an instance."""
        read = wire.of(instance_id, wire.instance)
        return self._call(read, "get-instance", deadline, instance_id)

    def list_instance_ids(self, deadline: Deadline) -> frozenset[UUID]:
        """Return the ids of all instances."""
        within = deadline.within(self._timing.api_timeout)
        return self._call(wire.instance_ids, "list-instances", within)

    def get_instance_size(self, type_id: UUID, deadline: Deadline) -> str:
        """Return the size of an instance type, such as `small`."""
        return self._call(wire.instance_size, "get-instance-type", deadline, type_id)

    def get_operation(self, operation_id: UUID, deadline: Deadline) -> Operation:
        """Return an operation as it is now; its `kind` is empty, as the API does not report it.

        A failed request is not repeated, because a poll is followed by the next poll anyway.
        """
        self._require(deadline)
        request = self._request("get-operation", operation_id)
        read = wire.of(operation_id, wire.operation)
        return self._transport.send_once(request, partial(read, self.zone), deadline)

    def list_volumes(self, deadline: Deadline) -> Listed[Volume]:
        """Return all volumes, from a list that began after this call; callers share it."""
        self._require(deadline)
        return self._volumes.get(deadline)

    def list_volumes_of(self, instance_id: UUID, deadline: Deadline) -> Listed[Volume]:
        """Return the volumes that are attached to an instance."""
        return self._call(
            wire.volumes,
            "list-block-storage-volumes",
            deadline,
            instance_id,
            query=wire.of_instance(instance_id),
        )

    def get_volume(self, volume_id: UUID, deadline: Deadline) -> Volume:
        """Return a volume."""
        read = wire.of(volume_id, wire.volume)
        return self._call(read, "get-block-storage-volume", deadline, volume_id)

    def create_volume(
        self,
        *,
        name: str,
        size_gib: int,
        labels: Mapping[str, str],
        snapshot_id: UUID | None,
        deadline: Deadline,
    ) -> Operation:
        """Begin to create a volume, empty or with a snapshot's content.

        Args:
            size_gib: Size in GiB, at least that of the snapshot's source.

        Raises:
            NotFound: The snapshot does not exist.
        """
        body = wire.creation(name=name, labels=labels, size_gib=size_gib, source=snapshot_id)
        return self._begin_to_make("create-block-storage-volume", deadline, snapshot_id, body)

    def update_volume(
        self,
        volume_id: UUID,
        *,
        labels: Mapping[str, str],
        deadline: Deadline,
        name: str | None = None,
    ) -> Operation:
        """Begin to replace all labels of a volume, and its name unless that is `None`."""
        body = wire.labelling(labels, name)
        return self._begin("update-block-storage-volume", deadline, volume_id, body=body)

    def delete_volume(self, volume_id: UUID, deadline: Deadline) -> Operation:
        """Begin to delete a volume and its data."""
        return self._begin("delete-block-storage-volume", deadline, volume_id)

    def attach_volume(self, volume_id: UUID, instance_id: UUID, deadline: Deadline) -> Operation:
        """Begin to attach a volume to an instance.

        Raises:
            NotFound: The volume or the instance does not exist.
        """
        body = wire.attaching(instance_id)
        kind = "attach-block-storage-volume-to-instance"
        return replace(self._begin(kind, deadline, volume_id, body=body), instance=instance_id)

    def detach_volume(self, volume_id: UUID, deadline: Deadline) -> Operation:
        """Begin to detach a volume from its instance; the API does not ask which one that is."""
        return self._begin("detach-block-storage-volume", deadline, volume_id)

    def resize_volume(self, volume_id: UUID, size_gib: int, deadline: Deadline) -> Volume:
        """Grow a detached volume and return it as the API now reports it.

        Args:
            size_gib: New size in GiB; must exceed the present size.
        """
        body = wire.resizing(size_gib)
        read = wire.of(volume_id, wire.volume)
        return self._call(read, "resize-block-storage-volume", deadline, volume_id, body=body)

    def list_snapshots(self, deadline: Deadline) -> Listed[Snapshot]:
        """Return all snapshots, from a list that began after this call; callers share it."""
        self._require(deadline)
        return self._snapshots.get(deadline)

    def get_snapshot(self, snapshot_id: UUID, deadline: Deadline) -> Snapshot:
        """Return a snapshot."""
        read = wire.of(snapshot_id, wire.snapshot)
        return self._call(read, "get-block-storage-snapshot", deadline, snapshot_id)

    def create_snapshot(
        self, volume_id: UUID, *, name: str, labels: Mapping[str, str], deadline: Deadline
    ) -> Operation:
        """Begin to take a snapshot of a volume.

        Raises:
            NotFound: The volume does not exist.
        """
        body = wire.creation(name=name, labels=labels)
        return self._begin_to_make("create-block-storage-snapshot", deadline, volume_id, body)

    def update_snapshot(
        self, snapshot_id: UUID, *, labels: Mapping[str, str], deadline: Deadline
    ) -> Operation:
        """Begin to replace all labels of a snapshot."""
        body = wire.labelling(labels)
        return self._begin("update-block-storage-snapshot", deadline, snapshot_id, body=body)

    def delete_snapshot(self, snapshot_id: UUID, deadline: Deadline) -> Operation:
        """Begin to delete a snapshot and its data."""
        return self._begin("delete-block-storage-snapshot", deadline, snapshot_id)

    def _read_volumes(self) -> Listed[Volume]:
        send = self._transport.send_list
        return self._read_for_all(send, wire.volumes, "list-block-storage-volumes")

    def _read_snapshots(self) -> Listed[Snapshot]:
        send = self._transport.send_list
        return self._read_for_all(send, wire.snapshots, "list-block-storage-snapshots")

    def _read_for_all(
        self,
        send: Callable[[Request, Callable[[object], T], Deadline], T],
        parse: Callable[[ZoneName, object], T],
        operation: str,
    ) -> T:
        """Run a shared read under its own deadline, so that one caller's timeout fails no other."""
        request, seconds = self._request(operation), self._timing.api_timeout
        try:
            return send(request, partial(parse, self.zone), Deadline(seconds))
        except NotFound as error:
            raise ApiUnavailable(str(error)) from error
        except DeadlineExceeded as error:
            raise ApiUnavailable(
                f"{request}: its turn did not come within {seconds:g} s: too many requests wait "
                "for what the zone's rate lets through",
                may_have_effect=False,
            ) from error

    def _begin_to_make(
        self, kind: str, deadline: Deadline, source: UUID | None, body: Mapping[str, object]
    ) -> Operation:
        """Begin to create a resource whose id only the answer names, as a copy of any source."""
        begun = self._begin(kind, deadline, source, body=body)
        return replace(begun, about=begun.reference, copies=source is not None)

    def _begin(
        self,
        kind: str,
        deadline: Deadline,
        id: UUID | None = None,
        *,
        body: Mapping[str, object] | None = None,
    ) -> Operation:
        begun = self._call(wire.operation, kind, deadline, id, body=body)
        return replace(begun, kind=kind, about=id)

    def _call(
        self,
        parse: Callable[[ZoneName, object], T],
        operation: str,
        deadline: Deadline,
        id: UUID | None = None,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> T:
        self._require(deadline)
        request = self._request(operation, id, body=body, query=query)
        try:
            return self._transport.send(request, partial(parse, self.zone), deadline)
        except UnprovenAbsence as error:
            if id and not self._doubt(request, id, deadline):
                raise NotFound(f"{request.subject} does not exist ({error})") from error
            raise
        except NotFound as error:
            if id is None:  # the request names no resource, so the 404 is about the zone's API
                raise ApiUnavailable(str(error)) from error
            if self._is_provable(request) and (doubt := self._doubt(request, id, deadline)):
                raise UnprovenAbsence(
                    f"{error}; no list of the zone confirms that: {doubt}; a retry looks again"
                ) from error
            raise

    def _is_provable(self, request: Request) -> bool:
        """Return whether a list must confirm a 404, even one in the API's own form.

        A gateway that has lost its routes answers in that form too. Without a list, all volumes and
        snapshots would count as deleted (C1), and all instances as gone.
        """
        about = OPERATIONS[request.operation].about
        return about in _LISTED_KINDS and request.operation not in _ABOUT_TWO

    def _doubt(self, request: Request, id: UUID, deadline: Deadline) -> str:
        """Return why a 404 does not prove an absence; empty if a list of the zone confirms it."""
        about = OPERATIONS[request.operation].about
        try:
            match about:
                case "volume":
                    is_listed = str(id) in self.list_volumes(deadline).ids()
                case "snapshot":
                    is_listed = str(id) in self.list_snapshots(deadline).ids()
                case "instance":
                    is_listed = id in self.list_instance_ids(deadline)
                case _:
                    return f"the API has no list of the kind {about}"
        except DriverError as error:
            return str(error)
        return f"the {about} is still listed" if is_listed else ""

    def _request(
        self,
        operation: str,
        id: UUID | None = None,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Request:
        method, path, about, rests_on_read = OPERATIONS[operation]
        return Request(
            operation=operation,
            method=method,
            url=self._endpoint + path.format(id=id),
            zone=self.zone,
            subject=f"{about} {self.zone}/{id}" if id else f"zone {self.zone}",
            names_resource=id is not None,
            rests_on_read=rests_on_read,
            query=query or {},
            body=body,
            **({"most_bytes": _MOST_BYTES_OF_A_LIST} if operation.startswith(_LISTED) else {}),
        )
