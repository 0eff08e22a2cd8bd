"""What the tests of the node send is what a real kubelet sent; tests/data/requests.json has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.message import Message

from csi_exoblock.pb import csi_pb2
from tests.node import requests
from tests.node.requests import Mode, block_capability, mount_capability
from tests.support.recorded import recorded

pytestmark = pytest.mark.fast

_OPTIONS = mount_capability(flags=("noatime", "commit=30"), mode=Mode.SINGLE_NODE_SINGLE_WRITER)


def _stage(about: str) -> csi_pb2.NodeStageVolumeRequest:
    return recorded(csi_pb2.NodeStageVolumeRequest, about)


def _publish(about: str) -> csi_pb2.NodePublishVolumeRequest:
    return recorded(csi_pb2.NodePublishVolumeRequest, about)


@pytest.mark.parametrize(
    ("about", "capability"),
    [("data", mount_capability()), ("raw", block_capability()), ("alone", _OPTIONS)],
)
def test_a_stage_is_kubelets(about: str, capability: csi_pb2.VolumeCapability) -> None:
    sent = _stage(about)

    assert sent == requests.stage(sent.volume_id, Path(sent.staging_target_path), capability)


def test_a_stage_of_a_copy_is_kubelets() -> None:
    sent = _stage("restored")

    assert sent == requests.stage(
        sent.volume_id,
        Path(sent.staging_target_path),
        mount_capability(),
        context={**requests.FORMAT, "format": "never"},
        publish_context={},
    )


def test_a_stage_of_a_volume_made_by_hand_is_kubelets() -> None:
    sent = _stage("static")

    assert sent == requests.stage(
        sent.volume_id,
        Path(sent.staging_target_path),
        mount_capability(filesystem=""),
        context={"format": "ifBlank"},
        publish_context={},
    )


@pytest.mark.parametrize(
    ("about", "capability"),
    [("data", mount_capability()), ("raw", block_capability()), ("alone", _OPTIONS)],
)
def test_a_publish_is_kubelets(about: str, capability: csi_pb2.VolumeCapability) -> None:
    sent = _publish(about)

    assert sent == requests.publish(
        sent.volume_id, Path(sent.staging_target_path), Path(sent.target_path), capability
    )


def test_a_publish_for_readers_is_kubelets() -> None:
    sent = _publish("restored")

    assert sent == requests.publish(
        sent.volume_id,
        Path(sent.staging_target_path),
        Path(sent.target_path),
        mount_capability(),
        context={**requests.FORMAT, "format": "never"},
        publish_context={},
        readonly=True,
    )


def test_an_expansion_is_kubelets() -> None:
    sent = recorded(csi_pb2.NodeExpandVolumeRequest)

    assert sent == requests.expand(
        sent.volume_id,
        Path(sent.volume_path),
        Path(sent.staging_target_path),
        mount_capability(),
        required=2 * 1024**3,
    )


@pytest.mark.parametrize("about", ["data", "raw"])
def test_what_needs_only_paths_is_kubelets(about: str) -> None:
    def expect(sent: Message, made: Message) -> None:
        assert sent == made

    leave = recorded(csi_pb2.NodeUnpublishVolumeRequest, about)
    expect(leave, requests.unpublish(leave.volume_id, Path(leave.target_path)))
    unstage = recorded(csi_pb2.NodeUnstageVolumeRequest, about)
    expect(unstage, requests.unstage(unstage.volume_id, Path(unstage.staging_target_path)))
    stats = recorded(csi_pb2.NodeGetVolumeStatsRequest, about)
    expect(stats, requests.stats(stats.volume_id, Path(stats.volume_path)))


def test_the_health_of_a_raw_device_is_asked_by_the_folder_where_it_is_bound() -> None:  # N7
    mounted = recorded(csi_pb2.NodeGetVolumeHealthRequest, "data")
    raw = recorded(csi_pb2.NodeGetVolumeHealthRequest, "raw")

    assert mounted == requests.health(
        mounted.volume_id,
        target=Path(mounted.volume_publish_path),
        staging=Path(mounted.staging_target_path),
    )
    assert raw == requests.health(raw.volume_id, staging=Path(raw.staging_target_path))
    assert raw.staging_target_path.endswith("/dev")
