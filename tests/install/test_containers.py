"""The containers that the chart starts, as the node's kernel has them."""

from __future__ import annotations

import pytest

from tests.chart.helm import render
from tests.install.containers import MIB
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import FSTYPE, storage_class
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod

_UNITS = {"Mi": MIB, "Gi": 1024 * MIB}


def test_no_container_can_write_to_its_root(installation: HelmInstallation) -> None:  # F14
    assert [each for each in installation.all_containers() if not each.root_is_read_only] == []


def test_kernel_holds_every_container_to_the_memory_that_the_chart_gives_it(
    installation: HelmInstallation,
) -> None:
    shipped = {
        (component, container["name"]): container["resources"]["limits"]["memory"]
        for manifest in render()
        if manifest["kind"] in ("Deployment", "DaemonSet")
        for component in [manifest["metadata"]["labels"]["app.kubernetes.io/component"]]
        for container in manifest["spec"]["template"]["spec"]["containers"]
    }

    for each in installation.all_containers():
        component = "node" if "-node-" in each.pod else "controller"
        amount = shipped[component, each.name]
        assert each.memory_limit == int(amount[:-2]) * _UNITS[amount[-2:]]


@pytest.mark.parametrize("fstype", ["ext4", "xfs", "btrfs"])
def test_largest_volume_is_formatted_within_the_memory_of_the_plugin(
    namespace: Namespace, fstype: str
) -> None:  # C5
    with storage_class(namespace, {FSTYPE: fstype}) as made:
        claim = Claim.create(namespace, size="10Ti", storage_class=made)
        pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()

        assert int(pod.run("df -m /data | tail -1").split()[1]) > 9 * 1024 * 1024
        pod.delete()
        claim.delete()
