"""The chart on the tests' Kubernetes: Helm installs it, and pods run the image that is shipped."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

import yaml

from tests.chart.helm import CHART, NAMESPACE, RELEASE, helm
from tests.install.containers import Container, running_containers
from tests.install.image import build_image, save_image
from tests.kubernetes.cluster import images
from tests.kubernetes.cluster.api import NODE, POD
from tests.kubernetes.cluster.cloud import CREDENTIALS, Cloud
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.documents import Document
from tests.kubernetes.cluster.installation import install_snapshot_definitions
from tests.kubernetes.cluster.machine import FIRST, Machine
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.packages import PACKAGES
from tests.kubernetes.cluster.places import (
    DEVICES,
    KUBECONFIG,
    KUBELET,
    NODE_NAME,
    STATE,
)
from tests.kubernetes.cluster.programs import build_programs
from tests.kubernetes.cluster.sidecars import snapshot_controller
from tests.kubernetes.cluster.ways import CLOUD_ENDPOINT, open_ways
from tests.support.debian_packages import install_packages
from tests.support.waiting import wait_until

ATTACH_LIMIT: Final = 30
_IMAGES = STATE / "images"
_PODS = 3  # two controllers, and the plugin of the one node
_CONTAINERS = 11  # the plugin, and in each controller four sidecars too
# Images that the examples name, in place of those of that name.
_BUSYBOX = "docker.io/library/busybox:1.37"
_KUBECTL = "registry.k8s.io/kubectl:v1.37.2"
_VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
_VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
# What a cluster on Exoscale would have by itself: where the API is, and the disks' links.
VALUES: Final[Mapping[str, Any]] = {
    "credentials": {
        "apiKey": CREDENTIALS["EXOSCALE_API_KEY"],
        "apiSecret": CREDENTIALS["EXOSCALE_API_SECRET"],
    },
    "controller": {
        "apiEndpoint": CLOUD_ENDPOINT,
        "additionalArgs": ["--allow-plain-http=true"],
        "logFormat": "text",
    },
    "node": {
        "kubeletPath": str(KUBELET),
        "volumeAttachLimit": ATTACH_LIMIT,
        "additionalArgs": [f"--device-dir={DEVICES}"],
        "logFormat": "text",
        "volumes": [{"name": "links", "hostPath": {"path": str(DEVICES), "type": "Directory"}}],
        "volumeMounts": [{"name": "links", "mountPath": str(DEVICES)}],
    },
}


class HelmInstallation:
    """The cluster, the cloud, and the chart between them."""

    def __init__(self) -> None:
        self.programs = build_programs()
        self.cluster = Cluster(self.programs)
        self.cloud = Cloud()
        self.system = Namespace(self.cluster, NAMESPACE)
        self._snapshot_controller = snapshot_controller(self.programs)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Run a cluster with everything but the driver during the block."""
        install_packages(PACKAGES)
        installation = cls()
        try:
            installation.start()
            yield installation
        finally:
            installation.stop()

    def start(self) -> None:
        """Start all but the driver, with its images at hand."""
        build_image()
        self.cluster.start()
        open_ways()
        self._write_images()
        self.import_images(FIRST)
        install_snapshot_definitions(self.cluster)
        DEVICES.mkdir(exist_ok=True)
        self.cloud.start()
        self.cloud.set_quota("block-storage-volume-attachments", ATTACH_LIMIT)
        # Flows side by side have volumes of 10 TiB, and none waits for the room of another: what
        # is deleted still counts for minutes.
        self.cloud.set_quota("block-storage", 1_000_000)
        self._snapshot_controller.start()

    def stop(self) -> None:
        """Stop everything and leave nothing of it on the machine."""
        self.cloud.close()
        self.cluster.stop()

    def install(self, *options: str, wait: bool = True) -> str:
        """Install the chart with the tests' values, and return what Helm says.

        Args:
            wait: Return only once it is rolled out; users do not wait unless they say so.

        Raises:
            subprocess.CalledProcessError: Helm gave up; its words are in `stderr`.
        """
        return self._helm("install", RELEASE, str(CHART), *self._values(), *options, wait=wait)

    def upgrade(self, *options: str, wait: bool = True) -> str:
        """Change the installation: the tests' values, and what the options add to them."""
        return self._helm("upgrade", RELEASE, str(CHART), *self._values(), *options, wait=wait)

    def uninstall(self) -> None:
        """Take the driver away, if it is there, and return when its pods are gone."""
        self._helm("uninstall", RELEASE, "--ignore-not-found")
        wait_until(lambda: not self.cluster.attach_limit, "CSINode forgets the driver")

        def are_gone() -> bool:
            return not any(self.pods(component) for component in ("controller", "node"))

        self.system.wait(are_gone, "the driver's pods are gone")

    def wait_ready(self) -> None:
        """Return when every pod of the driver is ready, and kubelet knows the driver."""

        def are_ready() -> bool:
            pods = [*self.pods("controller"), *self.pods("node")]
            return len(pods) == _PODS and all(is_ready(pod) for pod in pods)

        self.system.wait(are_ready, "the driver's pods are ready")
        self.system.wait(lambda: self.cluster.attach_limit, "CSINode lists the driver")

    def containers(self) -> list[Container]:
        """Return what runs of the driver's pods on this machine."""
        return running_containers([*self.pods("controller"), *self.pods("node")])

    def all_containers(self) -> list[Container]:
        """Return every container once all run: a sidecar that lost its lease is started again."""

        def complete() -> list[Container]:
            found = self.containers()
            return found if len(found) == _CONTAINERS else []

        return self.system.wait(complete, f"{_CONTAINERS} containers of the driver run")

    def node_log(self) -> str:
        """Return what the node plugin that runs now has said."""
        (pod,) = self.pods("node")
        return self.system.kubectl("logs", pod.text("metadata", "name"))

    @contextmanager
    def cordoned(self) -> Iterator[None]:
        """Let the scheduler put nothing on the first node during the block, as a drain begins."""
        self.cluster.api.patch(NODE, NODE_NAME, {"spec": {"unschedulable": True}})
        try:
            yield
        finally:
            self.cluster.api.patch(NODE, NODE_NAME, {"spec": {"unschedulable": None}})

    @contextmanager
    def without_snapshot_definitions(self) -> Iterator[None]:
        """Have no snapshot CRDs in the cluster during the block; the controller stops for it."""
        self._snapshot_controller.stop()
        self.cluster.kubectl("delete", "crd", "--all")
        try:
            yield
        finally:
            self.install_snapshot_definitions()

    def install_snapshot_definitions(self) -> None:
        """Install CRDs and snapshot controller, as an administrator does who wants snapshots."""
        install_snapshot_definitions(self.cluster)
        if self._snapshot_controller.pid is None:
            self._snapshot_controller.start()

    def pods(self, component: str) -> list[Document]:
        """Return the pods of a component: `controller` or `node`."""
        label = "app.kubernetes.io/component"
        return [
            pod
            for pod in self.cluster.api.list(POD, NAMESPACE)
            if pod.texts("metadata", "labels").get(label) == component
        ]

    def _helm(self, verb: str, *arguments: str, wait: bool = True) -> str:
        command = [str(helm()), verb, *arguments, f"--kubeconfig={KUBECONFIG}"]
        command += [f"--namespace={NAMESPACE}", "--timeout=3m", *(["--wait"] if wait else [])]
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr)
            raise

    def _values(self) -> list[str]:
        path = STATE / "values.yaml"
        path.write_text(yaml.safe_dump(dict(VALUES)))
        return [f"--values={path}"]

    def import_images(self, machine: Machine) -> None:
        """Give a node all images that the chart and the flows name."""
        machine.import_images(_IMAGES.glob("*.tar"))
        machine.tag_image(images.BUSYBOX, _BUSYBOX)

    def _write_images(self) -> None:
        image = _VALUES["image"]
        name = f"{image['registry']}/{image['repository']}:{_VERSION}"
        save_image(name, _IMAGES / "driver.tar")
        self._write_sidecars()
        self._write_kubectl()

    def _write_kubectl(self) -> None:
        program = (self.programs / "kubectl").read_bytes()
        image = images.Image(
            name=_KUBECTL, command="/kubectl", programs={"kubectl": program}, takes_arguments=True
        )
        images.write_image(image, _IMAGES)

    def _write_sidecars(self) -> None:
        """Write the images that the chart names, each of the program that was built here."""
        for sidecar in _VALUES["sidecars"].values():
            image = sidecar["image"]
            program = image["repository"].rpartition("/")[2]
            images.write_image(
                images.Image(
                    name=f"{image['registry']}/{image['repository']}:{image['tag']}",
                    command=f"/{program}",
                    programs={program: (self.programs / program).read_bytes()},
                    takes_arguments=True,
                ),
                _IMAGES,
            )


def is_ready(pod: Document) -> bool:
    """Return whether Kubernetes counts a pod as ready; one that is being deleted never is."""
    ready = {
        each.text("type"): each.text("status") for each in pod.documents("status", "conditions")
    }
    return ready.get("Ready") == "True" and not pod.text("metadata", "deletionTimestamp")
