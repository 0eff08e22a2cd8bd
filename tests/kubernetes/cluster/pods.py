"""Pods that use storage, alone and in stateful sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.kubernetes.cluster.api import POD, STATEFUL_SET
from tests.kubernetes.cluster.claims import DEFAULT_CLASS, BoundVolume, Claim
from tests.kubernetes.cluster.images import BUSYBOX
from tests.kubernetes.cluster.namespace import PATIENCE_SECONDS, Namespace
from tests.kubernetes.cluster.node_objects import OBJECT_ONLY
from tests.kubernetes.cluster.places import KUBELET

_NAME_LABEL = "pod"
_NODE_LABEL = "kubernetes.io/hostname"
_ZONE_LABEL = "topology.kubernetes.io/zone"
# A shell as process 1 ignores TERM unless told otherwise, and its pod would end by a time-out.
WAIT_FOR_TERM = "trap 'exit 0' TERM; sleep 1000000 & wait"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of one container, in which commands can be run."""

    namespace: Namespace
    name: str

    @classmethod
    def create(
        cls,
        namespace: Namespace,
        name: str = "app",
        *,
        mounts: Mapping[str, Claim] | None = None,
        devices: Mapping[str, Claim] | None = None,
        ephemeral: Mapping[str, str] | None = None,
        empty: str = "",
        read_only: bool = False,
        fs_group: int | None = None,
        zone: str = "",
        preferred_zone: str = "",
        node: str = "",
        apart_from: Pod | None = None,
        script: str = WAIT_FOR_TERM,
        restart_policy: str = "Always",
    ) -> Self:
        """Start a pod.

        Args:
            mounts: Claims, by the path where their file system is to be.
            devices: Claims, by the path where their block device is to be.
            ephemeral: Sizes of volumes that live as long as the pod, by the path of each.
            empty: The path of a folder of the node's, empty for none.
            read_only: Mount every claim read-only.
            fs_group: The group that the files shall belong to; the pod then runs as user 1000.
            zone: Run only on nodes of this zone.
            preferred_zone: Run on nodes of this zone if there is room, else on any.
            node: Run only on this node.
            apart_from: Run on any node but that pod's.
        """
        by_path = {**(mounts or {}), **(devices or {})}
        paths = (*by_path, *(ephemeral or {}), *([empty] if empty else []))
        names = {path: path.strip("/").replace("/", "-") for path in paths}
        container: dict[str, object] = {
            **_container(script),
            "volumeMounts": [
                {"name": name, "mountPath": path}
                for path, name in names.items()
                if path not in (devices or {})
            ],
            "volumeDevices": [{"name": names[path], "devicePath": path} for path in devices or {}],
        }
        volumes = [
            _volume_of_claim(names[path], claim, read_only) for path, claim in by_path.items()
        ]
        volumes += [_ephemeral(names[path], size) for path, size in (ephemeral or {}).items()]
        volumes += [{"name": names[empty], "emptyDir": {}}] if empty else []
        spec: dict[str, object] = {
            "containers": [container],
            "volumes": volumes,
            "restartPolicy": restart_policy,
            "terminationGracePeriodSeconds": 5,
        }
        if fs_group is not None:
            spec["securityContext"] = {"fsGroup": fs_group, "runAsUser": 1000}
        if zone:
            spec["nodeSelector"] = {_ZONE_LABEL: zone}
        if node:
            spec["nodeSelector"] = {_NODE_LABEL: node}
        spec["affinity"] = {
            **(_preference(preferred_zone) if preferred_zone else {}),
            **(_distance(apart_from) if apart_from else {}),
        }
        if zone or preferred_zone or node:
            spec["tolerations"] = [{"key": OBJECT_ONLY, "value": namespace.name}]
        namespace.add(POD, name, {"spec": spec}, labels={_NAME_LABEL: name})
        return cls(namespace, name)

    def run(self, script: str) -> str:
        """Run a shell script in it and return what that printed, without space at the end."""
        return self.namespace.kubectl("exec", self.name, "--", "sh", "-c", script).rstrip()

    def wait_running(self, seconds: float = PATIENCE_SECONDS) -> Self:
        """Return it as soon as it runs."""
        return self._wait_phase("Running", seconds)

    def wait_succeeded(self) -> Self:
        """Return it as soon as its script has ended well."""
        return self._wait_phase("Succeeded", PATIENCE_SECONDS)

    def delete(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Delete it and return when it is gone, which is after its volumes are unmounted."""
        self.namespace.delete(POD, self.name, seconds)

    def abandon(self) -> None:
        """Strike it from the books, as is done with pods whose node has no kubelet any more."""
        self.namespace.kubectl(
            "delete", "pod", self.name, "--force", "--grace-period=0", "--ignore-not-found"
        )

    def wait_event(self, *words: str) -> str:
        """Return the first event about it that has all these words."""
        return self.namespace.wait_event(self.name, *words)

    @property
    def phase(self) -> str:
        """`Pending`, `Running`, `Succeeded` or `Failed`; empty when it is gone."""
        pod = self.namespace.find(POD, self.name)
        return pod.text("status", "phase") if pod else ""

    @property
    def uid(self) -> str:
        """What tells it from another pod of its name."""
        return self.namespace.get(POD, self.name).text("metadata", "uid")

    def published_at(self, volume: BoundVolume) -> Path:
        """Return where on the node the driver shows it a volume's file system."""
        return KUBELET / "pods" / self.uid / "volumes/kubernetes.io~csi" / volume.name / "mount"

    @property
    def restarts(self) -> int:
        """How often its container was started again."""
        pod = self.namespace.get(POD, self.name)
        statuses = pod.documents("status", "containerStatuses")
        return sum(status.number("restartCount") for status in statuses)

    @property
    def volume_health(self) -> dict[str, str]:
        """What its status says is wrong with its volumes: messages by `<status> <reason>`."""
        status = self.namespace.get(POD, self.name).document("status")
        return {
            f"{condition.text('status')} {condition.text('reason')}": condition.text("message")
            for volume in status.documents("volumeHealth")
            for condition in volume.documents("healthConditions")
        }

    def _wait_phase(self, phase: str, seconds: float) -> Self:
        promise = f"pod {self.name} is {phase}"
        self.namespace.wait(lambda: self.phase == phase, promise, seconds=seconds)
        return self


@dataclass(frozen=True, slots=True)
class StatefulSet:
    """A stateful set whose pods have one claim each, mounted at /data."""

    namespace: Namespace
    name: str

    @classmethod
    def create(cls, namespace: Namespace, name: str = "set", *, replicas: int) -> Self:
        """Start a stateful set, all pods at once."""
        labels = {"set": name}
        container = {
            **_container(WAIT_FOR_TERM),
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 5},
        }
        spec = {
            "replicas": replicas,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": template,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": _claim_spec("1Gi")}],
        }
        namespace.add(STATEFUL_SET, name, {"spec": spec})
        return cls(namespace, name)

    def pod(self, ordinal: int) -> Pod:
        """Return one of its pods, running or not."""
        return Pod(self.namespace, f"{self.name}-{ordinal}")

    def claim(self, ordinal: int) -> Claim:
        """Return the claim of one of its pods."""
        return Claim(self.namespace, f"data-{self.name}-{ordinal}")

    def scale(self, replicas: int) -> None:
        """Ask for a number of pods, as a user would."""
        self.namespace.kubectl("scale", "statefulset", self.name, f"--replicas={replicas}")

    def wait_pods_gone(self, ordinals: range) -> None:
        """Return when these pods are gone."""
        pods = [self.pod(ordinal) for ordinal in ordinals]
        gone = f"pods {ordinals} of {self.name} are gone"
        self.namespace.wait(lambda: not any(pod.phase for pod in pods), gone)


def _container(script: str) -> dict[str, object]:
    return {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
    }


def _volume_of_claim(name: str, claim: Claim, read_only: bool) -> dict[str, object]:
    source = {"claimName": claim.name, "readOnly": read_only}
    return {"name": name, "persistentVolumeClaim": source}


def _preference(zone: str) -> dict[str, object]:
    in_zone = {"key": _ZONE_LABEL, "operator": "In", "values": [zone]}
    term = {"weight": 100, "preference": {"matchExpressions": [in_zone]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


def _distance(pod: Pod) -> dict[str, object]:
    term = {
        "labelSelector": {"matchLabels": {_NAME_LABEL: pod.name}},
        "topologyKey": _NODE_LABEL,
    }
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _ephemeral(name: str, size: str) -> dict[str, object]:
    return {"name": name, "ephemeral": {"volumeClaimTemplate": {"spec": _claim_spec(size)}}}


def _claim_spec(size: str) -> dict[str, object]:
    return {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": DEFAULT_CLASS,
        "resources": {"requests": {"storage": size}},
    }
