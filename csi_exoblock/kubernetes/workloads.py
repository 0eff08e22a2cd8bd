"""Kubernetes' objects about running programs, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from csi_exoblock.kubernetes.access import Account
from csi_exoblock.kubernetes.fields import Json, count, moment, objects, text, text_map, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of a pod's template.

    Attributes:
        flags: The arguments `--name=value` by name; the value of a flag without one is `true`.
    """

    name: str
    image: str
    flags: Mapping[str, str]

    @classmethod
    def parse(cls, found: Json) -> Container:
        """Read a container."""
        words = (*texts(found, "command"), *texts(found, "args"))
        split = (word.lstrip("-").partition("=") for word in words if word.startswith("-"))
        return cls(
            name=text(found, "name"),
            image=text(found, "image"),
            flags={name: value if equals else "true" for name, equals, value in split},
        )

    @property
    def program(self) -> str:
        """The last part of the image's name, such as `csi-attacher`."""
        return self.image.partition("@")[0].rpartition("/")[2].partition(":")[0]

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
        selector: The labels of its pods.
    """

    namespace: str
    name: str
    account: Account
    replicas: int | None
    selector: Mapping[str, str]
    containers: tuple[Container, ...]

    @classmethod
    def parse(cls, found: Json) -> Workload:
        """Read a Deployment or DaemonSet."""
        namespace, pod = text(found, "metadata", "namespace"), ("spec", "template", "spec")
        return cls(
            namespace=namespace,
            name=text(found, "metadata", "name"),
            account=Account(namespace, text(found, *pod, "serviceAccountName") or "default"),
            replicas=count(found, "spec", "replicas"),
            selector=text_map(found, "spec", "selector", "matchLabels"),
            containers=tuple(map(Container.parse, objects(found, *pod, "containers"))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """The state of a container in a pod.

    Attributes:
        started_at: When its process started, `None` if none runs.
        waiting_reason: Why none runs, such as `CrashLoopBackOff`; empty if one does.
        ended_at: When its last process but this one ended, `None` if there was none.
        ended_reason: Why that one ended, such as `OOMKilled`.
    """

    name: str
    restarts: int
    started_at: datetime | None
    waiting_reason: str
    ended_at: datetime | None
    ended_reason: str

    @classmethod
    def parse(cls, found: Json) -> ContainerStatus:
        """Read a container's status."""
        return cls(
            name=text(found, "name"),
            restarts=count(found, "restartCount") or 0,
            started_at=moment(found, "state", "running", "startedAt"),
            waiting_reason=text(found, "state", "waiting", "reason"),
            ended_at=moment(found, "lastState", "terminated", "finishedAt"),
            ended_reason=text(found, "lastState", "terminated", "reason"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod."""

    namespace: str
    name: str
    node_name: str
    containers: tuple[ContainerStatus, ...]

    @classmethod
    def parse(cls, found: Json) -> Pod:
        """Read a pod."""
        return cls(
            namespace=text(found, "metadata", "namespace"),
            name=text(found, "metadata", "name"),
            node_name=text(found, "spec", "nodeName"),
            containers=tuple(
                map(ContainerStatus.parse, objects(found, "status", "containerStatuses"))
            ),
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
