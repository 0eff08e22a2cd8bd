"""How a command reaches cloud and cluster: in a pod of the driver, or outside of the cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from csi_exoblock.app.cloud import unwatched_cloud
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import ApiSettings, ControllerSettings, KubernetesSettings
from csi_exoblock.controller.labels import Labels
from csi_exoblock.errors import DriverError, KubernetesUnavailable
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.kubernetes.access import AccessReviews, Right
from csi_exoblock.kubernetes.client import Kubernetes
from csi_exoblock.kubernetes.evidence import Evidence
from csi_exoblock.kubernetes.inventory import Inventory
from csi_exoblock.kubernetes.server import ApiServer
from csi_exoblock.kubernetes.source import Source
from csi_exoblock.model import ZoneName
from csi_exoblock.timing import Timing
from csi_exoblock.tools.kubectl import DEFAULT_NAMESPACE, Kubectl
from csi_exoblock.tools.read_once import ReadOnce

CLUSTER_ID = Right(verb="get", resource="namespaces", name="kube-system")
"""The right to read the cluster's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The settings that a command's flags give.

    Attributes:
        ownership: Returns what tells this cluster's volumes from others', from the flags of the
            driver that is installed, where a command has none of its own.
        cluster: The cluster in whose pod this runs, `None` outside of one.
        kubeconfig: The file for kubectl, `None` for its own choice.
        context: The context in the kubeconfig; empty for the current one.
    """

    api: ApiSettings
    driver_name: str
    ownership: Callable[[Mapping[str, str]], ControllerSettings]
    cluster: KubernetesSettings | None
    kubeconfig: Path | None
    context: str
    timing: Timing


class Reach:
    """Cloud and cluster.

    Args:
        reads_once: Whether Kubernetes is asked only once for each object.
    """

    def __init__(self, wanted: Wanted, *, reads_once: bool = False) -> None:
        self.timing = wanted.timing
        self.driver_name = wanted.driver_name
        self.cloud: Cloud = unwatched_cloud(wanted.api, timing=wanted.timing)
        self._kubectl = _kubectl(wanted)
        source: Source | None = self._kubectl
        if wanted.cluster is not None:
            source = ApiServer(wanted.cluster, timing=wanted.timing)
        self._source = ReadOnce(source) if source and reads_once else source
        self.is_in_pod = wanted.cluster is not None
        self.is_proxied = wanted.api.proxy is not None
        self._ownership = wanted.ownership
        self._no_zones: DriverError | None = None

    def kubernetes(self) -> Kubernetes:
        """Return the client for the driver's own requests.

        Raises:
            KubernetesUnavailable: This is no pod, and there is no kubectl.
        """
        return Kubernetes(self._require_source())

    def inventory(self) -> Inventory:
        """Return the client for the requests of commands only; raises as `kubernetes`."""
        return Inventory(self._require_source())

    def evidence(self) -> Evidence:
        """Return the client for a support archive; raises as `kubernetes`."""
        return Evidence(self._require_source())

    def reviews(self) -> AccessReviews:
        """Return the client for questions about rights; raises as `kubernetes`."""
        return AccessReviews(self._require_source())

    @property
    def has_kubernetes(self) -> bool:
        """Whether there is a way to Kubernetes."""
        return self._source is not None

    def labels(self, deadline: Deadline, *, installed: Mapping[str, str]) -> Labels:
        """Return the labels by which this cluster's volumes are known.

        Args:
            installed: The flags of the driver that is installed.

        Raises:
            KubernetesError: No flag gives the cluster's id, and it can't be read.
        """
        ownership = self._ownership(installed)
        cluster_id = ownership.cluster_id
        if cluster_id is None:
            cluster_id = self.kubernetes().get_cluster_uid(deadline)
        return Labels(ownership, cluster=lambda: cluster_id or None)

    def namespace(self) -> str:
        """Return the namespace of kubectl's context; `default` in a pod, or without kubectl.

        Raises:
            KubernetesUnavailable: The kubeconfig can't be read, or has no such context.
        """
        if self._kubectl is None:
            return DEFAULT_NAMESPACE
        return self._kubectl.namespace(Deadline(self.timing.status_timeout))

    @property
    def kubectl_flags(self) -> tuple[str, ...]:
        """The flags with which another kubectl reaches the same cluster."""
        return self._kubectl.flags if self._kubectl else ()

    @property
    def label_needs(self) -> tuple[Right, ...]:
        """The rights in Kubernetes that `labels` needs."""
        return () if self._ownership({}).cluster_id is not None else (CLUSTER_ID,)

    def missing_right(self, needed: Iterable[Right]) -> Right | None:
        """Return the first right that this pod's service account lacks, `None` if it has all.

        Outside of a pod nothing is asked: there a request without a right only fails. In a pod it
        would fill the cluster's audit log too (S23).
        """
        if not self.is_in_pod:
            return None
        reviews = self.reviews()
        return next((each for each in needed if not reviews.may_i(each, self.deadline())), None)

    def close(self) -> None:
        """End what was started to reach them."""
        if self._kubectl is not None:
            self._kubectl.close()

    def zones(self) -> tuple[ZoneName, ...]:
        """Return the names of the zones in scope.

        An API that can't be reached is not asked again: each attempt takes up to half a minute, and
        a command has many questions for it.

        Raises:
            DriverError: As `Cloud.zones` does; the second time the same error again.
        """
        if self._no_zones is not None:
            raise self._no_zones
        try:
            return tuple(self.cloud.zones(Deadline(self.timing.status_timeout)))
        except DriverError as error:
            self._no_zones = error
            raise

    def log_in(self) -> None:
        """Have kubectl log in to the cluster, where it is asked and has not yet.

        Raises:
            KubernetesUnavailable: It fails, or has failed before: each time the same error.
        """
        if self._kubectl is not None:
            self._kubectl.log_in()

    @property
    def lacks_login(self) -> bool:
        """Whether kubectl has failed to log in."""
        return self._kubectl is not None and self._kubectl.has_failed_to_log_in

    def deadline(self, seconds: float | None = None) -> Deadline:
        """Return the deadline of requests to Kubernetes that begin now; raises as `log_in`.

        A login can take minutes, which do not count.
        """
        self.log_in()
        return Deadline(seconds or self.timing.status_timeout)

    def rest(self) -> None:
        """Wait for the interval of `--watch`."""
        threading.Event().wait(self.timing.status_interval)

    def _require_source(self) -> Source:
        if self._source is None:
            raise KubernetesUnavailable(
                "this is no pod of Kubernetes, and kubectl is not installed"
            )
        return self._source


def _kubectl(wanted: Wanted) -> Kubectl | None:
    if wanted.cluster is not None or not Kubectl.is_installed():
        return None
    return Kubectl(kubeconfig=wanted.kubeconfig, context=wanted.context, timing=wanted.timing)
