"""What the tests of the controller send is what real sidecars sent: tests/data/requests.json."""

from __future__ import annotations

import json

import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller import requests
from tests.kubernetes.recording.examples import senders
from tests.support.recorded import REQUESTS_FILE, recorded

pytestmark = pytest.mark.fast


def _created(about: str) -> csi_pb2.CreateVolumeRequest:
    return recorded(csi_pb2.CreateVolumeRequest, about)


def test_they_are_of_the_versions_that_the_test_cluster_runs() -> None:
    assert json.loads(REQUESTS_FILE.read_text())["sent by"] == senders(), (
        "record them again: python -m tests.kubernetes record"
    )


def test_a_creation_is_the_provisioners() -> None:
    sent = _created("data")

    assert sent == requests.create_volume(sent.name)
    assert sent == requests.create_volume(sent.name, zones=["ch-gva-2"])


def test_a_restore_is_the_provisioners() -> None:
    sent = _created("restored")
    sent.parameters["csi.storage.k8s.io/pvc/name"] = "data"

    snapshot_id = sent.volume_content_source.snapshot.snapshot_id
    assert sent == requests.create_volume(sent.name, snapshot_id=snapshot_id)


def test_an_attach_is_the_attachers() -> None:
    sent = recorded(csi_pb2.ControllerPublishVolumeRequest)

    assert sent == requests.publish(sent.volume_id, sent.node_id)


def test_a_detach_is_the_attachers() -> None:
    sent = recorded(csi_pb2.ControllerUnpublishVolumeRequest)

    assert sent.node_id
    assert sent == requests.unpublish(sent.volume_id, sent.node_id)


def test_an_expansion_is_the_resizers() -> None:
    sent = recorded(csi_pb2.ControllerExpandVolumeRequest)

    assert sent == requests.expand(sent.volume_id, 2)


def test_a_change_is_the_resizers() -> None:
    sent = recorded(csi_pb2.ControllerModifyVolumeRequest, "labelled")
    given = {"name": "gold-{{pv.name}}", "labelSpecification_1": "tier=gold"}

    assert sent == requests.modify(sent.volume_id, **given)


def test_a_snapshot_is_the_snapshotters() -> None:
    sent = recorded(csi_pb2.CreateSnapshotRequest)

    assert sent == requests.create_snapshot(sent.name, sent.source_volume_id)


def test_deletions_name_an_id_alone() -> None:
    volume = recorded(csi_pb2.DeleteVolumeRequest)
    snapshot = recorded(csi_pb2.DeleteSnapshotRequest, "snapshot")

    assert volume == requests.delete_volume(volume.volume_id)
    assert snapshot == requests.delete_snapshot(snapshot.snapshot_id)
