"""What the flows share: one cluster with the chart installed, a namespace for each."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator

import pytest

from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.packages import PACKAGES
from tests.kubernetes.conftest import RUNNING
from tests.kubernetes.leftovers import assert_nothing_left, pulled
from tests.support.debian_packages import install_packages
from tests.support.waiting import wait_until

_TEST_SECONDS = 600  # far above what any flow takes; the waits inside say more when they end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the flows more time than other tests have; those that end something come last."""
    for item in items:
        item.add_marker(pytest.mark.timeout(_TEST_SECONDS))
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    """Return 2 for flows that take rights away, 1 for what looks back at requests before that."""
    if "outlive" in item.nodeid:
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
    if not bare.attach_limit:
        bare.install()
    wait_until(lambda: bare.attach_limit, "CSINode lists the driver")
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
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    unique = f"{zlib.crc32(name.encode()):08x}"  # a name has 63 characters at most, tests have more
    namespace = Namespace(installation.cluster, f"{name[:50].strip('-')}-{unique}")
    namespace.create()
    before = pulled(installation.cloud)
    yield namespace
    namespace.clear()
    assert_nothing_left(namespace, installation.cloud, pulled_before=before)
    namespace.remove_itself()
