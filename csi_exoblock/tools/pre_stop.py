"""The hook of the node's container before it stops: waits for the volumes of a drained node.

It must start at once, so this module may not import gRPC.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.config import KubernetesSettings
from csi_exoblock.errors import DeadlineExceeded, DriverError, KubernetesDenied, NotFound
from csi_exoblock.host.farewell import Farewell
from csi_exoblock.kubernetes.client import Kubernetes
from csi_exoblock.kubernetes.server import ApiServer
from csi_exoblock.timing import Timing

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
    """Wait until the node no longer needs its plugin; it does while its volumes are detached.

    Args:
        cluster: The cluster in whose pod this runs, `None` outside of one.
        daemon_set: Namespace and name of the plugin's DaemonSet, `None` if no flag names it.
        registration_path: The plugin's socket for kubelet.
        say: Prints a line.

    Raises:
        DriverError: Kubernetes can't be read, or volumes are still attached at the time limit.
    """
    if cluster is None or cluster.node_name is None:
        say("nothing to wait for: this is no pod of Kubernetes, or --node-name is missing")
        return
    kubernetes = Kubernetes(ApiServer(cluster, timing=timing))
    if daemon_set and registration_path and _is_uninstalled(kubernetes, daemon_set, timing, say):
        say("the DaemonSet is deleted: kubelet removes the driver from CSINode")
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
    """Return whether the plugin is being uninstalled.

    An uninstall also removes the plugin's rights, so a denied request means the same.
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
    """Waits until a node that is leaving has no VolumeAttachments (S22).

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
        """Wait until no volume is attached, or the node is no longer leaving.

        Raises:
            DeadlineExceeded: Volumes are still attached, or Kubernetes did not answer.
            KubernetesDenied: The service account lacks the right.
        """
        deadline = Deadline(self._timing.pre_stop_timeout)
        # Without an API server nothing is detached, so the first question gets little time.
        if not self._ask(self._is_leaving, deadline.within(self._timing.pre_stop_patience)):
            self._say(f"node {self._node_name} stays: nothing to wait for")
            return
        rest = pauses(self._timing.pre_stop_initial, self._timing.pre_stop_max, growth=1.5)
        left = ""
        try:
            while names := self._ask(self._attached, deadline):
                left = f"{len(names)} volumes are attached: {', '.join(names[:_NAMED])}"
                self._say(f"node {self._node_name} is leaving; {left}")
                deadline.wait(next(rest))
                if not self._ask(self._is_leaving, deadline):
                    self._say(f"node {self._node_name} is no longer leaving")
                    return
        except DeadlineExceeded as error:
            if not left:
                raise
            raise DeadlineExceeded(
                f"node {self._node_name}: the time is over, but {left}"
            ) from error
        self._say(f"node {self._node_name}: no volume is attached")

    def _ask(self, question: Callable[[Deadline], T], deadline: Deadline) -> T:
        """Repeat a question until it is answered.

        Raises:
            DeadlineExceeded: There was no answer in time; the text has the last error.
            KubernetesDenied: The service account lacks the right.
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
        """Return whether the node is leaving, or gone."""
        try:
            node = self._kubernetes.get_node(self._node_name, deadline)
        except NotFound:
            return True
        return node.is_leaving

    def _attached(self, deadline: Deadline) -> list[str]:
        """Return the names of the driver's volumes that are still attached to the node."""
        return [
            each.volume_name or each.name
            for each in self._kubernetes.list_volume_attachments(deadline)
            if (each.node_name, each.driver_name) == (self._node_name, self._driver_name)
        ]
