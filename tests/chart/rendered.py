"""Write deploy/kubernetes: the chart as it is rendered by default, for people without Helm.

python -m tests.chart.rendered
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.chart.helm import render_text

PAGE: Final = Path(__file__).parents[2] / "deploy" / "kubernetes" / "csi-exoblock.yaml"

_HEAD = """\
# The chart deploy/chart/csi-exoblock as it is rendered by default; `make docs` writes this file.
# The API key is in the Secret exoscale-credentials of the namespace kube-system, entries
# EXOSCALE_API_KEY and EXOSCALE_API_SECRET. Without the snapshot CRDs the VolumeSnapshotClass is
# refused, and the sidecar csi-snapshotter does not start.
"""


def rendered() -> str:
    """Return what the file is to hold."""
    return _HEAD + render_text()


if __name__ == "__main__":
    PAGE.write_text(rendered())
