"""What the driver reads of Kubernetes' objects, as values; the only place that knows their JSON.

An object may lack anything and have fields that nobody knows. What is there with another type than
Kubernetes' own counts as absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Json = Mapping[str, object]
"""An object of JSON."""

_CSI_VOLUME = "kubernetes.io/csi/"
"""What the names of CSI volumes begin with in a Node's status, before driver, `^` and handle."""

_LEAVING = frozenset(
    {
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",  # its name before version 1
        "node.kubernetes.io/unschedulable",
    }
)
"""Taints of those who take nodes away, and need not cordon them."""

# Source: Kubernetes 1.34, pkg/kubelet/nodeshutdown; no field of the Node tells it otherwise.
_SHUTTING_DOWN = "node is shutting down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node.

    Attributes:
        provider_id: What the cloud's controller calls the instance, empty before it did.
        is_leaving: Whether it is cordoned, being deleted or shutting down.
        volumes: Driver and handle of each CSI volume that is attached, or that kubelet wants.
    """

    name: str
    provider_id: str
    labels: Mapping[str, str]
    taints: tuple[Json, ...]
    is_leaving: bool
    volumes: frozenset[tuple[str, str]]

    @classmethod
    def parse(cls, found: Json) -> Node:
        """Read a Node."""
        spec, status, metadata = (_object(found, each) for each in ("spec", "status", "metadata"))
        attached = (_text(each, "name") for each in _objects(status, "volumesAttached"))
        wanted = (each for each in _list(status, "volumesInUse") if isinstance(each, str))
        return cls(
            name=_text(metadata, "name"),
            provider_id=_text(spec, "providerID"),
            labels=_texts(metadata, "labels"),
            taints=tuple(_objects(spec, "taints")),
            is_leaving=spec.get("unschedulable") is True
            or is_being_deleted(found)
            or any(_text(each, "key") in _LEAVING for each in _objects(spec, "taints"))
            or _is_shutting_down(status),
            volumes=frozenset(
                (driver, handle)
                for name in (*attached, *wanted)
                for driver, caret, handle in [name.removeprefix(_CSI_VOLUME).partition("^")]
                if caret and name.startswith(_CSI_VOLUME)
            ),
        )

    def volumes_of(self, driver_name: str) -> frozenset[str]:
        """Return the handles of a driver's volumes."""
        return frozenset(handle for driver, handle in self.volumes if driver == driver_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsiNode:
    """A CSINode: which drivers kubelet knows on a node.

    Attributes:
        limits: How many volumes each driver may have attached, by its name; `None` for a driver
            that did not say.
    """

    limits: Mapping[str, int | None]

    @classmethod
    def parse(cls, found: Json) -> CsiNode:
        """Read a CSINode."""
        drivers = _objects(_object(found, "spec"), "drivers")
        return cls(
            limits={_text(each, "name"): _number(_object(each, "allocatable")) for each in drivers}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeAttachment:
    """A VolumeAttachment: a volume that is, is to be, or was attached to a node.

    Attributes:
        driver_name: The driver that attaches it.
        volume_name: The name of its PersistentVolume; empty for a volume of another kind.
    """

    name: str
    driver_name: str
    node_name: str
    volume_name: str

    @classmethod
    def parse(cls, found: Json) -> VolumeAttachment:
        """Read a VolumeAttachment."""
        spec = _object(found, "spec")
        return cls(
            name=_text(_object(found, "metadata"), "name"),
            driver_name=_text(spec, "attacher"),
            node_name=_text(spec, "nodeName"),
            volume_name=_text(_object(spec, "source"), "persistentVolumeName"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistentVolume:
    """A PersistentVolume of a CSI driver.

    Attributes:
        driver_name: Empty if it is none of CSI.
        handle: What the driver calls the volume.
        claim: Namespace and name of its claim, `None` while it has none.
    """

    name: str
    driver_name: str
    handle: str
    phase: str
    claim: tuple[str, str] | None

    @classmethod
    def parse(cls, found: Json) -> PersistentVolume:
        """Read a PersistentVolume."""
        spec = _object(found, "spec")
        csi, claim = _object(spec, "csi"), _object(spec, "claimRef")
        return cls(
            name=_text(_object(found, "metadata"), "name"),
            driver_name=_text(csi, "driver"),
            handle=_text(csi, "volumeHandle"),
            phase=_text(_object(found, "status"), "phase"),
            claim=(_text(claim, "namespace"), _text(claim, "name")) if claim else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotContent:
    """A VolumeSnapshotContent.

    Attributes:
        handle: What the driver calls the snapshot; empty while it isn't taken.
        snapshot: Namespace and name of its VolumeSnapshot.
    """

    name: str
    driver_name: str
    handle: str
    snapshot: tuple[str, str]

    @classmethod
    def parse(cls, found: Json) -> SnapshotContent:
        """Read a VolumeSnapshotContent."""
        spec, reference = (
            _object(found, "spec"),
            _object(_object(found, "spec"), "volumeSnapshotRef"),
        )
        given = _text(_object(spec, "source"), "snapshotHandle")
        return cls(
            name=_text(_object(found, "metadata"), "name"),
            driver_name=_text(spec, "driver"),
            handle=_text(_object(found, "status"), "snapshotHandle") or given,
            snapshot=(_text(reference, "namespace"), _text(reference, "name")),
        )


def is_being_deleted(found: Json) -> bool:
    """Tell whether an object is on its way out."""
    return bool(_text(_object(found, "metadata"), "deletionTimestamp"))


def uid_of(found: Json) -> str:
    """Return an object's UID, empty if it has none."""
    return _text(_object(found, "metadata"), "uid")


def items_of(found: Json) -> tuple[Json, ...]:
    """Return the objects of a list's page."""
    return tuple(_objects(found, "items"))


def continuation_of(found: Json) -> str:
    """Return the token for a list's next page, empty on the last one."""
    return _text(_object(found, "metadata"), "continue")


def message_of(found: Json) -> str:
    """Return what a Status says."""
    return _text(found, "message")


def _is_shutting_down(status: Json) -> bool:
    ready = [each for each in _objects(status, "conditions") if _text(each, "type") == "Ready"]
    return any(
        _text(each, "status") != "True" and _SHUTTING_DOWN in _text(each, "message")
        for each in ready
    )


def _object(found: Json, key: str) -> Json:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _list(found: Json, key: str) -> Iterable[object]:
    value = found.get(key)
    return value if isinstance(value, list) else ()


def _objects(found: Json, key: str) -> Iterable[Json]:
    return (each for each in _list(found, key) if isinstance(each, dict))


def _text(found: Json, key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _texts(found: Json, key: str) -> Mapping[str, str]:
    return {name: value for name, value in _object(found, key).items() if isinstance(value, str)}


def _number(allocatable: Json) -> int | None:
    count = allocatable.get("count")
    return count if isinstance(count, int) and not isinstance(count, bool) else None
