"""Flow 12: a claim that starts with another claim's content (N6)."""

from __future__ import annotations

import pytest

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import FSTYPE, storage_class
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.test_snapshots import size_mib


@pytest.mark.parametrize("fstype", ["ext4", "xfs"])
def test_a_clone_has_the_data_and_a_life_of_its_own(
    namespace: Namespace, cloud: Cloud, fstype: str
) -> None:
    with storage_class(namespace, {FSTYPE: fstype}) as made:
        source = Claim.create(namespace, "source", storage_class=made)
        writer = Pod.create(namespace, "writer", mounts={"/data": source}).wait_running()
        writer.run("echo canary > /data/file && sync -f /data")

        clone = Claim.create(namespace, "clone", size="2Gi", storage_class=made, clone_of="source")
        reader = Pod.create(namespace, "reader", mounts={"/data": clone}).wait_running()  # D9

        assert reader.run("cat /data/file") == "canary"
        assert size_mib(reader, "/data") > 1800  # S8
        assert cloud.snapshots(namespace.name) == []
        reader.run("echo later > /data/file && sync -f /data")
        assert writer.run("cat /data/file") == "canary"


def test_a_clone_outlives_its_source(namespace: Namespace, cloud: Cloud) -> None:
    source = Claim.create(namespace, "source")
    writer = Pod.create(namespace, "writer", mounts={"/data": source}).wait_running()
    writer.run("echo canary > /data/file && sync -f /data")
    clone = Claim.create(namespace, "clone", clone_of="source")
    reader = Pod.create(namespace, "reader", mounts={"/data": clone}).wait_running()
    writer.delete()

    source.delete()

    gone = "the source's volume is gone"
    namespace.wait(lambda: len(cloud.volumes(namespace.name)) == 1, gone)
    assert reader.run("cat /data/file") == "canary"
