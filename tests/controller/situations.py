"""States of the cloud that an RPC refuses to work on: what it says then is golden (F11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from csi_exoblock.pb import csi_pb2
from tests.controller import requests as csi
from tests.controller.errors import Call, Stage


def _quota(resource: str, limit: int) -> Callable[[Stage], Call]:
    def create(stage: Stage) -> Call:
        stage.cloud.set_quota(resource, limit)
        request = csi.create_volume(stage.name(), 5)
        return lambda: stage.controller.CreateVolume(request)

    return create


def _from_nothing(stage: Stage) -> Call:
    request = csi.create_volume(stage.name(), snapshot_id=csi.absent_id(stage.cloud.zones[0]))
    return lambda: stage.controller.CreateVolume(request)


def _in_an_unknown_zone(stage: Stage) -> Call:
    request = csi.create_volume(stage.name(), zones=(), parameters={"zone": "zz-top-1"})
    return lambda: stage.controller.CreateVolume(request)


def _from_another_zone(stage: Stage) -> Call:
    request = csi.create_volume(
        stage.name(), snapshot_id=stage.snapshot(), zones=[stage.cloud.zones[1]]
    )
    return lambda: stage.controller.CreateVolume(request)


def _too_large(stage: Stage) -> Call:
    request = csi.create_volume(stage.name(), 20 * 1024)
    return lambda: stage.controller.CreateVolume(request)


def _of_a_taken_name(stage: Stage) -> Call:
    name = stage.name()
    stage.controller.CreateVolume(csi.create_volume(name, 1))
    request = csi.create_volume(name, 7)
    return lambda: stage.controller.CreateVolume(request)


def _delete_attached(stage: Stage) -> Call:
    volume, _ = stage.attached()
    return lambda: stage.controller.DeleteVolume(csi.delete_volume(volume))


def _delete_protected(stage: Stage) -> Call:
    volume = stage.volume()
    stage.administrator.label_volume(volume, {"exoblock/protect": "yes"})
    return lambda: stage.controller.DeleteVolume(csi.delete_volume(volume))


def _delete_anothers(stage: Stage) -> Call:
    volume = stage.volume()
    stage.administrator.label_volume(volume, {"exoblock/cluster-id": "another"})
    return lambda: stage.controller.DeleteVolume(csi.delete_volume(volume))


def _delete_with_snapshots(stage: Stage) -> Call:
    stage.cloud.set_mode("delete-with-snapshots", "refused")
    volume = stage.volume()
    stage.snapshot(volume)
    return lambda: stage.controller.DeleteVolume(csi.delete_volume(volume))


def _attach_beyond_the_limit(stage: Stage) -> Call:
    stage.cloud.set_quota("block-storage-volume-attachments", 0)
    request = csi.publish(stage.volume(), stage.node())
    return lambda: stage.controller.ControllerPublishVolume(request)


def _attach_elsewhere(stage: Stage) -> Call:
    request = csi.publish(stage.attached()[0], stage.node())
    return lambda: stage.controller.ControllerPublishVolume(request)


def _attach_to_a_tiny_instance(stage: Stage) -> Call:
    zone = stage.cloud.zones[0]
    request = csi.publish(stage.volume(), f"{zone}/{stage.cloud.add_instance(zone, size='tiny')}")
    return lambda: stage.controller.ControllerPublishVolume(request)


def _attach_to_nothing(stage: Stage) -> Call:
    request = csi.publish(stage.volume(), csi.absent_id(stage.cloud.zones[0]))
    return lambda: stage.controller.ControllerPublishVolume(request)


def _attach_nothing(stage: Stage) -> Call:
    request = csi.publish(csi.absent_id(stage.cloud.zones[0]), stage.node())
    return lambda: stage.controller.ControllerPublishVolume(request)


def _attach_in_another_zone(stage: Stage) -> Call:
    request = csi.publish(stage.volume(), stage.node(stage.cloud.zones[1]))
    return lambda: stage.controller.ControllerPublishVolume(request)


def _attach_broken(stage: Stage) -> Call:
    volume = stage.volume()
    stage.cloud.set_volume_state(*_parts(volume), "error")
    request = csi.publish(volume, stage.node())
    return lambda: stage.controller.ControllerPublishVolume(request)


def _expand_in_use(stage: Stage) -> Call:
    request = csi.expand(stage.attached()[0], 2)
    return lambda: stage.controller.ControllerExpandVolume(request)


def _expand_beyond_the_quota(stage: Stage) -> Call:
    volume = stage.volume()
    stage.cloud.set_quota("block-storage", 3)
    return lambda: stage.controller.ControllerExpandVolume(csi.expand(volume, 50))


def _shrink(stage: Stage) -> Call:
    request = csi.expand(stage.volume(5), 1, limit_gib=2)
    return lambda: stage.controller.ControllerExpandVolume(request)


def _snapshot_of_nothing(stage: Stage) -> Call:
    request = csi.create_snapshot(stage.name(), csi.absent_id(stage.cloud.zones[0]))
    return lambda: stage.controller.CreateSnapshot(request)


def _snapshot_beyond_the_quota(stage: Stage) -> Call:
    stage.cloud.set_quota("block-storage-snapshot", 0)
    request = csi.create_snapshot(stage.name(), stage.volume())
    return lambda: stage.controller.CreateSnapshot(request)


def _snapshot_in_another_zone(stage: Stage) -> Call:
    request = csi.create_snapshot(stage.name(), stage.volume(), zones=[stage.cloud.zones[1]])
    return lambda: stage.controller.CreateSnapshot(request)


def _snapshot_of_a_taken_name(stage: Stage) -> Call:
    name = stage.name()
    stage.controller.CreateSnapshot(csi.create_snapshot(name, stage.volume()))
    request = csi.create_snapshot(name, stage.volume())
    return lambda: stage.controller.CreateSnapshot(request)


def _modify_what_is_reserved(stage: Stage) -> Call:
    request = csi_pb2.ControllerModifyVolumeRequest(
        volume_id=stage.volume(), mutable_parameters={"labels": "exoblock/name=mine"}
    )
    return lambda: stage.controller.ControllerModifyVolume(request)


def _unknown_token(stage: Stage) -> Call:
    request = csi_pb2.ListVolumesRequest(starting_token="nonsense")
    return lambda: stage.controller.ListVolumes(request)


SITUATIONS: Mapping[str, Callable[[Stage], Call]] = {
    "CreateVolume, quota of volumes": _quota("block-storage-volume", 0),
    "CreateVolume, quota of GiB": _quota("block-storage", 0),
    "CreateVolume, quota of size": _quota("block-storage-max-size", 4),
    "CreateVolume, larger than any": _too_large,
    "CreateVolume, unknown zone": _in_an_unknown_zone,
    "CreateVolume, source missing": _from_nothing,
    "CreateVolume, source in another zone": _from_another_zone,
    "CreateVolume, name taken": _of_a_taken_name,
    "DeleteVolume, attached": _delete_attached,
    "DeleteVolume, protected": _delete_protected,
    "DeleteVolume, another cluster's": _delete_anothers,
    "DeleteVolume, kept by its snapshots": _delete_with_snapshots,
    "ControllerPublishVolume, node full": _attach_beyond_the_limit,
    "ControllerPublishVolume, attached elsewhere": _attach_elsewhere,
    "ControllerPublishVolume, node too small": _attach_to_a_tiny_instance,
    "ControllerPublishVolume, node missing": _attach_to_nothing,
    "ControllerPublishVolume, volume missing": _attach_nothing,
    "ControllerPublishVolume, other zone": _attach_in_another_zone,
    "ControllerPublishVolume, volume in error": _attach_broken,
    "ControllerExpandVolume, in use": _expand_in_use,
    "ControllerExpandVolume, quota of GiB": _expand_beyond_the_quota,
    "ControllerExpandVolume, smaller": _shrink,
    "CreateSnapshot, volume missing": _snapshot_of_nothing,
    "CreateSnapshot, quota": _snapshot_beyond_the_quota,
    "CreateSnapshot, other zone": _snapshot_in_another_zone,
    "CreateSnapshot, name taken": _snapshot_of_a_taken_name,
    "ControllerModifyVolume, reserved label": _modify_what_is_reserved,
    "ListVolumes, unknown token": _unknown_token,
}


def _parts(volume: str) -> tuple[str, str]:
    zone, uuid = volume.split("/")
    return zone, uuid
