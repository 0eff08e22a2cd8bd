"""What this build is: its own version, its commit and CSI's version."""

from __future__ import annotations

from csi_exoblock import __version__
from csi_exoblock._build import COMMIT

CSI_VERSION = "1.13.0"


def in_one_line() -> str:
    """Return the versions of driver and CSI, and the commit."""
    return f"csi-exoblock {__version__}, commit {COMMIT}, CSI {CSI_VERSION}"
