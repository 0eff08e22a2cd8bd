"""What each supported Kubernetes serves, and the schemas of what chart and examples have of it."""

from __future__ import annotations

import functools
import json
import zlib
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent

KINDS: Final = (
    "apps/v1/DaemonSet",
    "apps/v1/Deployment",
    "apps/v1/StatefulSet",
    "batch/v1/CronJob",
    "networking.k8s.io/v1/NetworkPolicy",
    "policy/v1/PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1/ClusterRole",
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding",
    "rbac.authorization.k8s.io/v1/Role",
    "rbac.authorization.k8s.io/v1/RoleBinding",
    "storage.k8s.io/v1/CSIDriver",
    "storage.k8s.io/v1/StorageClass",
    "storage.k8s.io/v1/VolumeAttributesClass",
    "v1/ConfigMap",
    "v1/PersistentVolume",
    "v1/PersistentVolumeClaim",
    "v1/Pod",
    "v1/Secret",
    "v1/Service",
    "v1/ServiceAccount",
)


def releases() -> list[str]:
    """Return the minor releases of Kubernetes whose schemas are here: `1.37`."""
    return sorted(path.name.removesuffix(".json.zlib") for path in FOLDER.glob("*.json.zlib"))


@functools.cache
def resources(release: str) -> frozenset[str]:
    """Return what a release serves: `v1/pods/log`, `storage.k8s.io/v1/csinodes`, …"""
    return frozenset(_known(release)["resources"])


def write_schemas(release: str, folder: Path) -> str:
    """Write the schemas of a release as kubeconform reads them, and return their location."""
    definitions = _known(release)["definitions"]
    (folder / "_definitions.json").write_text(json.dumps({"definitions": definitions}))
    for name, definition in definitions.items():
        for kind in definition.get("x-kinds", ()):
            api_version, _, word = kind.rpartition("/")
            group, _, version = api_version.rpartition("/")
            file = "-".join(part for part in (word, group.partition(".")[0], version) if part)
            reference = {"$ref": f"_definitions.json#/definitions/{name}"}
            (folder / f"{file}.json".lower()).write_text(json.dumps(reference))
    return f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"


def _known(release: str) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(
        zlib.decompress((FOLDER / f"{release}.json.zlib").read_bytes())
    )
    return known
