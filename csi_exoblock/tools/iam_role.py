"""`csi-exoblock iam-role`: the smallest role for the API key (F14)."""

from __future__ import annotations

import json

from csi_exoblock.exoscale.routes import role_policy


def as_json() -> str:
    """Return the policy in the format of `exo iam role create --policy`."""
    return json.dumps(role_policy(), indent=2)
