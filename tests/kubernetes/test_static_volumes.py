"""Flow 7: volumes that exist already are used as they are and never formatted unasked."""

from __future__ import annotations

from tests.kubernetes.cluster.api import VOLUME
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import ZONE
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.static_volumes import static_volume

_NOWHERE = f"{ZONE}/00000000-0000-4000-8000-000000000000"


def test_data_of_a_retained_volume_is_there_in_a_new_claim(
    namespace: Namespace, cloud: Cloud
) -> None:
    retained = Claim.create(namespace, "retained", storage_class="exoblock-retain")
    writer = Pod.create(namespace, "writer", mounts={"/data": retained}).wait_running()
    writer.run("echo canary > /data/file && sync -f /data")
    bound = retained.wait_bound()
    writer.delete()
    retained.delete()
    namespace.cluster.api.delete(VOLUME, bound.name)

    with static_volume(namespace, bound.handle, reclaim_policy="Delete") as claim:
        reader = Pod.create(namespace, "reader", mounts={"/data": claim}).wait_running()  # F9

        assert reader.run("cat /data/file") == "canary"
        reader.delete()
        claim.delete()
        namespace.wait(lambda: cloud.volume(bound.uuid) is None, "the volume goes with the claim")


def test_a_blank_volume_is_formatted_only_when_its_attributes_say_so(
    namespace: Namespace, cloud: Cloud
) -> None:
    blank = cloud.add_volume(ZONE, f"{namespace.name}-")
    handle = f"{ZONE}/{blank}"

    with static_volume(namespace, handle) as claim:
        pod = Pod.create(namespace, "refused", mounts={"/data": claim})
        pod.wait_event("FailedMount", "FailedPrecondition", "blank", "format: ifBlank")  # D1
        pod.delete()
        claim.delete()

    attributes = {"format": "ifBlank"}
    with static_volume(namespace, handle, reclaim_policy="Delete", attributes=attributes) as claim:
        pod = Pod.create(namespace, "formatted", mounts={"/data": claim}).wait_running()
        assert pod.run("echo canary > /data/file && cat /data/file") == "canary"
        pod.delete()
        claim.delete()
        namespace.wait(lambda: cloud.volume(blank) is None, "the volume goes with the claim")


def test_a_volume_that_does_not_exist_is_named_in_the_pods_events(namespace: Namespace) -> None:
    with static_volume(namespace, _NOWHERE) as claim:
        pod = Pod.create(namespace, mounts={"/data": claim})

        pod.wait_event("FailedAttachVolume", "NotFound", _NOWHERE)

        pod.delete()
        claim.delete()
