"""Speak to the Kubernetes API: the five verbs, on the kinds that the tests use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import requests

from tests.kubernetes.cluster.credentials import CERTIFICATE, token_of
from tests.kubernetes.cluster.documents import Document, Json
from tests.kubernetes.cluster.places import API_SERVER

_TIMEOUT_SECONDS = 30
_CSI_GROUP = "apis/storage.k8s.io/v1"
_SNAPSHOT_GROUP = "apis/snapshot.storage.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: the API group it is in, its name, and its plural in paths."""

    group: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The group and version as objects name them."""
        return self.group.removeprefix("apis/").removeprefix("api/")

    def path(self, namespace: str, name: str = "") -> str:
        """Return the path of the kind's list, or of one object."""
        where = f"namespaces/{namespace}/" if self.namespaced else ""
        return f"/{self.group}/{where}{self.plural}/{name}".rstrip("/")


CAPACITY: Final = Kind(_CSI_GROUP, "CSIStorageCapacity", "csistoragecapacities")
CLAIM: Final = Kind("api/v1", "PersistentVolumeClaim", "persistentvolumeclaims")
CSI_DRIVER: Final = Kind(_CSI_GROUP, "CSIDriver", "csidrivers", namespaced=False)
CSI_NODE: Final = Kind(_CSI_GROUP, "CSINode", "csinodes", namespaced=False)
DAEMON_SET: Final = Kind("apis/apps/v1", "DaemonSet", "daemonsets")
DEPLOYMENT: Final = Kind("apis/apps/v1", "Deployment", "deployments")
EVENT: Final = Kind("api/v1", "Event", "events")
LEASE: Final = Kind("apis/coordination.k8s.io/v1", "Lease", "leases")
NAMESPACE: Final = Kind("api/v1", "Namespace", "namespaces", namespaced=False)
NETWORK_POLICY: Final = Kind("apis/networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
NODE: Final = Kind("api/v1", "Node", "nodes", namespaced=False)
POD: Final = Kind("api/v1", "Pod", "pods")
SECRET: Final = Kind("api/v1", "Secret", "secrets")
SERVICE_ACCOUNT: Final = Kind("api/v1", "ServiceAccount", "serviceaccounts")
SNAPSHOT: Final = Kind(_SNAPSHOT_GROUP, "VolumeSnapshot", "volumesnapshots")
SNAPSHOT_CLASS: Final = Kind(
    _SNAPSHOT_GROUP, "VolumeSnapshotClass", "volumesnapshotclasses", namespaced=False
)
SNAPSHOT_CONTENT: Final = Kind(
    _SNAPSHOT_GROUP, "VolumeSnapshotContent", "volumesnapshotcontents", namespaced=False
)
STATEFUL_SET: Final = Kind("apis/apps/v1", "StatefulSet", "statefulsets")
STORAGE_CLASS: Final = Kind(_CSI_GROUP, "StorageClass", "storageclasses", namespaced=False)
VOLUME: Final = Kind("api/v1", "PersistentVolume", "persistentvolumes", namespaced=False)
VOLUME_ATTRIBUTES_CLASS: Final = Kind(
    _CSI_GROUP, "VolumeAttributesClass", "volumeattributesclasses", namespaced=False
)
VOLUME_ATTACHMENT: Final = Kind(
    _CSI_GROUP, "VolumeAttachment", "volumeattachments", namespaced=False
)


def admin_session() -> requests.Session:
    """Return a session with the API server in the administrator's name."""
    session = requests.Session()
    session.trust_env = False  # no proxy stands before loopback
    session.verify = str(CERTIFICATE)
    session.headers["Authorization"] = f"Bearer {token_of('admin')}"
    return session


class Api:
    """The API server as the administrator sees it."""

    def __init__(self) -> None:
        self._session = admin_session()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def is_ready(self) -> bool:
        """Return whether the API server serves everything it has to serve."""
        try:
            return self._session.get(f"{API_SERVER}/readyz", timeout=_TIMEOUT_SECONDS).ok
        except requests.ConnectionError:
            return False

    def create(
        self, kind: Kind, manifest: Json, namespace: str = "", *, dry_run: bool = False
    ) -> Document:
        """Create an object; in a dry run the API server only says whether it would.

        Raises:
            requests.HTTPError: Refused; the text has the API server's reason.
        """
        typed = {"apiVersion": kind.api_version, "kind": kind.name, **manifest}
        return self._send("POST", kind.path(namespace) + ("?dryRun=All" if dry_run else ""), typed)

    def find(self, kind: Kind, name: str, namespace: str = "") -> Document | None:
        """Return an object, or None when there is none of that name."""
        try:
            return self._send("GET", kind.path(namespace, name))
        except requests.HTTPError as error:
            if error.response.status_code == requests.codes.not_found:
                return None
            raise

    def get(self, kind: Kind, name: str, namespace: str = "") -> Document:
        """Return an object that must be there."""
        return self._send("GET", kind.path(namespace, name))

    def list(self, kind: Kind, namespace: str = "") -> list[Document]:
        """Return the objects of a kind, of one namespace where the kind has them."""
        return list(self._send("GET", kind.path(namespace)).documents("items"))

    def patch(self, kind: Kind, name: str, change: Json, namespace: str = "") -> Document:
        """Merge a change into an object: named fields are set, fields of value None removed."""
        path = kind.path(namespace, name)
        return self._send("PATCH", path, change, content_type="application/merge-patch+json")

    def patch_status(self, kind: Kind, name: str, change: Json) -> Document:
        """Merge a change into an object's status, as the component would that reports it."""
        path = f"{kind.path('', name)}/status"
        return self._send("PATCH", path, change, content_type="application/merge-patch+json")

    def delete(self, kind: Kind, name: str, namespace: str = "") -> None:
        """Ask for an object's deletion; one that is gone already is fine."""
        try:
            self._send("DELETE", kind.path(namespace, name))
        except requests.HTTPError as error:
            if error.response.status_code != requests.codes.not_found:
                raise

    def _send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Document:
        response = self._session.request(
            method,
            API_SERVER + path,
            json=body,
            headers={"Content-Type": content_type},
            timeout=_TIMEOUT_SECONDS,
        )
        if not response.ok:
            raise requests.HTTPError(f"{method} {path}: {response.text}", response=response)
        return Document(response.json())
