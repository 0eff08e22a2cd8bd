"""Kubelet's plugin registration, v1: the node plugin makes itself known without a sidecar (N18)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import grpc

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.csi.server import is_served, listen, new_server, require_place
from csi_exoblock.errors import DriverError
from csi_exoblock.host.farewell import Farewell
from csi_exoblock.pb import pluginregistration_pb2, pluginregistration_pb2_grpc
from csi_exoblock.pool import Pool

log = logging.getLogger(__name__)

_TYPE = "CSIPlugin"
# The version of CSI's major interface that kubelet compares, not that of the specification.
_SUPPORTED_VERSIONS = ("1.0.0",)

# Kubelet asks one question at a time.
_WORKERS = 2


class Registration(pluginregistration_pb2_grpc.RegistrationServicer):
    """Serves kubelet's questions on a socket in its folder of plugins.

    Kubelet acts on sockets that appear. So this one appears only once the node knows what it is: a
    registration that then fails would remove the driver from CSINode. If the socket vanishes, if
    its folder comes late or something else is at its place, it is tried again for ever; unless the
    hook before the end of a plugin that is uninstalled has taken it away (S22).

    Args:
        path: The socket in kubelet's folder, as this process sees it.
        csi_path: The CSI socket, as kubelet sees it.
        wait_until_known: Returns once the node knows what it is; raises at the deadline.
    """

    def __init__(
        self,
        *,
        driver_name: str,
        path: Path,
        csi_path: Path,
        wait_until_known: Callable[[Deadline], object],
        timing: Timing,
    ) -> None:
        self._driver_name = driver_name
        self._path = path
        self._csi_path = csi_path
        self._wait_until_known = wait_until_known
        self._timing = timing
        self._waiting = Deadline(math.inf)
        self._pool = Pool(_WORKERS, name="registration")
        self._server: grpc.Server | None = None
        self._complaint = ""
        self._farewell = Farewell(path)
        self._farewell.forget()

    def stop(self) -> None:
        """Wait no more for the node's identity.

        The socket stays: without it kubelet would forget the driver (S22).
        """
        self._waiting.cancel()

    def register(self) -> float:
        """Show kubelet a socket once the node's identity is known, and again whenever it vanishes.

        The CSI socket must answer already. Return the seconds until the next look.
        """
        try:
            self._wait_until_known(self._waiting)
        except DriverError:
            self._waiting = Deadline(math.inf)  # which is a day
            return 0.0
        if self._farewell.was_said():
            return self._timing.registration_check
        try:
            if self._server is None or not is_served(self._path):
                self._appear()
        except OSError as error:
            self._complain(str(error))
        else:
            self._complaint = ""
        return self._timing.registration_check

    def GetInfo(
        self, request: pluginregistration_pb2.InfoRequest, context: grpc.ServicerContext
    ) -> pluginregistration_pb2.PluginInfo:
        """Tell kubelet whom it found and where to call."""
        return pluginregistration_pb2.PluginInfo(
            type=_TYPE,
            name=self._driver_name,
            endpoint=str(self._csi_path),
            supported_versions=_SUPPORTED_VERSIONS,
        )

    def NotifyRegistrationStatus(
        self, request: pluginregistration_pb2.RegistrationStatus, context: grpc.ServicerContext
    ) -> pluginregistration_pb2.RegistrationStatusResponse:
        """Learn what became of the registration; kubelet itself repeats one that failed."""
        if request.plugin_registered:
            log.info("registered with kubelet")
        else:
            log.error("kubelet refused the registration", extra={"error": request.error})
        return pluginregistration_pb2.RegistrationStatusResponse()

    def _appear(self) -> None:
        """Show kubelet a socket that answers already: it ignores files that begin with a dot.

        gRPC unlinks the name that it bound when it stops, so the other one stays.

        Raises:
            OSError: The socket can't be made, or what is at its place is none.
        """
        hidden = self._path.with_name(f".{self._path.name}")
        require_place(self._path)
        hidden.unlink(missing_ok=True)
        server = new_server(self._pool)
        pluginregistration_pb2_grpc.add_RegistrationServicer_to_server(self, server)
        listen(server, hidden)
        before, self._server = self._server, server
        if before is not None:
            before.stop(0)  # without waiting: nobody finds it any more
        hidden.rename(self._path)
        log.info("waiting for kubelet", extra={"path": str(self._path)})

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:  # it is tried again every few seconds
            log.error("can't register with kubelet, still trying", extra={"error": complaint})
        self._complaint = complaint
