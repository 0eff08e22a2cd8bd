"""What the flows share: one cluster with the chart installed, a namespace for each."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.packages import PACKAGES
from tests.kubernetes.conftest import RUNNING
from tests.kubernetes.flows import TEST_SECONDS, namespace_for
from tests.support.debian_packages import install_packages
from tests.support.waiting import wait_until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the flows more time than other tests have; those that end something come last."""
    for item in items:
        item.add_marker(pytest.mark.timeout(TEST_SECONDS))
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    """Return 2 for flows that take the chart away, 1 for what looks back at all others."""
    if item.get_closest_marker("reinstalls"):
        return 2
    return 1 if "test_rights" in item.nodeid else 0


@pytest.fixture(scope="session")
def bare() -> Iterator[HelmInstallation]:
    """A cluster with everything but the driver, started at its first use."""
    if os.environ.get(RUNNING) == "running":
        yield HelmInstallation()
        return
    install_packages(PACKAGES)
    installation = HelmInstallation()
    try:
        installation.start()
        yield installation
    finally:
        installation.stop()


@pytest.fixture(scope="session")
def installation(bare: HelmInstallation) -> HelmInstallation:
    """The same with the chart installed."""
    if not bare.cluster.attach_limit:
        bare.install()
    wait_until(lambda: bare.cluster.attach_limit, "CSINode lists the driver")
    return bare


@pytest.fixture
def cloud(installation: HelmInstallation) -> Iterator[Cloud]:
    """The simulated cloud, healthy again afterwards."""
    yield installation.cloud
    installation.cloud.heal()


@pytest.fixture
def namespace(
    installation: HelmInstallation, request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    """A namespace of the test's own; afterwards nothing of it is left anywhere."""
    cluster, cloud = installation.cluster, installation.cloud
    with namespace_for(request.node.name, cluster, cloud) as namespace:
        yield namespace
