"""Kubernetes' objects about running programs, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from csi_exoblock.commandline import flags_in
from csi_exoblock.kubernetes.access import Account
from csi_exoblock.kubernetes.fields import (
    Json,
    count,
    is_being_deleted,
    moment,
    objects,
    text,
    text_map,
    texts,
)

_SIDECARS = (
    "csi-provisioner",
    "csi-attacher",
    "csi-resizer",
    "csi-snapshotter",
    "csi-external-health-monitor-controller",
    "csi-node-driver-registrar",
    "livenessprobe",
)
"""The programs of Kubernetes that use a driver's socket, as the chart names their containers."""

# The environment variables of the driver's flags begin so; a flag overrides its variable.
_VARIABLES = "CSI_EXOBLOCK_"

_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of a pod's template.

    Attributes:
        flags: The values of its flags by name, from its arguments, and for the driver's own from
            its environment too; the value of a flag without one is `true`.
    """

    name: str
    image: str
    flags: Mapping[str, str]

    @classmethod
    def parse(cls, found: Json) -> Container:
        """Read a container."""
        variables = {
            name.removeprefix(_VARIABLES).lower().replace("_", "-"): value
            for each in objects(found, "env")
            if (name := text(each, "name")).startswith(_VARIABLES)
            and (value := text(each, "value"))  # an empty one counts as absent
        }
        return cls(
            name=text(found, "name"),
            image=text(found, "image"),
            flags=variables | flags_in((*texts(found, "command"), *texts(found, "args"))),
        )

    @property
    def sidecar(self) -> str:
        """The name of the CSI sidecar that it is, such as `csi-attacher`; empty if it is none."""
        return _sidecar(self.name, self.image)

    @property
    def tag(self) -> str:
        """The image's tag, empty if it has none."""
        return self.image.partition("@")[0].rpartition("/")[2].partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment or DaemonSet.

    Attributes:
        account: The service account of its pods.
        replicas: How many pods a Deployment is to have; `None` for a DaemonSet.
        wanted: How many pods it is to have, of either kind; 0 for a DaemonSet that nobody counted.
        selector: The labels of its pods.
    """

    namespace: str
    name: str
    account: Account
    replicas: int | None
    wanted: int
    selector: Mapping[str, str]
    containers: tuple[Container, ...]

    @classmethod
    def parse(cls, found: Json) -> Workload:
        """Read a Deployment or DaemonSet."""
        namespace, pod = text(found, "metadata", "namespace"), ("spec", "template", "spec")
        replicas = count(found, "spec", "replicas")
        of_nodes = count(found, "status", "desiredNumberScheduled") or 0
        return cls(
            namespace=namespace,
            name=text(found, "metadata", "name"),
            account=Account(namespace, text(found, *pod, "serviceAccountName") or "default"),
            replicas=replicas,
            wanted=of_nodes if replicas is None else replicas,
            selector=text_map(found, "spec", "selector", "matchLabels"),
            containers=tuple(map(Container.parse, objects(found, *pod, "containers"))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """The state of a container in a pod.

    Attributes:
        started_at: When its process started, `None` if none runs.
        waiting_reason: Why none runs, such as `CrashLoopBackOff`; empty if one does.
        ran_seconds: How long its last process but this one ran, 0.0 if there was none.
        ended_at: When that one ended, `None` if there was none.
        ended_reason: Why that one ended, such as `OOMKilled`.
    """

    name: str
    image: str
    restarts: int
    started_at: datetime | None
    waiting_reason: str
    ran_seconds: float
    ended_at: datetime | None
    ended_reason: str

    @classmethod
    def parse(cls, found: Json) -> ContainerStatus:
        """Read a container's status."""
        began = moment(found, "lastState", "terminated", "startedAt")
        ended = moment(found, "lastState", "terminated", "finishedAt")
        return cls(
            name=text(found, "name"),
            image=text(found, "image"),
            restarts=count(found, "restartCount") or 0,
            started_at=moment(found, "state", "running", "startedAt"),
            waiting_reason=text(found, "state", "waiting", "reason"),
            ran_seconds=(ended - began).total_seconds() if began and ended else 0.0,
            ended_at=ended,
            ended_reason=text(found, "lastState", "terminated", "reason"),
        )

    @property
    def sidecar(self) -> str:
        """The name of the CSI sidecar that it is, as `Container.sidecar`."""
        return _sidecar(self.name, self.image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod.

    Attributes:
        is_over: Whether it has ended for good, or is being deleted.
        is_ready: Whether all of it runs and works.
        unready_since: Since when it is not, `None` if that is not known.
        unready_reason: Why it has no node, or is not ready, in Kubernetes' words.
    """

    namespace: str
    name: str
    node_name: str
    init_containers: tuple[ContainerStatus, ...]
    containers: tuple[ContainerStatus, ...]
    is_over: bool
    is_ready: bool
    unready_since: datetime | None
    unready_reason: str

    @classmethod
    def parse(cls, found: Json) -> Pod:
        """Read a pod."""
        conditions = {text(each, "type"): each for each in objects(found, "status", "conditions")}
        missed = (conditions.get(each, {}) for each in ("PodScheduled", "Ready"))
        unmet = next((each for each in missed if text(each, "status") != "True"), {})
        return cls(
            namespace=text(found, "metadata", "namespace"),
            name=text(found, "metadata", "name"),
            node_name=text(found, "spec", "nodeName"),
            init_containers=_statuses(found, "initContainerStatuses"),
            containers=_statuses(found, "containerStatuses"),
            is_over=is_being_deleted(found) or text(found, "status", "phase") in _OVER,
            is_ready=text(conditions.get("Ready", {}), "status") == "True",
            unready_since=moment(unmet, "lastTransitionTime")
            or moment(found, "metadata", "creationTimestamp"),
            unready_reason=text(unmet, "message") or text(unmet, "reason"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A Lease, by which the replicas of a sidecar elect a leader.

    Attributes:
        holder: The leader, empty if there is none.
        duration_seconds: How long the lead lasts unless the leader renews it.
    """

    name: str
    holder: str
    renewed_at: datetime | None
    duration_seconds: int

    @classmethod
    def parse(cls, found: Json) -> Lease:
        """Read a Lease."""
        return cls(
            name=text(found, "metadata", "name"),
            holder=text(found, "spec", "holderIdentity"),
            renewed_at=moment(found, "spec", "renewTime"),
            duration_seconds=count(found, "spec", "leaseDurationSeconds") or 0,
        )


def _statuses(pod: Json, kind: str) -> tuple[ContainerStatus, ...]:
    return tuple(map(ContainerStatus.parse, objects(pod, "status", kind)))


def _sidecar(name: str, image: str) -> str:
    """Return which sidecar a container is by its own name, or by the end of its image's.

    A mirror can put anything before the image's name: `mirror/sig-storage--csi-attacher`.
    """
    program = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return next((each for each in _SIDECARS if each == name or program.endswith(each)), "")
