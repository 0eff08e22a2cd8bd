"""Kubelet's plugin registration, v1: the node plugin registers itself, without a sidecar (N18)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.csi.server import is_served, listen, new_server, require_place
from csi_exoblock.errors import DriverError
from csi_exoblock.host.farewell import Farewell
from csi_exoblock.logs import Complaint
from csi_exoblock.pb import pluginregistration_pb2, pluginregistration_pb2_grpc
from csi_exoblock.pool import Pool
from csi_exoblock.timing import ProcessTiming

log = logging.getLogger(__name__)

_TYPE = "CSIPlugin"
# The version that kubelet compares; it names CSI's major version, not the specification's.
_SUPPORTED_VERSIONS = ("1.0.0",)

# Kubelet asks one question at a time.
_WORKERS = 2


class Registration(pluginregistration_pb2_grpc.RegistrationServicer):
    """Answers kubelet's questions on a socket in kubelet's folder of plugins.

    Kubelet acts on sockets that appear. So this socket appears only once the node's identity is
    known: before that NodeGetInfo fails, and a failed registration removes the driver from CSINode.
    If the socket vanishes, its folder does not exist yet, or another file is in its place, the
    driver tries again for ever; unless the pre-stop hook of an uninstalled plugin has removed the
    socket (S22). Before 1.36 kubelet doesn't repeat a registration that failed, so the socket
    appears again then, too.

    Args:
        path: The socket in kubelet's folder, as this process sees it.
        csi_path: The CSI socket, as kubelet sees it.
        wait_until_known: Returns once the node's identity is known; raises at the deadline.
    """

    def __init__(
        self,
        *,
        driver_name: str,
        path: Path,
        csi_path: Path,
        wait_until_known: Callable[[Deadline], object],
        timing: ProcessTiming,
    ) -> None:
        self._driver_name = driver_name
        self._path = path
        self._csi_path = csi_path
        self._wait_until_known = wait_until_known
        self._timing = timing
        self._waiting = Deadline(math.inf)
        self._pool = Pool(_WORKERS, name="registration")
        self._server: grpc.Server | None = None
        self._complaint = Complaint(
            log, "can't register with kubelet, still trying", level=logging.ERROR
        )
        self._again_at = math.inf  # in monotonic seconds
        self._pauses = self._first_pauses()
        self._farewell = Farewell(path)
        self._farewell.forget()

    def stop(self) -> None:
        """End the wait for the node's identity.

        The socket stays, because without it kubelet would forget the driver (S22).
        """
        self._waiting.cancel()

    def register(self) -> float:
        """Make the socket once the node's identity is known, and again whenever it vanishes.

        The CSI socket must answer already. Return the seconds until the next check.
        """
        try:
            self._wait_until_known(self._waiting)
        except DriverError:
            self._waiting = Deadline(math.inf)  # Deadline limits this to a day
            return 0.0
        if self._farewell.was_said():
            return self._timing.registration_check
        is_due = time.monotonic() >= self._again_at
        try:
            if self._server is None or is_due or not is_served(self._path):
                self._again_at = math.inf
                self._appear()
        except OSError as error:
            self._complaint.say(str(error))
            if is_due:
                self.repeat()
        else:
            self._complaint.end()
        return self._timing.registration_check

    def repeat(self) -> None:
        """Have the socket appear again at the next check, so that kubelet registers the driver."""
        self._again_at = time.monotonic()

    def GetInfo(
        self, request: pluginregistration_pb2.InfoRequest, context: grpc.ServicerContext
    ) -> pluginregistration_pb2.PluginInfo:
        """Return the driver's name and the path of its CSI socket."""
        return pluginregistration_pb2.PluginInfo(
            type=_TYPE,
            name=self._driver_name,
            endpoint=str(self._csi_path),
            supported_versions=_SUPPORTED_VERSIONS,
        )

    def NotifyRegistrationStatus(
        self, request: pluginregistration_pb2.RegistrationStatus, context: grpc.ServicerContext
    ) -> pluginregistration_pb2.RegistrationStatusResponse:
        """Log the result of the registration, and repeat one that failed (S27)."""
        if request.plugin_registered:
            log.info("registered with kubelet")
            self._pauses, self._again_at = self._first_pauses(), math.inf
        else:
            log.error("kubelet refused the registration", extra={"error": request.error})
            self._again_at = time.monotonic() + next(self._pauses)
        return pluginregistration_pb2.RegistrationStatusResponse()

    def _first_pauses(self) -> Iterator[float]:
        timing = self._timing
        return pauses(timing.registration_check, timing.registration_again_max, growth=2.0)

    def _appear(self) -> None:
        """Make a socket that answers from the moment kubelet sees it.

        It is bound under a name with a dot, which kubelet ignores, and then renamed. When gRPC
        stops it unlinks the name that it bound, so the renamed socket stays.

        Raises:
            OSError: The socket can't be made, or a file that is no socket is in its place.
        """
        hidden = self._path.with_name(f".{self._path.name}")
        require_place(self._path)
        hidden.unlink(missing_ok=True)
        server = new_server(self._pool)
        pluginregistration_pb2_grpc.add_RegistrationServicer_to_server(self, server)
        listen(server, hidden)
        hidden.rename(self._path)
        before, self._server = self._server, server
        if before is not None:  # only now, as it unlinks the hidden name whatever it leads to
            before.stop(0)  # without waiting: no client can find its socket any more
        log.info("waiting for kubelet", extra={"path": str(self._path)})
