"""The identity in Kubernetes' Node, where a cloud controller writes instance and zone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from csi_exoblock.errors import HostError, NotFound
from csi_exoblock.model import NodeId

_PROVIDER = "exoscale://"
_ZONE = "topology.kubernetes.io/zone"
# Cloud controllers up to 0.34 set only this label, to the zone's name.
_REGION = "topology.kubernetes.io/region"

_SHOWN = 100

Read = Callable[[], tuple[str, Mapping[str, str]]]
"""Returns the node's provider id, empty if it has none, and its labels."""


class NodeObject:
    """Reads the identity from Kubernetes' Node of this host."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def read(self) -> NodeId:
        """Return the identity.

        Raises:
            HostError: The Node can't be read, or no cloud controller has written instance and zone.
        """
        provider_id, labels = self._read()
        zone = labels.get(_ZONE) or labels.get(_REGION) or ""
        before, _, instance = provider_id.rpartition(_PROVIDER)
        try:
            return NodeId.parse(f"{zone}/{before}{instance}")
        except NotFound as error:
            raise HostError(
                f"the Node has providerID {provider_id[:_SHOWN]!r} and zone {zone[:_SHOWN]!r} "
                f"instead of {_PROVIDER}<instance id> and a zone; the cloud controller sets them"
            ) from error
