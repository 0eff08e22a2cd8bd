"""What a support archive has of cloud and cluster: states, events, logs, metrics (F12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from csi_exoblock.kubernetes.access import Right
from csi_exoblock.kubernetes.fields import Json, at, objects, text, text_map
from csi_exoblock.kubernetes.workloads import Container, Pod, Workload
from csi_exoblock.tools import facts, status
from csi_exoblock.tools.bundle_archive import Archive
from csi_exoblock.tools.installation import DRIVER, LABEL, NEEDS, Installation
from csi_exoblock.tools.reach import Reach

_APPS = "/apis/apps/v1"
_STORAGE = "/apis/storage.k8s.io/v1"
_LOG_LINES = 4000
_PODS = 20  # of a large cluster: those of the controller, then nodes with restarts

_READ_EVENTS = Right(verb="list", resource="events")
_READ_LOGS = Right(verb="get", resource="pods/log")
_READ_PAGES = Right(verb="get", resource="pods/proxy")
_READ_NODES = Right(verb="list", resource="nodes")

_EVENTS_OF_STORAGE = frozenset(
    {"ProvisioningFailed", "FailedAttachVolume", "FailedDetachVolume", "FailedMount"}
    | {"FailedMapVolume", "FailedUnMount", "FailedScheduling", "VolumeResizeFailed"}
    | {"FileSystemResizeFailed", "FileSystemResizeRequired", "VolumeFailedDelete", "FailedBinding"}
    | {"SnapshotCreationFailed", "SnapshotContentCreationFailed", "SnapshotDeleteError"}
)
# Kubernetes' own words. In those of the others another driver can have written its mount options.
_EVENTS_OF_KUBERNETES = frozenset({"FailedScheduling", "FailedBinding"})
_OPEN_LABELS = ("app.kubernetes.io/", "helm.sh/")
_PROXY = "HTTPS_PROXY"
_OPEN_VARIABLES = ("CSI_EXOBLOCK_", "NO_PROXY", "KUBE_NODE_NAME", "EXOSCALE_API_EN")


def collect(reach: Reach, archive: Archive) -> None:
    """Add to an archive what this user may read, the most important first."""
    if reach.has_kubernetes:
        _Evidence(reach, archive).collect()
    else:
        archive.miss("everything of Kubernetes", "kubectl is not installed")


class _Evidence:
    def __init__(self, reach: Reach, archive: Archive) -> None:
        self._reach = reach
        self._installation = Installation(reach)
        self._archive = archive
        self._evidence = reach.evidence()
        # What an event about the driver names: it, or one of its PersistentVolumes, in quotes.
        self._names = [reach.driver_name]

    def collect(self) -> None:
        self._part("status", facts.needs(self._reach), self._status)
        self._part("version of Kubernetes", (), self._version)
        self._part("workloads and pods", NEEDS, self._workloads)
        self._part("logs", (*NEEDS, _READ_LOGS), self._logs)
        self._part("metrics", (*NEEDS, _READ_PAGES), self._metrics)
        self._part("events", (_READ_EVENTS,), self._events)
        self._part("nodes", (_READ_NODES,), self._nodes)
        for kind in ("csidrivers", "csinodes", "storageclasses", "volumeattachments"):
            right = Right(verb="list", group="storage.k8s.io", resource=kind)
            self._part(kind, (right,), partial(self._of_storage, kind))

    def _part(self, what: str, needs: Iterable[Right], read: Callable[[], None]) -> None:
        def permitted() -> None:
            if right := self._reach.missing_right(needs):
                self._archive.miss(what, f"this service account may not {right}")
            else:
                read()

        self._archive.collect(what, permitted)

    def _status(self) -> None:
        seen = facts.gather(self._reach)
        found = status.rows(seen)
        self._names += [f'"{each.name}"' for each in seen.volumes]
        self._archive.add("status.txt", status.as_text(found, seen))
        self._archive.add_json("status.json", status.as_values(found, seen))

    def _version(self) -> None:
        found = self._evidence.get("/version", self._reach.deadline())
        self._archive.add_json("kubernetes/version.json", found)

    def _workloads(self) -> None:
        ours = {(each.namespace, each.name) for each in self._installation.workloads}
        for kind in ("deployments", "daemonsets"):
            found = self._evidence.list(
                f"{_APPS}/{kind}", self._reach.deadline(), query={"labelSelector": LABEL}
            )
            self._objects(kind, (each for each in found if _name(each) in ours))
        pods = {(each.namespace, each.name) for each in self._installation.pods}
        self._objects("pods", (each for each in self._pods() if _name(each) in pods))

    def _pods(self) -> Iterator[Json]:
        for workload in self._installation.workloads:
            labels = ",".join(f"{name}={value}" for name, value in workload.selector.items())
            path = f"/api/v1/namespaces/{workload.namespace}/pods"
            yield from self._evidence.list(
                path, self._reach.deadline(), query={"labelSelector": labels}
            )

    def _logs(self) -> None:
        for workload, pod in self._chosen("logs"):
            for container in pod.containers:
                self._log(pod, container.name, old=False)
                if container.restarts:
                    self._log(pod, container.name, old=True)
            if not pod.containers:
                self._archive.miss(f"logs of {pod.name}", f"no container of {workload.name} runs")

    def _log(self, pod: Pod, container: str, *, old: bool) -> None:
        name = f"logs/{pod.name}/{container}{'.before' if old else ''}.log"
        read = partial(
            self._evidence.get_log,
            pod.name,
            container,
            self._reach.deadline(),
            namespace=pod.namespace,
            lines=_LOG_LINES,
            old=old,
        )
        self._archive.collect(name, lambda: self._archive.add(name, read()))

    def _metrics(self) -> None:
        for workload, pod in self._chosen("metrics"):
            (driver,) = (each for each in workload.containers if each.name == DRIVER)
            self._page(pod, _page_of_metrics(driver))

    def _page(self, pod: Pod, page: tuple[str, str, str] | None) -> None:
        name = f"metrics/{pod.name}.txt"
        if page is None:
            self._archive.miss(name, "the driver runs without --http-endpoint")
            return
        prefix, port, path = page
        read = partial(
            self._evidence.get_page,
            f"{prefix}{pod.name}",
            self._reach.deadline(),
            namespace=pod.namespace,
            port=port,
            path=path,
        )
        self._archive.collect(name, lambda: self._archive.add(name, read()))

    def _chosen(self, what: str) -> list[tuple[Workload, Pod]]:
        """Return the pods whose logs and metrics are collected, and note the others."""
        found = sorted(
            self._installation.placed,
            key=lambda each: (each[0].replicas is None, _is_quiet(each[1])),
        )
        for _, pod in found[_PODS:]:
            self._archive.miss(f"{what} of {pod.name}", f"only those of {_PODS} pods are")
        return found[:_PODS]

    def _events(self) -> None:
        """Add the events about the driver, and the reasons of all others about storage."""
        namespaces = self._installation.namespaces
        seen: dict[str, Json] = {}
        for namespace in namespaces:
            path = f"/api/v1/namespaces/{namespace}/events"
            for each in self._evidence.list(path, self._reach.deadline()):
                if self._is_ours(each):
                    seen[text(each, "metadata", "uid")] = each
        warnings = self._evidence.list(
            "/api/v1/events", self._reach.deadline(), query={"fieldSelector": "type=Warning"}
        )
        for each in warnings:
            if self._is_ours(each) or text(each, "reason") in _EVENTS_OF_KUBERNETES:
                seen[text(each, "metadata", "uid")] = each
            elif text(each, "reason") in _EVENTS_OF_STORAGE:
                seen[text(each, "metadata", "uid")] = _without(each, "message")
        events = sorted(seen.values(), key=lambda each: text(each, "lastTimestamp"))
        self._objects("events", map(_without_labels, events))

    def _is_ours(self, event: Json) -> bool:
        """Return whether an event is about our pods, or tells of the driver."""
        about = text(event, "involvedObject", "name")
        told = f"{event.get('message')} {event.get('source')}"
        return any(about.startswith(each.name) for each in self._installation.workloads) or (
            any(each in told for each in self._names)
        )

    def _nodes(self) -> None:
        found = self._evidence.list("/api/v1/nodes", self._reach.deadline())
        self._archive.add_json("kubernetes/nodes.json", [_node(each) for each in found])

    def _of_storage(self, kind: str) -> None:
        found = self._evidence.list(f"{_STORAGE}/{kind}", self._reach.deadline())
        driver = self._reach.driver_name
        ours = found if kind == "csinodes" else [each for each in found if driver in _owner(each)]
        self._objects(kind, map(_without_labels, ours))

    def _objects(self, kind: str, found: Iterable[Json]) -> None:
        self._archive.add_json(f"kubernetes/{kind}.json", [_cleaned(each) for each in found])


def _name(found: Json) -> tuple[str, str]:
    return text(found, "metadata", "namespace"), text(found, "metadata", "name")


def _owner(found: Json) -> tuple[str, str, str]:
    """Return where a CSIDriver, StorageClass or VolumeAttachment names its driver."""
    return (
        text(found, "metadata", "name"),
        text(found, "provisioner"),
        text(found, "spec", "attacher"),
    )


def _is_quiet(pod: Pod) -> bool:
    return not any(each.restarts or each.waiting_reason for each in pod.containers)


def _page_of_metrics(driver: Container) -> tuple[str, str, str] | None:
    """Return prefix, port and path of the driver's metrics, `None` if it serves none."""
    port = driver.flags.get("http-endpoint", "").rpartition(":")[2]
    if not port.isdecimal():
        return None
    scheme = "https:" if "metrics-cert-file" in driver.flags else ""
    return scheme, port, driver.flags.get("metrics-path", "/metrics")


def _cleaned(found: object) -> object:
    """Return an object without annotations, users' labels, who changed it, and most variables."""
    if isinstance(found, list | tuple):
        return [_cleaned(each) for each in found]
    if not isinstance(found, dict):
        return found
    kept = {
        key: _cleaned(each)
        for key, each in found.items()
        if key not in ("annotations", "managedFields")
    }
    if isinstance(kept.get("labels"), dict):
        labels = text_map(found, "labels")
        kept["labels"] = {key: each for key, each in labels.items() if key.startswith(_OPEN_LABELS)}
    if isinstance(kept.get("env"), list):
        kept["env"] = [_variable(each) for each in objects(found, "env")]
    return kept


def _variable(found: Json) -> Json:
    name, value = text(found, "name"), text(found, "value")
    if name == _PROXY:  # anything can stand before the last @, so no pattern finds all passwords
        return {**found, "value": value.rpartition("@")[2]}
    is_open = name.startswith(_OPEN_VARIABLES)
    return found if is_open or "value" not in found else {**found, "value": "[removed]"}


def _without_labels(found: Json) -> Json:
    """Return an object without the labels that its owner chose."""
    metadata = at(found, "metadata")
    if not isinstance(metadata, dict):
        return found
    return {**found, "metadata": _without(metadata, "labels")}


def _without(found: Json, name: str) -> Json:
    return {key: each for key, each in found.items() if key != name}


def _node(found: Json) -> Mapping[str, object]:
    """Return what matters of a Node for its volumes."""
    labels = text_map(found, "metadata", "labels")
    known = ("topology.kubernetes.io/", "node.kubernetes.io/", "kubernetes.io/arch")
    status_fields = ("nodeInfo", "conditions", "volumesAttached", "volumesInUse")
    return {
        "name": text(found, "metadata", "name"),
        "labels": {key: each for key, each in labels.items() if key.startswith(known)},
        "providerID": text(found, "spec", "providerID"),
        "taints": at(found, "spec", "taints"),
        "status": {each: at(found, "status", each) for each in status_fields},
    }
