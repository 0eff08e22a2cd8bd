"""Compare what sidecars and kubelet sent with tests/data/requests.json, which other tests send."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster.places import REQUESTS
from tests.kubernetes.recording.stable import stabilised
from tests.support.recorded import REQUESTS_FILE

Json = dict[str, Any]
Examples = dict[str, dict[str, Json]]
"""Requests by method, then by what they are about."""

EVERY = "every"
"""What a request is about that has no field."""

_WRITE = os.environ.get("GOLDEN") == "write"
_GO_MODULE = Path(__file__).parent.parent / "go" / "go.mod"
_SENDERS = {
    "csi-attacher": "github.com/kubernetes-csi/external-attacher/v4",
    "csi-provisioner": "github.com/kubernetes-csi/external-provisioner/v6",
    "csi-resizer": "github.com/kubernetes-csi/external-resizer/v2",
    "csi-snapshotter": "github.com/kubernetes-csi/external-snapshotter/v8",
    "kubelet": "k8s.io/kubernetes",
}


def examples(subjects: Mapping[str, str], *, namespace: str) -> Examples:
    """Return the fullest request of each method about each subject, of those recorded until now.

    Args:
        subjects: What ids of volumes and snapshots are called.
        namespace: Where the claims are. A request to create a volume is about its claim, one for
            capacity about the file system of its class.
    """
    found: Examples = {}
    for method, request in _recorded():
        about = _subject(request, subjects, namespace)
        if about is not None and _fields(request) > _fields(found.get(method, {}).get(about)):
            found.setdefault(method, {})[about] = request
    return found


def compare(found: Examples, wanted: Mapping[str, Collection[str]], *, namespace: str) -> None:
    """Raise AssertionError unless the file has the wanted ones of the examples as they are.

    `GOLDEN=write` puts them into the file instead.
    """
    chosen = {
        method: {about: found[method][about] for about in abouts}
        for method, abouts in wanted.items()
    }
    seen = stabilised(chosen, namespace=namespace)
    content = json.loads(REQUESTS_FILE.read_text()) if REQUESTS_FILE.exists() else {}
    requests: Examples = content.get("requests", {})
    if _WRITE:
        requests |= seen
        content = {"sent by": senders(), "requests": requests}
        REQUESTS_FILE.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    expected = {method: requests.get(method) for method in seen}
    assert seen == expected, (
        "sidecars or kubelet send other requests than the tests; if that is right:"
        " python -m tests.kubernetes record"
    )


def senders() -> dict[str, str]:
    """Return the versions of the programs that send requests, by the programs' names."""
    versions = dict(re.findall(r"^\t(\S+) (v\S+)", _GO_MODULE.read_text(), re.MULTILINE))
    return {name: versions[module] for name, module in _SENDERS.items()}


def _recorded() -> Sequence[tuple[str, Json]]:
    return [
        (line["method"].rpartition("/")[2], line["request"])
        for file in sorted(REQUESTS.glob("*.jsonl"))
        # What follows the last line is being written.
        for line in map(json.loads, file.read_text().split("\n")[:-1])
    ]


def _subject(request: Json, subjects: Mapping[str, str], namespace: str) -> str | None:
    if not request:
        return EVERY
    parameters = request.get("parameters", {})
    if "name" in request and parameters.get("csi.storage.k8s.io/pvc/namespace") == namespace:
        return str(parameters["csi.storage.k8s.io/pvc/name"])
    if "accessible_topology" in request:
        return str(parameters.get("csi.storage.k8s.io/fstype"))
    ids = [str(request.get(key)) for key in ("volume_id", "source_volume_id", "snapshot_id")]
    return next((subjects[id] for id in ids if id in subjects), None)


def _fields(request: Json | None) -> int:
    return -1 if request is None else len(request)
