"""F8: the chart takes over the vendor's name, and what its driver made lives on.

The vendor's driver does not run here: what it leaves behind is made by hand.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.chart.helm import NAMESPACE
from tests.install import vendor
from tests.install.conftest import Run
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.api import SECRET, VOLUME
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cleaning import mounts_below
from tests.kubernetes.cluster.cloud import CREDENTIALS, Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import CSI_MOUNTS, ZONE
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.snapshots import Snapshot
from tests.kubernetes.test_expansion import GROWN_MIB
from tests.kubernetes.test_snapshots import size_mib

pytestmark = [pytest.mark.alone, pytest.mark.reinstalls]

_RESIZER_SECONDS = 330.0
# As docs/move.md says; without a key of our own the vendor's Secret counts.
_TAKEOVER = (
    f"--set=driverName={vendor.NAME}",
    "--set=credentials.apiKey=,credentials.apiSecret=",
)
_PODS = ("deployment/exoscale-csi-controller", "daemonset/exoscale-csi-node")
_IN_THE_WAY = (
    f"csidriver/{vendor.NAME}",
    f"storageclass/{vendor.STORAGE_CLASS}",
    "storageclass/exoscale-bs-retain",
    f"volumesnapshotclass/{vendor.SNAPSHOT_CLASS}",
)


@pytest.fixture
def theirs(installation: HelmInstallation) -> Iterator[HelmInstallation]:
    """The cluster with what the vendor's driver has there; afterwards ours is as before."""
    cluster = installation.cluster
    installation.uninstall()
    cluster.kubectl("apply", f"--filename={vendor.OBJECTS}")
    cluster.api.patch(SECRET, "exoscale-credentials", {"stringData": CREDENTIALS}, NAMESPACE)
    try:
        yield installation
    finally:
        installation.uninstall()
        cluster.kubectl("delete", "--ignore-not-found", f"--filename={vendor.OBJECTS}")
        installation.install()


def test_what_the_vendors_driver_made_lives_on_under_its_name(
    theirs: HelmInstallation, namespace: Namespace, cloud: Cloud, at_the_desk: Run
) -> None:  # F8
    claim = vendor.leave_claim(namespace, cloud, "canary")
    _take_over(theirs)

    namespace.wait(  # once the leases of the vendor's sidecars have run out
        lambda: at_the_desk("doctor", f"--driver-name={vendor.NAME}")[0] == 0,
        "doctor is content",
        explain=lambda: at_the_desk("doctor", f"--driver-name={vendor.NAME}")[1],
    )
    pod = _user(namespace, "first", data=claim).wait_running()
    assert pod.run("cat /data/file") == "canary"
    pod.run("echo canary > /data/later && sync -f /data")
    _copies_have_the_data(namespace, claim)
    pod.delete()
    _grows_while_detached(namespace, cloud, claim)

    uuid = claim.wait_bound().uuid
    claim.delete()
    namespace.wait(lambda: cloud.volume(uuid) is None, "the volume goes with its claim")
    namespace.clear()
    assert mounts_below(CSI_MOUNTS / vendor.NAME) == []


def _take_over(theirs: HelmInstallation) -> None:
    """Do what docs/move.md says; of what is in the way Helm says so."""
    theirs.cluster.kubectl("delete", f"--namespace={NAMESPACE}", *_PODS)
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        theirs.install(*_TAKEOVER)
    assert "exists and cannot be imported into the current release" in refusal.value.stderr
    theirs.cluster.kubectl("delete", *_IN_THE_WAY)
    theirs.install(*_TAKEOVER)


def _copies_have_the_data(namespace: Namespace, claim: Claim) -> None:
    """Restore a snapshot, and clone, by the vendor's classes; its driver could use both volumes."""
    snapshot = Snapshot.create(namespace, of=claim, snapshot_class=vendor.SNAPSHOT_CLASS)
    snapshot.wait_ready()
    restored = Claim.create(
        namespace, "restored", storage_class=vendor.STORAGE_CLASS, snapshot=snapshot.name
    )
    clone = Claim.create(
        namespace, "clone", storage_class=vendor.STORAGE_CLASS, clone_of=claim.name
    )
    reader = _user(namespace, "reader", restored=restored, clone=clone).wait_running()

    for name in ("restored", "clone"):
        assert reader.run(f"cat /{name}/file /{name}/later") == "canarycanary"
    for copy in (restored, clone):
        made = namespace.cluster.api.get(VOLUME, copy.wait_bound().name)
        assert re.fullmatch(rf"{ZONE}/[0-9a-f-]{{36}}", made.text("spec", "csi", "volumeHandle"))
        assert made.text("spec", "csi", "driver") == vendor.NAME
        (term,) = made.documents("spec", "nodeAffinity", "required", "nodeSelectorTerms")
        assert [each.text("key") for each in term.documents("matchExpressions")] == [
            vendor.TOPOLOGY_KEY
        ]
    reader.delete()


def _grows_while_detached(namespace: Namespace, cloud: Cloud, claim: Claim) -> None:
    uuid = claim.wait_bound().uuid
    namespace.wait(lambda: cloud.state_of(uuid) == "detached", "the volume is detached")
    claim.request("2Gi")
    namespace.wait(
        lambda: [each.size_gib for each in cloud.volumes() if each.uuid == uuid] == [2],
        "the volume has grown to 2 GiB in the cloud",
    )

    pod = _user(namespace, "second", data=claim).wait_running()

    assert size_mib(pod, "/data") > GROWN_MIB
    assert pod.run("cat /data/file") == "canary"
    claim.wait_capacity("2Gi", seconds=_RESIZER_SECONDS)
    pod.delete()


def _user(namespace: Namespace, name: str, **claims: Claim) -> Pod:
    """Start a pod with claims at the folders that their names say."""
    mounts = {f"/{folder}": claim for folder, claim in claims.items()}
    return Pod.create(namespace, name, mounts=mounts)
