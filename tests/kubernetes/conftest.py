"""What the flows share: one cluster for all of them, a namespace for each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.installation import Installation
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.flows import TEST_SECONDS, namespace_for, skip_what_is_missing

RUNNING = "CSI_EXOBLOCK_TEST_CLUSTER"
"""Set to `running`: use the cluster that runs already, and leave it running."""


@pytest.hookimpl(trylast=True)  # of those that options have not deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the flows more time than other tests have, and let the long ones begin first."""
    for item in items:
        item.add_marker(pytest.mark.timeout(TEST_SECONDS))
    skip_what_is_missing(items)
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if item not in long]
    # A worker is handed its first two flows at once, so that no two long ones may be neighbours.
    pairs = list(itertools.chain.from_iterable(zip(long, others, strict=False)))
    items[:] = [*pairs, *long[len(others) :], *others[len(long) :]]


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """A cluster with our storage, started at its first use."""
    installation = Installation()
    if os.environ.get(RUNNING) == "running":
        yield installation
        return
    try:
        installation.start()
        yield installation
    finally:
        installation.stop()


@pytest.fixture
def cloud(installation: Installation) -> Iterator[Cloud]:
    """The simulated cloud, healthy again afterwards."""
    yield installation.cloud
    installation.cloud.heal()


@pytest.fixture(scope="session")
def leaving(installation: Installation) -> Iterator[list[Namespace]]:
    """The empty namespaces that nobody waited for; before the cluster ends they are gone too."""
    namespaces: list[Namespace] = []
    yield namespaces
    for namespace in namespaces:
        namespace.wait_gone()


@pytest.fixture
def namespace(
    installation: Installation, leaving: list[Namespace], request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    """A namespace of the test's own; afterwards nothing of it is left anywhere."""
    cluster, cloud = installation.cluster, installation.cloud
    with namespace_for(request.node.name, cluster, cloud) as namespace:
        yield namespace
    leaving.append(namespace)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long each flow took."""
    seconds: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                flow = report.nodeid.partition("::")[0]
                seconds[flow] = seconds.get(flow, 0) + report.duration
    terminalreporter.section("time per flow")
    for flow, taken in sorted(seconds.items()):
        terminalreporter.write_line(f"{taken:6.1f} s  {flow}")
