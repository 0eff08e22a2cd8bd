"""Kubernetes' objects about a node, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from csi_exoblock.kubernetes.fields import (
    Json,
    at,
    count,
    is_being_deleted,
    objects,
    text,
    text_map,
    texts,
)

_PROVIDER = "exoscale://"

_CSI_VOLUME = "kubernetes.io/csi/"
"""The prefix of a CSI volume's name in a Node's status; then come driver, `^` and handle."""

_LEAVING = frozenset(
    {
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",  # its name before version 1
        "node.kubernetes.io/unschedulable",
    }
)
"""The taints by which an autoscaler marks a node that it removes; not all of them cordon it."""

# Source: Kubernetes 1.34, pkg/kubelet/nodeshutdown; no other field of the Node says so.
_SHUTTING_DOWN = "node is shutting down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node.

    Attributes:
        provider_id: The cloud controller's name for the instance, empty until it has set one.
        is_leaving: Whether it is cordoned, being deleted or shutting down.
        volumes: Driver and handle of each CSI volume that is attached, or that kubelet wants.
    """

    name: str
    uid: str
    provider_id: str
    labels: Mapping[str, str]
    taints: tuple[Json, ...]
    is_ready: bool
    is_leaving: bool
    volumes: frozenset[tuple[str, str]]

    @classmethod
    def parse(cls, found: Json) -> Node:
        """Read a Node."""
        taints = objects(found, "spec", "taints")
        ready = [
            each for each in objects(found, "status", "conditions") if text(each, "type") == "Ready"
        ]
        return cls(
            name=text(found, "metadata", "name"),
            uid=text(found, "metadata", "uid"),
            provider_id=text(found, "spec", "providerID"),
            labels=text_map(found, "metadata", "labels"),
            taints=taints,
            is_ready=any(text(each, "status") == "True" for each in ready),
            is_leaving=at(found, "spec", "unschedulable") is True
            or is_being_deleted(found)
            or any(text(each, "key") in _LEAVING for each in taints)
            or any(_says_shutting_down(each) for each in ready),
            volumes=_volumes(found),
        )

    @property
    def instance(self) -> str:
        """The instance's UUID, empty if the provider id names none of this cloud."""
        provider, prefix, instance = self.provider_id.partition(_PROVIDER)
        return instance if prefix and not provider else ""

    def volumes_of(self, driver_name: str) -> frozenset[str]:
        """Return the handles of a driver's volumes."""
        return frozenset(handle for driver, handle in self.volumes if driver == driver_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsiNode:
    """A CSINode: the drivers that kubelet has registered on a node.

    Attributes:
        node_uid: The UID of the Node that it is about, empty if it doesn't say.
        ids: What each driver calls the node, by the driver's name.
        limits: The number of volumes that each driver can attach, by the driver's name; `None` for
            a driver that did not say.
    """

    name: str
    node_uid: str
    ids: Mapping[str, str]
    limits: Mapping[str, int | None]

    @classmethod
    def parse(cls, found: Json) -> CsiNode:
        """Read a CSINode."""
        return cls(
            name=text(found, "metadata", "name"),
            node_uid=next(
                (
                    text(each, "uid")
                    for each in objects(found, "metadata", "ownerReferences")
                    if text(each, "kind") == "Node"
                ),
                "",
            ),
            ids={
                text(each, "name"): text(each, "nodeID")
                for each in objects(found, "spec", "drivers")
            },
            limits={
                text(each, "name"): count(each, "allocatable", "count")
                for each in objects(found, "spec", "drivers")
            },
        )


def _says_shutting_down(ready: Json) -> bool:
    return text(ready, "status") != "True" and _SHUTTING_DOWN in text(ready, "message")


def _volumes(found: Json) -> frozenset[tuple[str, str]]:
    attached = (text(each, "name") for each in objects(found, "status", "volumesAttached"))
    names = [*attached, *texts(found, "status", "volumesInUse")]
    split = (
        name.removeprefix(_CSI_VOLUME).partition("^")
        for name in names
        if name.startswith(_CSI_VOLUME)
    )
    return frozenset((driver, handle) for driver, caret, handle in split if caret)
