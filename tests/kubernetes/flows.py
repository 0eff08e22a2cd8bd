"""What all flows share, with and without the chart: their time limit, and a namespace for each."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.minors import chosen
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.leftovers import assert_nothing_left, pulled

TEST_SECONDS = 1200  # far above what any flow takes; the waits inside say more when they end


def skip_what_is_missing(items: Iterable[pytest.Item]) -> None:
    """Skip, with the reason, the flows that need a later Kubernetes than the chosen one."""
    minor = chosen()
    for item in items:
        for mark in item.iter_markers("since"):
            since, reason = mark.args
            if not minor.has(since):
                words = f"Kubernetes {minor.name}: {reason}"
                item.add_marker(pytest.mark.skip(reason=words))


@contextmanager
def namespace_for(test_name: str, cluster: Cluster, cloud: Cloud) -> Iterator[Namespace]:
    """Make a namespace for a test, and remove it once nothing of the test is left anywhere."""
    name = re.sub("[^a-z0-9]+", "-", test_name.removeprefix("test_").lower())
    unique = f"{zlib.crc32(name.encode()):08x}"  # a name has 63 characters at most, tests have more
    namespace = Namespace(cluster, f"{name[:50].strip('-')}-{unique}")
    namespace.create()
    before = pulled(cloud)
    yield namespace
    namespace.clear()
    assert_nothing_left(namespace, cloud, pulled_before=before)
    namespace.remove_itself()


@contextmanager
def begun(namespace: Namespace, cloud: Cloud, operation: str, times: int = 1) -> Iterator[None]:
    """Go on once an operation of the cloud was called so often more than before the block."""
    before = cloud.calls(operation)
    yield
    namespace.wait(lambda: cloud.calls(operation) >= before + times, f"{operation} was called")
