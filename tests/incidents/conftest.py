"""The fixtures of the operator's commands: a simulated cloud, a played cluster in order."""

from __future__ import annotations

from tests.tools.conftest import cloud as cloud
from tests.tools.conftest import cluster as cluster
from tests.tools.conftest import healthy as healthy
from tests.tools.conftest import shared_cloud as shared_cloud
