"""The identity service over gRPC: the driver's name, capabilities and readiness."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from google.protobuf.wrappers_pb2 import BoolValue

from csi_exoblock import __version__
from csi_exoblock._build import COMMIT
from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from csi_exoblock.versions import CSI_VERSION

_Service = csi_pb2.PluginCapability.Service

# Controller and node give the same answer, because these are the capabilities of the plugin as a
# whole (CSI 1.13, GetPluginCapabilities).
_SERVICES = (
    _Service.CONTROLLER_SERVICE,
    _Service.VOLUME_ACCESSIBILITY_CONSTRAINTS,
    _Service.SNAPSHOT_ACCESSIBILITY_CONSTRAINTS,
)


class Identity(csi_pb2_grpc.IdentityServicer):
    """The identity service of the controller and of every node.

    Args:
        ready: Returns whether the process has once been able to work (N14).
    """

    def __init__(self, *, driver_name: str, ready: Callable[[], bool]) -> None:
        self._driver_name = driver_name
        self._ready = ready

    def GetPluginInfo(
        self, request: csi_pb2.GetPluginInfoRequest, context: grpc.ServicerContext
    ) -> csi_pb2.GetPluginInfoResponse:
        """Return the driver's name, version and commit."""
        return csi_pb2.GetPluginInfoResponse(
            name=self._driver_name,
            vendor_version=__version__,
            manifest={"commit": COMMIT, "csi": CSI_VERSION},
        )

    def GetPluginCapabilities(
        self, request: csi_pb2.GetPluginCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.GetPluginCapabilitiesResponse:
        """List the services and constraints; expansion is offline."""
        expansion = csi_pb2.PluginCapability.VolumeExpansion(
            type=csi_pb2.PluginCapability.VolumeExpansion.OFFLINE
        )
        return csi_pb2.GetPluginCapabilitiesResponse(
            capabilities=[
                *(csi_pb2.PluginCapability(service=_Service(type=each)) for each in _SERVICES),
                csi_pb2.PluginCapability(volume_expansion=expansion),
            ]
        )

    def Probe(
        self, request: csi_pb2.ProbeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ProbeResponse:
        """Report whether the driver is ready; never an error, which would end the sidecars."""
        return csi_pb2.ProbeResponse(ready=BoolValue(value=self._ready()))
