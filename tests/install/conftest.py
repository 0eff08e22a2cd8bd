"""What the flows share: one cluster with the chart installed, a namespace for each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.cloud import API_ENDPOINT, CREDENTIALS, Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import KUBECONFIG
from tests.kubernetes.conftest import RUNNING
from tests.kubernetes.flows import TEST_SECONDS, namespace_for, skip_what_is_missing
from tests.support.waiting import wait_until

Run = Callable[..., tuple[int, str]]
"""Runs one of our commands and returns its exit code, and what it said."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the flows more time than other tests have.

    What finds the installation in order comes first, what ends something last.
    """
    for item in items:
        item.add_marker(pytest.mark.timeout(TEST_SECONDS))
    skip_what_is_missing(items)
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    """Return how late a flow comes.

    That is 3 with two nodes, as a DaemonSet for the second stays, 2 for flows that take the chart
    away, 1 for what looks back at all others.
    """
    if "test_tools" in item.nodeid:
        return -1
    if item.get_closest_marker("two_nodes"):
        return 3
    if item.get_closest_marker("reinstalls"):
        return 2
    return 1 if "test_rights" in item.nodeid else 0


@pytest.fixture(scope="session")
def bare() -> Iterator[HelmInstallation]:
    """A cluster with everything but the driver, started at its first use."""
    if os.environ.get(RUNNING) == "running":
        yield HelmInstallation()
        return
    with HelmInstallation.running() as installation:
        yield installation


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


@pytest.fixture
def at_the_desk(installation: HelmInstallation) -> Run:
    """Runs a command where somebody has a kubeconfig, kubectl and the cloud's key."""

    def run(*arguments: str) -> tuple[int, str]:
        environment = {
            "PATH": f"{installation.programs}{os.pathsep}{os.environ['PATH']}",
            "KUBECONFIG": str(KUBECONFIG),
            **CREDENTIALS,
        }
        cloud = ("--api-endpoint", API_ENDPOINT, "--allow-plain-http=true")
        ended = subprocess.run(
            [Path(sys.executable).with_name("csi-exoblock"), *arguments, *cloud],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr

    return run
