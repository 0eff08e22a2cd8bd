"""Every file of deploy/examples does what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster.api import SNAPSHOT, VOLUME, VOLUME_ATTRIBUTES_CLASS
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import STATE, ZONE
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.test_expansion import wait_detached
from tests.kubernetes.test_snapshots import size_mib

_EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
_RESIZER_SECONDS = 330.0
_TESTED = {
    "claim",
    "clone",
    "ephemeral",
    "expansion",
    "raw-block",
    "scheduled-backup",
    "snapshot-and-restore",
    "statefulset",
    "static-volume",
    "volume-attributes-class",
}


def test_every_example_is_tested() -> None:
    assert {each.stem for each in _EXAMPLES.glob("*.yaml")} == _TESTED


def test_restore_and_clone_of_the_first_claim(namespace: Namespace) -> None:
    _apply(namespace, "claim")
    first = Pod(namespace, "first").wait_running()
    namespace.wait(lambda: first.run("cat /data/times"), "the pod writes to its volume")
    first.run("sync -f /data")

    _apply(namespace, "snapshot-and-restore")
    _apply(namespace, "clone")

    restored, clone = Pod(namespace, "restored").wait_running(), Pod(namespace, "clone")
    assert restored.run("cat /data/times")
    assert size_mib(restored, "/data") > 1800
    assert clone.wait_running().run("cat /data/times")


def test_expansion_of_the_first_claim(namespace: Namespace, cloud: Cloud) -> None:
    _apply(namespace, "claim")
    pod = Pod(namespace, "first").wait_running()

    _apply(namespace, "expansion")
    Claim(namespace, "first").wait_event("VolumeResizeFailed", "FailedPrecondition", "pod")
    pod.delete()
    wait_detached(namespace, cloud)
    text = (_EXAMPLES / "claim.yaml").read_text().partition("---\n")[2]
    _apply_text(namespace, text)

    assert size_mib(pod.wait_running(), "/data") > 1800
    Claim(namespace, "first").wait_capacity("2Gi", seconds=_RESIZER_SECONDS)


def test_stateful_set(namespace: Namespace, cloud: Cloud) -> None:
    _apply(namespace, "statefulset")

    for ordinal in range(2):
        Pod(namespace, f"web-{ordinal}").wait_running()
    assert len(cloud.volumes(namespace.name)) == 2


def test_raw_block(namespace: Namespace) -> None:
    _apply(namespace, "raw-block")

    pod = Pod(namespace, "raw").wait_running()
    namespace.wait(lambda: "20" in pod.run("head -c 40 /dev/data"), "the date is on the device")


@pytest.fixture
def existing(namespace: Namespace, cloud: Cloud) -> Iterator[str]:
    """The id of a volume that exists already; it is gone afterwards."""
    uuid = cloud.add_volume(ZONE, "existing")
    yield f"{ZONE}/{uuid}"
    api = namespace.cluster.api
    namespace.clear()
    # Its volume goes with it, so that nothing is left.
    api.patch(VOLUME, "existing", {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
    namespace.wait(lambda: cloud.volume(uuid) is None, "the cloud's volume is gone")
    namespace.wait(lambda: api.find(VOLUME, "existing") is None, "the volume is gone")


def test_static_volume(namespace: Namespace, existing: str) -> None:
    text = (_EXAMPLES / "static-volume.yaml").read_text()
    for placeholder, choice in (
        (f"{ZONE}/00000000-0000-0000-0000-000000000000", existing),
        ("    # volumeAttributes:\n    #   format:", "    volumeAttributes:\n      format:"),
    ):
        assert placeholder in text
        text = text.replace(placeholder, choice)

    _apply_text(namespace, text)

    pod = Pod(namespace, "existing").wait_running()
    namespace.wait(lambda: pod.run("cat /data/times"), "the pod writes to its volume")
    pod.delete()


def test_volume_attributes_class(namespace: Namespace, cloud: Cloud) -> None:
    _apply(namespace, "volume-attributes-class")
    try:
        Pod(namespace, "labelled").wait_running()
        (volume,) = cloud.volumes(namespace.name)
        assert volume.labels["tier"] == "gold"
        namespace.clear()
    finally:
        namespace.cluster.api.delete(VOLUME_ATTRIBUTES_CLASS, "gold")


def test_ephemeral_volume_goes_with_its_pod(namespace: Namespace, cloud: Cloud) -> None:
    _apply(namespace, "ephemeral")
    pod = Pod(namespace, "scratch").wait_running()

    pod.delete()

    namespace.wait(lambda: not cloud.volumes(namespace.name), "its volume is gone")  # F15


def test_scheduled_backup_replaces_its_snapshot(namespace: Namespace) -> None:
    _apply(namespace, "claim")
    Pod(namespace, "first").wait_running()
    _apply(namespace, "scheduled-backup")

    uids = []
    for run in ("one", "two"):
        namespace.kubectl("create", "job", f"{run}", "--from=cronjob/backup-odd")
        namespace.kubectl("wait", "job", run, "--for=condition=Complete", "--timeout=90s")
        ready = "the snapshot is ready"
        namespace.wait(
            lambda: namespace.get(SNAPSHOT, "first-odd").flag("status", "readyToUse"), ready
        )
        uids.append(namespace.get(SNAPSHOT, "first-odd").text("metadata", "uid"))

    assert len(set(uids)) == 2
    namespace.kubectl("delete", "cronjobs,jobs", "--all")


def _apply(namespace: Namespace, name: str) -> None:
    namespace.kubectl("apply", f"--filename={_EXAMPLES / name}.yaml")


def _apply_text(namespace: Namespace, text: str) -> None:
    path = STATE / f"{namespace.name}.yaml"
    path.write_text(text)
    namespace.kubectl("apply", f"--filename={path}")
