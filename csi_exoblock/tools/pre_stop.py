"""What a node's container does before it is stopped: wait for the volumes of a drained node.

Kubelet runs it as a hook, so it starts at once: nothing here may import gRPC.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.config import KubernetesSettings, Timing
from csi_exoblock.errors import DeadlineExceeded, DriverError, KubernetesDenied, NotFound
from csi_exoblock.host.farewell import Farewell
from csi_exoblock.kubernetes.client import Kubernetes
from csi_exoblock.kubernetes.server import ApiServer

T = TypeVar("T")

_NAMED = 5


def run(
    cluster: KubernetesSettings | None,
    *,
    driver_name: str,
    daemon_set: tuple[str, str] | None,
    registration_path: Path | None,
    timing: Timing,
    say: Callable[[str], object],
) -> None:
    """Return when the node may lose its plugin: at once, unless its volumes are to leave it.

    Args:
        cluster: The cluster in whose pod this runs, `None` outside of one.
        daemon_set: Namespace and name of the plugin's DaemonSet, `None` if nobody says.
        registration_path: The plugin's socket for kubelet.
        say: Takes a line of the output.

    Raises:
        DriverError: Kubernetes can't be asked; or volumes are still attached, and the time is over.
    """
    if cluster is None or cluster.node_name is None:
        say("nothing to wait for: no pod of Kubernetes, or no --node-name")
        return
    kubernetes = Kubernetes(ApiServer(cluster, timing=timing))
    if daemon_set and registration_path and _is_uninstalled(kubernetes, daemon_set, timing, say):
        say("the DaemonSet is gone: kubelet forgets the driver")
        Farewell(registration_path).say()
        return
    PreStop(
        kubernetes,
        node_name=cluster.node_name,
        driver_name=driver_name,
        timing=timing,
        say=say,
    ).run()


def _is_uninstalled(
    kubernetes: Kubernetes,
    daemon_set: tuple[str, str],
    timing: Timing,
    say: Callable[[str], object],
) -> bool:
    """Tell whether the plugin is to go from here for good.

    Whoever uninstalls it takes its rights in the same moment, so to be refused means the same.
    """
    try:
        deadline = Deadline(timing.pre_stop_patience)
        return not kubernetes.is_daemon_set_wanted(*daemon_set, deadline)
    except KubernetesDenied:
        return True
    except DriverError as error:
        say(str(error))
        return False


class PreStop:
    """Waits for a node's VolumeAttachments to go, as long as the node is on its way out (S22).

    While a node is drained its pods end, and kubelet needs the plugin to unmount their volumes.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        *,
        node_name: str,
        driver_name: str,
        timing: Timing,
        say: Callable[[str], object],
    ) -> None:
        self._kubernetes = kubernetes
        self._node_name = node_name
        self._driver_name = driver_name
        self._timing = timing
        self._say = say

    def run(self) -> None:
        """Wait until nothing is attached any more, or the node stays.

        Raises:
            DeadlineExceeded: Volumes are still attached, or Kubernetes did not tell.
            KubernetesDenied: The service account may not ask.
        """
        deadline = Deadline(self._timing.pre_stop_timeout)
        # Whether to wait at all is known soon, or the API server is away, and nothing is detached.
        if not self._ask(self._is_leaving, deadline.within(self._timing.pre_stop_patience)):
            self._say(f"node {self._node_name} stays: nothing to wait for")
            return
        rest = pauses(self._timing.pre_stop_initial, self._timing.pre_stop_max, growth=1.5)
        left = ""
        try:
            while names := self._ask(self._attached, deadline):
                left = f"{len(names)} volumes are attached: {', '.join(names[:_NAMED])}"
                self._say(f"node {self._node_name} is being left; {left}")
                deadline.wait(next(rest))
                if not self._ask(self._is_leaving, deadline):
                    self._say(f"node {self._node_name} stays after all")
                    return
        except DeadlineExceeded as error:
            if not left:
                raise
            raise DeadlineExceeded(f"node {self._node_name}: time is over, {left}") from error
        self._say(f"node {self._node_name}: no volume is attached")

    def _ask(self, question: Callable[[Deadline], T], deadline: Deadline) -> T:
        """Ask until there is an answer.

        Raises:
            DeadlineExceeded: There is none in time; says why.
            KubernetesDenied: There won't be one.
        """
        rest = pauses(self._timing.pre_stop_initial, self._timing.pre_stop_max, growth=1.5)
        while True:
            try:
                return question(deadline)
            except KubernetesDenied:
                raise
            except DriverError as error:
                self._say(str(error))
                try:
                    deadline.wait(next(rest))
                except DeadlineExceeded:
                    raise DeadlineExceeded(f"Kubernetes gave no answer in time: {error}") from error

    def _is_leaving(self, deadline: Deadline) -> bool:
        """Tell whether the node is on its way out, or gone already."""
        try:
            node = self._kubernetes.get_node(self._node_name, deadline)
        except NotFound:
            return True
        return node.is_leaving

    def _attached(self, deadline: Deadline) -> list[str]:
        """Return the names of the driver's volumes that are not detached from the node yet."""
        return [
            each.volume_name or each.name
            for each in self._kubernetes.list_volume_attachments(deadline)
            if (each.node_name, each.driver_name) == (self._node_name, self._driver_name)
        ]
