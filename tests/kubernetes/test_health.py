"""Flow 14: a pod whose volume is unwell says so in its status, and how it is helped (N7)."""

from __future__ import annotations

import subprocess

import pytest

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import FSTYPE, storage_class
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod


@pytest.mark.since("1.37", "a pod's status has volumeHealth only since 1.37")
@pytest.mark.parametrize("fstype", ["ext4", "xfs"])
def test_a_pod_says_that_its_file_system_was_shut_down_and_its_heir_is_well(
    namespace: Namespace, fstype: str
) -> None:
    with storage_class(namespace, {FSTYPE: fstype}) as made:
        claim = Claim.create(namespace, storage_class=made)
        first = Pod.create(namespace, "first", mounts={"/data": claim}).wait_running()
        first.run("echo canary > /data/file && sync -f /data")

        staged = claim.wait_bound().staging_folder / "globalmount"
        subprocess.run(["xfs_io", "-x", "-c", "shutdown", staged], check=True)

        namespace.wait(lambda: first.volume_health, "the pod's status says that it is unwell")
        ((what, message),) = first.volume_health.items()
        assert what == "Inaccessible FilesystemShutDown"
        assert "delete the pods" in message
        first.delete()
        second = Pod.create(namespace, "second", mounts={"/data": claim}).wait_running()  # D4
        assert second.run("cat /data/file && touch /data/other") == "canary"
        assert second.volume_health == {}
