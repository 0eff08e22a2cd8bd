"""Velero as its own command installs it, and the object store that it writes to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.kubernetes.cluster import images
from tests.kubernetes.cluster.api import Kind
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.daemons import Daemon
from tests.kubernetes.cluster.documents import Document
from tests.kubernetes.cluster.machine import FIRST
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import (
    KUBECONFIG,
    KUBELET,
    OBJECT_STORE_PORT,
    SERVICE_ADDRESS,
    STATE,
)
from tests.velero.programs import PLUGIN, STORE, VELERO, build_velero, image_of

NAMESPACE: Final = "velero"

_GROUP = "apis/velero.io/v1"
_BACKUP = Kind(_GROUP, "Backup", "backups")
_RESTORE = Kind(_GROUP, "Restore", "restores")
_LOCATION = Kind(_GROUP, "BackupStorageLocation", "backupstoragelocations")

_BUCKET = "backups"
_STORE = f"{SERVICE_ADDRESS}:{OBJECT_STORE_PORT}"
_LOCATION_SETTINGS = f"region=none,s3ForcePathStyle=true,s3Url=http://{_STORE}"
# The store looks at no key, but its clients want one.
_KEY = "[default]\naws_access_key_id = tests\naws_secret_access_key = a secret of the tests\n"
_COPY = f"#!/bin/sh\nexec cp /plugins/{PLUGIN} /target/\n"
_LOG_LINES = 40
# The node of the tests is small, and by default Velero reserves a quarter of it.
_REQUESTS = ("--velero-pod-cpu-request=0", "--velero-pod-mem-request=0")


class Velero:
    """Velero in the cluster, with its agent on the node, which moves data."""

    def __init__(self, cluster: Cluster) -> None:
        self._programs = build_velero()
        self._system = Namespace(cluster, NAMESPACE)
        self._store = Daemon(
            name="object-store",
            command=[
                self._programs / STORE, "-backend=memory", f"-initialbucket={_BUCKET}",
                f"-host={_STORE}",
            ],
        )  # fmt: skip

    def install(self) -> None:
        """Install it and return when it can write to the store."""
        self._store.start()
        self._import_images()
        key = STATE / "object-store-key"
        key.write_text(_KEY)
        self._run(
            "install", "--features=EnableCSI", "--use-node-agent", "--use-volume-snapshots=false",
            "--provider=aws", f"--plugins={image_of(PLUGIN)}", f"--bucket={_BUCKET}",
            f"--backup-location-config={_LOCATION_SETTINGS}", f"--secret-file={key}",
            f"--kubelet-root-dir={KUBELET}", *_REQUESTS, "--wait",
        )  # fmt: skip
        self._wait(self._location_is_available, "Velero can write to the object store")

    def back_up(self, namespace: Namespace, name: str, *options: str) -> Document:
        """Back a namespace up and return the status of the backup.

        Raises:
            AssertionError: Something went wrong; the message has what Velero says of it.
        """
        included = f"--include-namespaces={namespace.name}"
        self._run("backup", "create", name, included, "--wait", *options)
        return self._completed(_BACKUP, name)

    def restore(self, backup: str) -> None:
        """Restore a backup, under its own name.

        Raises:
            AssertionError: Something went wrong; the message has what Velero says of it.
        """
        self._run("restore", "create", backup, f"--from-backup={backup}", "--wait")
        self._completed(_RESTORE, backup)

    def delete_backup(self, name: str) -> None:
        """Delete a backup and return when Velero is done with that."""
        self._run("backup", "delete", name, "--confirm")
        self._wait(lambda: self._system.find(_BACKUP, name) is None, f"backup {name} is gone")

    def _import_images(self) -> None:
        program = (self._programs / VELERO).read_bytes()
        plugin = (self._programs / PLUGIN).read_bytes()
        server = images.Image(
            name=f"docker.io/{image_of(VELERO)}",
            command=f"/{VELERO}",
            programs={VELERO: program},
            takes_arguments=True,
        )
        copying = {f"plugins/{PLUGIN}": plugin, "copy": _COPY.encode()}
        copier = replace(images.busybox(f"docker.io/{image_of(PLUGIN)}", copying), command="/copy")
        for image in (server, copier):
            FIRST.import_images([images.write_image(image, STATE / "images")])

    def _location_is_available(self) -> bool:
        found = self._system.cluster.api.list(_LOCATION, NAMESPACE)
        return any(each.text("status", "phase") == "Available" for each in found)

    def _completed(self, kind: Kind, name: str) -> Document:
        status = self._system.get(kind, name).document("status")
        if status.text("phase") == "Completed":
            return status
        described = self._run(kind.name.lower(), "describe", name, "--details")
        raise AssertionError(f"{described}\n{self._last_words()}")

    def _wait(self, question: Callable[[], bool], promise: str) -> None:
        self._system.wait(question, promise, explain=self._last_words)

    def _last_words(self) -> str:
        return self._system.kubectl("logs", f"deployment/{VELERO}", f"--tail={_LOG_LINES}")

    def _run(self, *arguments: str) -> str:
        command = [str(self._programs / VELERO), *arguments]
        command += [f"--kubeconfig={KUBECONFIG}", f"--namespace={NAMESPACE}", "--colorized=false"]
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        except subprocess.CalledProcessError as error:
            error.add_note(f"{error.stdout}\n{error.stderr}")
            raise
