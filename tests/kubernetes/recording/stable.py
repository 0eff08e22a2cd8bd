"""Make recorded requests the same in every run: ids, times and paths get fixed values."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TypeVar

from tests.kubernetes.cluster.places import INSTANCE, STATE

T = TypeVar("T")

_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HANDLE = re.compile(rf"([a-z0-9-]+)/({_UUID.pattern})")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")
_PROVISIONER = re.compile(r"\d{13}-\d+-")


def stabilised(recorded: T, *, namespace: str) -> T:
    """Return JSON with stable values in the place of those that differ from run to run.

    Ids are numbered in the order in which they come when all keys are sorted: a map has no order.

    Args:
        namespace: The namespace that the requests came from.
    """
    text = json.dumps(recorded, sort_keys=True)
    ids = {INSTANCE: INSTANCE}
    for uuid in _UUID.findall(text):
        ids.setdefault(uuid, f"00000000-0000-4000-8000-{len(ids):012d}")
    for zone, uuid in sorted(set(_HANDLE.findall(text))):
        # Kubelet calls the folder of a volume by the hash of its id.
        text = text.replace(_hash(f"{zone}/{uuid}"), _hash(f"{zone}/{ids[uuid]}"))
    text = _UUID.sub(lambda match: ids[match[0]], text)
    text = text.replace(namespace, "shop").replace(f"{STATE}/kubelet", "/var/lib/kubelet")
    text = _TIME.sub("2026-01-01T00:00:00+00:00", text)
    text = _PROVISIONER.sub("1767225600000-1000-", text)
    stable: T = json.loads(text)
    return stable


def _hash(handle: str) -> str:
    return hashlib.sha256(handle.encode()).hexdigest()
