"""Persistent volumes made by hand, for volumes that the cloud has already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.kubernetes.cluster.api import VOLUME
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import DRIVER_NAME


@contextmanager
def static_volume(
    namespace: Namespace,
    handle: str,
    *,
    reclaim_policy: str = "Retain",
    attributes: Mapping[str, str] | None = None,
) -> Iterator[Claim]:
    """Make a persistent volume of 1 GiB and yield the claim that has it.

    Args:
        handle: The id of the cloud's volume: `<zone>/<uuid>`.
    """
    name = f"{namespace.name}-static"
    source = {
        "driver": DRIVER_NAME,
        "volumeHandle": handle,
        "volumeAttributes": dict(attributes or {}),
    }
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": reclaim_policy,
        "storageClassName": "",
        "csi": source,
    }
    api = namespace.cluster.api
    api.create(VOLUME, {"metadata": {"name": name}, "spec": spec})
    try:
        yield Claim.create(namespace, "static", storage_class="", volume_name=name)
    finally:
        api.delete(VOLUME, name)
        namespace.wait(lambda: api.find(VOLUME, name) is None, "the persistent volume is gone")
