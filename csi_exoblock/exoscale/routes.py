"""The API operations that the driver calls, and the IAM role that permits only them (F14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class ApiOperation(NamedTuple):
    """How an operation is called.

    Attributes:
        about: The kind of resource that the call's id stands for, for messages.
        rests_on_read: Whether it is sent only just after a read, because it overwrites or undoes
            whatever others have done since (D3, D12, N10).
    """

    method: str
    path: str
    about: str = ""
    rests_on_read: bool = False


OPERATIONS: Mapping[str, ApiOperation] = {
    "list-zones": ApiOperation("GET", "/zone"),
    "list-quotas": ApiOperation("GET", "/quota"),
    "list-instances": ApiOperation("GET", "/instance"),
    "get-instance": ApiOperation("GET", "/instance/{id}", "instance"),
    "get-instance-type": ApiOperation("GET", "/instance-type/{id}", "instance type"),
    "get-operation": ApiOperation("GET", "/operation/{id}", "operation"),
    "list-block-storage-volumes": ApiOperation("GET", "/block-storage", "instance"),
    "get-block-storage-volume": ApiOperation("GET", "/block-storage/{id}", "volume"),
    "create-block-storage-volume": ApiOperation("POST", "/block-storage", "snapshot"),
    "update-block-storage-volume": ApiOperation("PUT", "/block-storage/{id}", "volume", True),
    "delete-block-storage-volume": ApiOperation("DELETE", "/block-storage/{id}", "volume", True),
    "attach-block-storage-volume-to-instance": ApiOperation(
        "PUT", "/block-storage/{id}:attach", "volume"
    ),
    "detach-block-storage-volume": ApiOperation(
        "PUT", "/block-storage/{id}:detach", "volume", True
    ),
    "resize-block-storage-volume": ApiOperation(
        "PUT", "/block-storage/{id}:resize-volume", "volume"
    ),
    "create-block-storage-snapshot": ApiOperation(
        "POST", "/block-storage/{id}:create-snapshot", "volume"
    ),
    "list-block-storage-snapshots": ApiOperation("GET", "/block-storage-snapshot"),
    "get-block-storage-snapshot": ApiOperation("GET", "/block-storage-snapshot/{id}", "snapshot"),
    "update-block-storage-snapshot": ApiOperation(
        "PUT", "/block-storage-snapshot/{id}", "snapshot", True
    ),
    "delete-block-storage-snapshot": ApiOperation(
        "DELETE", "/block-storage-snapshot/{id}", "snapshot", True
    ),
}
"""Every operation that the driver calls, by the API's own id; no other can be called (F14)."""


def role_policy() -> dict[str, Any]:
    """Return the role in the JSON form that the API and `exo iam role create --policy` take.

    Source: the vendor's documentation of IAM policies: a default, and rules for each service.
    """
    permitted = ", ".join(f"'{operation}'" for operation in OPERATIONS)
    return {
        "default-service-strategy": "deny",
        "services": {
            "compute": {
                "type": "rules",
                "rules": [{"expression": f"operation in [{permitted}]", "action": "allow"}],
            }
        },
    }
