"""The chart on the tests' Kubernetes: Helm installs it, and pods run the image that is shipped."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.chart.helm import CHART, NAMESPACE, RELEASE, helm
from tests.install.image import build_image, save_image
from tests.kubernetes.cluster import images, machine
from tests.kubernetes.cluster.api import POD
from tests.kubernetes.cluster.cloud import CREDENTIALS, Cloud
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.documents import Document
from tests.kubernetes.cluster.installation import install_snapshot_definitions
from tests.kubernetes.cluster.places import (
    DEVICES,
    KUBECONFIG,
    KUBELET,
    STATE,
)
from tests.kubernetes.cluster.programs import build_programs
from tests.kubernetes.cluster.sidecars import snapshot_controller
from tests.kubernetes.cluster.ways import CLOUD_ENDPOINT, open_ways

ATTACH_LIMIT: Final = 30
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

    def start(self) -> None:
        """Start all but the driver, with its images at hand."""
        build_image()
        self.cluster.start()
        open_ways()
        self._import_images()
        install_snapshot_definitions(self.cluster)
        DEVICES.mkdir(exist_ok=True)
        self.cloud.start()
        self.cloud.set_quota("block-storage-volume-attachments", ATTACH_LIMIT)
        snapshot_controller(self.programs).start()

    def stop(self) -> None:
        """Stop everything and leave nothing of it on the machine."""
        self.cloud.close()
        self.cluster.stop()

    def install(self, *options: str) -> str:
        """Install the chart with the tests' values; return what Helm says once it is rolled out.

        Raises:
            subprocess.CalledProcessError: Helm gave up; its words are in `stderr`.
        """
        return self._helm("install", RELEASE, str(CHART), *self._values(), *options)

    def upgrade(self, *options: str) -> str:
        """Change the installation: the tests' values, and what the options add to them."""
        return self._helm("upgrade", RELEASE, str(CHART), *self._values(), *options)

    def uninstall(self) -> None:
        """Take the driver away, and return when its pods are gone."""
        self._helm("uninstall", RELEASE)

    def pods(self, component: str) -> list[Document]:
        """Return the pods of a component: `controller` or `node`."""
        label = "app.kubernetes.io/component"
        return [
            pod
            for pod in self.cluster.api.list(POD, NAMESPACE)
            if pod.texts("metadata", "labels").get(label) == component
        ]

    def _helm(self, verb: str, *arguments: str) -> str:
        command = [str(helm()), verb, *arguments, f"--kubeconfig={KUBECONFIG}"]
        command += [f"--namespace={NAMESPACE}", "--wait", "--timeout=3m"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def _values(self) -> list[str]:
        path = STATE / "values.yaml"
        path.write_text(yaml.safe_dump(dict(VALUES)))
        return [f"--values={path}"]

    def _import_images(self) -> None:
        folder = STATE / "images"
        driver = folder / "driver.tar"
        image = _VALUES["image"]
        save_image(f"{image['registry']}/{image['repository']}:{_VERSION}", driver)
        machine.import_images((driver, *self._sidecars(folder), self._kubectl(folder)))
        machine.tag_image(images.BUSYBOX, _BUSYBOX)

    def _kubectl(self, folder: Path) -> Path:
        program = (self.programs / "kubectl").read_bytes()
        image = images.Image(
            name=_KUBECTL, command="/kubectl", programs={"kubectl": program}, takes_arguments=True
        )
        return images.write_image(image, folder)

    def _sidecars(self, folder: Path) -> list[Path]:
        """Write the images that the chart names, each of the program that was built here."""
        archives = []
        for sidecar in _VALUES["sidecars"].values():
            image = sidecar["image"]
            program = image["repository"].rpartition("/")[2]
            archives.append(
                images.write_image(
                    images.Image(
                        name=f"{image['registry']}/{image['repository']}:{image['tag']}",
                        command=f"/{program}",
                        programs={program: (self.programs / program).read_bytes()},
                        takes_arguments=True,
                    ),
                    folder,
                )
            )
        return archives
