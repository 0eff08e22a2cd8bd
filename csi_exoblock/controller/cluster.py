"""The id of this cluster, which tells its volumes from those of others (D11, D12, C4)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.errors import DriverError, KubernetesDenied, KubernetesUnavailable
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)


class Cluster:
    """The cluster's id: given by a flag, or read once from the cluster itself.

    Until it is read, every call that depends on it fails. Without it, a create would make a volume
    that no later call takes for this cluster's.

    Args:
        given: The id; empty for none, `None` to read it.
        read: Reads the id; raises DriverError if it can't. `None` outside a cluster.
    """

    def __init__(
        self, given: str | None, *, read: Callable[[Deadline], str] | None, timing: ControllerTiming
    ) -> None:
        self._id = given if given is not None or read is not None else ""
        self._read = read
        self._timing = timing
        self._failure = "Kubernetes was not asked yet"
        self._pauses = pauses(timing.readiness_initial, timing.readiness_max, growth=2.0)

    def id(self) -> str | None:
        """Return the id, `None` if there is none.

        Raises:
            KubernetesUnavailable: It isn't known yet.
        """
        if self._id is None:
            raise KubernetesUnavailable(self.trouble())
        return self._id or None

    def trouble(self) -> str:
        """Return why the id is not known yet; empty once it is."""
        if self.is_known():
            return ""
        return (
            f"the cluster's id is not known yet: {self._failure}; "
            "Kubernetes is asked again; or give the controller a --cluster-id"
        )

    def is_known(self) -> bool:
        """Return whether the id is known, or known to be none."""
        return self._id is not None

    def ask(self) -> float | None:
        """Ask once; return the seconds until the next time, `None` once the id is known."""
        if self._id is not None or self._read is None:
            return None
        try:
            self._id = self._read(Deadline(self._timing.kubernetes_timeout))
        except DriverError as error:
            self._failure = str(error)
            if not isinstance(error, KubernetesDenied):  # which the client logs, and less often
                log.warning("the cluster's id is not known yet", extra={"error": str(error)})
            return next(self._pauses)
        log.info("cluster known", extra={"cluster_id": self._id})
        return None
