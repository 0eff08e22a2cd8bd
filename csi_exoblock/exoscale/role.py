"""The IAM role of the driver's API key; it permits only the operations that the code calls (F14).

Source: the vendor's documentation of IAM policies: a default, and rules for each service.
"""

from __future__ import annotations

from typing import Any

from csi_exoblock.exoscale.routes import OPERATIONS


def policy() -> dict[str, Any]:
    """Return the policy in the JSON form that the API and `exo iam role create --policy` take."""
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
