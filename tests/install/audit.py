"""What the driver's accounts asked of Kubernetes, from the API server's audit log (S23)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.kubernetes.cluster.places import AUDIT_LOG


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """A kind of request.

    Attributes:
        account: The service account, such as `csi-exoblock-node`.
        program: Who asked in its name, such as `csi-attacher`.
        resource: With its group and subresource, such as `storage.k8s.io/volumeattachments/status`.
        namespace: Empty for what belongs to none.
    """

    account: str
    program: str
    resource: str
    verb: str
    namespace: str
    forbidden: bool


def requests() -> Counter[Request]:
    """Return how often each kind of request was made."""
    lines = AUDIT_LOG.read_text().splitlines()
    return Counter(_request(json.loads(line)) for line in lines)


def _request(event: dict[str, Any]) -> Request:
    what = event.get("objectRef", {})
    parts = (what.get("apiGroup"), what.get("resource"), what.get("subresource"))
    return Request(
        account=event["user"]["username"].rpartition(":")[2],
        program=event.get("userAgent", "").partition("/")[0],
        resource="/".join(filter(None, parts)) or event["requestURI"].partition("?")[0],
        verb=event["verb"],
        namespace=what.get("namespace", ""),
        # Not by the status: a namespace that ends refuses an event with the same.
        forbidden=event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid",
    )
