"""`csi-exoblock iam-role`: the smallest role for the API key (F14)."""

from __future__ import annotations

import json

from csi_exoblock.exoscale.role import policy


def as_json() -> str:
    """Return the policy in the format of `exo iam role create --policy`."""
    return json.dumps(policy(), indent=2)
