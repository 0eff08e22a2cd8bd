"""What the flows share: the chart's installation, and Velero beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.install.conftest import at_the_desk, cloud, namespace
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.packages import PACKAGES
from tests.kubernetes.flows import TEST_SECONDS
from tests.support.debian_packages import install_packages
from tests.support.waiting import wait_until
from tests.velero.velero import Velero

__all__ = ["at_the_desk", "cloud", "namespace"]

# As docs/snapshots.md says.
_CLASS = "volumeSnapshotClasses[0]"
_LABELLED = (
    f"--set={_CLASS}.name=exoblock",
    rf"--set-string={_CLASS}.labels.velero\.io/csi-volumesnapshot-class=true",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the flows more time than other tests have."""
    for item in items:
        item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.fixture(scope="session")
def installation() -> Iterator[HelmInstallation]:
    """A cluster with the chart installed."""
    install_packages(PACKAGES)
    installation = HelmInstallation()
    try:
        installation.start()
        installation.install(*_LABELLED)
        wait_until(lambda: installation.cluster.attach_limit, "CSINode lists the driver")
        yield installation
    finally:
        installation.stop()


@pytest.fixture(scope="session")
def velero(installation: HelmInstallation) -> Velero:
    """Velero, ready for backups."""
    velero = Velero(installation.cluster)
    velero.install()
    return velero
