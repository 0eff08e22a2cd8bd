"""Storage classes beside those that we ship."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.kubernetes.cluster.api import STORAGE_CLASS
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import DRIVER_NAME, ZONE

FSTYPE = "csi.storage.k8s.io/fstype"

_AT_ONCE = "Immediate"


@contextmanager
def storage_class(
    namespace: Namespace,
    parameters: Mapping[str, str],
    *,
    mount_options: Sequence[str] = (),
    binding: str = "WaitForFirstConsumer",
    zone: str = "",
    name: str = "",
) -> Iterator[str]:
    """Make a class for one flow, and yield its name.

    Args:
        zone: Offer volumes in this zone only. A class that binds at once has the real node's:
            the provisioner would take that of any node, and other flows' nodes come and go.
        name: What tells it from others of the namespace; its parameters' values unless given.
    """
    if binding == _AT_ONCE:
        zone = zone or ZONE
    name = f"{namespace.name}-{name or '-'.join(parameters.values()) or 'class'}".lower()
    manifest: dict[str, object] = {
        "metadata": {"name": name},
        "provisioner": DRIVER_NAME,
        "parameters": dict(parameters),
        "mountOptions": list(mount_options),
        "volumeBindingMode": binding,
        "allowVolumeExpansion": True,
    }
    if zone:
        term = {"key": f"topology.{DRIVER_NAME}/zone", "values": [zone]}
        manifest["allowedTopologies"] = [{"matchLabelExpressions": [term]}]
    api = namespace.cluster.api
    api.create(STORAGE_CLASS, manifest)
    try:
        yield name
    finally:
        api.delete(STORAGE_CLASS, name)
