"""`csi-exoblock iam-role`: the least role of the API key (F14)."""

from __future__ import annotations

import json

from csi_exoblock.exoscale.role import policy


def as_json() -> str:
    """Return the policy, as `exo iam role create --policy` reads it."""
    return json.dumps(policy(), indent=2)
