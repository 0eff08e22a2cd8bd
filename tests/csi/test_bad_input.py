"""Every RPC times every required field: missing, empty, wrong, oversized; and nothing happens.

The table is made from the interface's own descriptor, so a field or an RPC that is new has to be
sorted in here before the tests pass.
"""

from __future__ import annotations

import mmap
import pathlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import grpc
import pytest
from google.protobuf.message import Message

from csi_exoblock.pb import csi_pb2
from tests.csi.conftest import SERVICES, Driver, stub_of

ID = "ch-gva-2/0a1b2c3d-4e5f-4789-abcd-000000000001"
GIB = 1024**3

REQUIRED: dict[str, tuple[str, ...]] = {
    "GetPluginInfo": (),
    "GetPluginCapabilities": (),
    "Probe": (),
    "CreateVolume": ("name", "volume_capabilities"),
    "DeleteVolume": ("volume_id",),
    "ControllerPublishVolume": ("volume_id", "node_id", "volume_capability"),
    "ControllerUnpublishVolume": ("volume_id",),
    "ValidateVolumeCapabilities": ("volume_id", "volume_capabilities"),
    "ListVolumes": (),
    "ControllerGetCapabilities": (),
    "CreateSnapshot": ("source_volume_id", "name"),
    "DeleteSnapshot": ("snapshot_id",),
    "ListSnapshots": (),
    "GetSnapshot": ("snapshot_id",),
    "ControllerExpandVolume": ("volume_id", "capacity_range"),
    "ControllerGetVolume": ("volume_id",),
    "ControllerModifyVolume": ("volume_id", "mutable_parameters"),
    "ControllerGetVolumeHealth": ("volume_id",),
    "ControllerListVolumeHealth": (),
    "GetCapacity": (),
    "NodeStageVolume": ("volume_id", "staging_target_path", "volume_capability"),
    "NodeUnstageVolume": ("volume_id", "staging_target_path"),
    "NodePublishVolume": (
        "volume_id",
        "staging_target_path",
        "target_path",
        "volume_capability",
    ),
    "NodeUnpublishVolume": ("volume_id", "target_path"),
    "NodeGetVolumeStats": ("volume_id", "volume_path"),
    "NodeGetVolumeHealth": ("volume_id",),
    "NodeExpandVolume": ("volume_id", "volume_path"),
    "NodeGetCapabilities": (),
    "NodeGetInfo": (),
}

# For these an id under which nothing can exist is a thing that is gone already.
GONE_IS_DONE = {
    "DeleteVolume",
    "DeleteSnapshot",
    "ControllerUnpublishVolume",
    "NodeUnstageVolume",
    "NodeUnpublishVolume",
}

_MODE = csi_pb2.VolumeCapability.AccessMode


def capability(mode: int = _MODE.SINGLE_NODE_MULTI_WRITER) -> csi_pb2.VolumeCapability:
    return csi_pb2.VolumeCapability(
        mount=csi_pb2.VolumeCapability.MountVolume(fs_type="ext4"),
        access_mode=_MODE(mode=cast(Any, mode)),
    )


def valid(field: str, folder: str) -> object:
    """Return a value that the field may have."""
    if field.endswith("_path"):
        return f"{folder}/{field}"
    if field == "capacity_range":
        return csi_pb2.CapacityRange(required_bytes=GIB)
    if field == "volume_capability":
        return capability()
    if field == "volume_capabilities":
        return [capability()]
    if field == "mutable_parameters":
        return {"labels": "tier=gold"}
    return "name" if field == "name" else ID


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a field, and what the answer must be.

    Attributes:
        says: What the message must name.
    """

    rpc: str
    field: str
    kind: str
    value: object
    code: str
    says: str = ""

    def __str__(self) -> str:
        return f"{self.rpc}-{self.field}-{self.kind}"


def flaws() -> Iterator[Flaw]:
    for rpc, fields in REQUIRED.items():
        for field in fields:
            yield Flaw(rpc, field, "missing", None, "INVALID_ARGUMENT", field)
            yield from BY_FIELD.get(field, _of_an_id)(rpc, field)


def _of_an_id(rpc: str, field: str) -> Iterator[Flaw]:
    code = "OK" if rpc in GONE_IS_DONE else "NOT_FOUND"
    for kind, value in (
        ("wrong", "no-id"),
        ("wrong-uuid", "ch-gva-2/0a1b"),
        ("climbing", "../../etc/passwd"),
        ("oversized", "x" * 5000),
    ):
        yield Flaw(rpc, field, kind, value, code, "" if code == "OK" else "does not exist")


def _of_a_name(rpc: str, field: str) -> Iterator[Flaw]:
    yield Flaw(rpc, field, "wrong", "a\x00b\x07", "INVALID_ARGUMENT", field)
    yield Flaw(rpc, field, "oversized", "x" * 129, "INVALID_ARGUMENT", field)


def _of_a_path(rpc: str, field: str) -> Iterator[Flaw]:
    yield Flaw(rpc, field, "relative", "a/b", "INVALID_ARGUMENT", field)
    yield Flaw(rpc, field, "climbing", "/a/../b", "INVALID_ARGUMENT", field)
    yield Flaw(rpc, field, "oversized", "/" + "x" * 5000, "INVALID_ARGUMENT", field)
    yield Flaw(rpc, field, "oversized-name", f"/a/{'x' * 256}/b", "INVALID_ARGUMENT", field)


def _of_where_a_volume_is(rpc: str, field: str) -> Iterator[Flaw]:
    yield Flaw(rpc, field, "relative", "a/b", "NOT_FOUND", field)
    yield Flaw(rpc, field, "oversized", "/" + "x" * 5000, "INVALID_ARGUMENT", field)


def _of_a_size(rpc: str, field: str) -> Iterator[Flaw]:
    # A volume that is large enough already needs nothing, whatever the maximum (S7): it is looked
    # at first, and this one does not exist.
    too_large = "NOT_FOUND" if rpc == "ControllerExpandVolume" else "OUT_OF_RANGE"
    for kind, size, code in (
        ("empty", csi_pb2.CapacityRange(), "INVALID_ARGUMENT"),
        ("wrong", csi_pb2.CapacityRange(required_bytes=-1), "INVALID_ARGUMENT"),
        ("reversed", csi_pb2.CapacityRange(required_bytes=2, limit_bytes=1), "INVALID_ARGUMENT"),
        ("oversized", csi_pb2.CapacityRange(required_bytes=2**62), too_large),
    ):
        yield Flaw(rpc, field, kind, size, code)


def _of_a_map(rpc: str, field: str) -> Iterator[Flaw]:
    for kind, value in (
        ("wrong", {"iops": "5000"}),
        ("empty", {"labels": "tier="}),
        ("oversized", {"labels": "tier=" + "x" * 5000}),
    ):
        says = field if kind == "oversized" else next(iter(value))
        yield Flaw(rpc, field, kind, value, "INVALID_ARGUMENT", says.removesuffix("s"))


def _of_a_capability(rpc: str, field: str) -> Iterator[Flaw]:
    for kind, value in _bad_capabilities():
        yield Flaw(rpc, field, kind, value, "INVALID_ARGUMENT", field)


def _of_capabilities(rpc: str, field: str) -> Iterator[Flaw]:
    # What is merely unsupported is answered with "no", once it is known that there is a volume.
    unsupported = "NOT_FOUND" if rpc == "ValidateVolumeCapabilities" else "INVALID_ARGUMENT"
    for kind, value in _bad_capabilities():
        code = "INVALID_ARGUMENT" if kind.startswith("empty") else unsupported
        yield Flaw(rpc, field, kind, [value], code, field if code == "INVALID_ARGUMENT" else "")
    block = capability()
    block.block.SetInParent()
    yield Flaw(rpc, field, "both-kinds", [capability(), block], unsupported)


def _bad_capabilities() -> Iterator[tuple[str, csi_pb2.VolumeCapability]]:
    yield "empty", csi_pb2.VolumeCapability()
    yield "empty-mode", csi_pb2.VolumeCapability(mount=csi_pb2.VolumeCapability.MountVolume())
    yield "many-readers", capability(_MODE.MULTI_NODE_READER_ONLY)
    yield "many-writers", capability(_MODE.MULTI_NODE_MULTI_WRITER)
    wrong = capability()
    wrong.mount.fs_type = "ntfs"
    yield "wrong-filesystem", wrong
    group = capability()
    group.mount.volume_mount_group = "1000"
    yield "group", group
    oversized = capability()
    oversized.mount.mount_flags.append("x" * 5000)
    yield "oversized", oversized


BY_FIELD: dict[str, Callable[[str, str], Iterator[Flaw]]] = {
    "name": _of_a_name,
    "staging_target_path": _of_a_path,
    "target_path": _of_a_path,
    "volume_path": _of_where_a_volume_is,
    "capacity_range": _of_a_size,
    "volume_capability": _of_a_capability,
    "volume_capabilities": _of_capabilities,
    "mutable_parameters": _of_a_map,
}


@pytest.fixture
def untouched(driver: Driver) -> Iterator[None]:
    """Nothing is written in the cloud, and nothing mounted, made or left in the folder."""
    mounts = mounts_below(driver.folder)
    files = sorted(driver.folder.iterdir())
    driver.cloud.clear_calls()
    yield
    reads = ("list-", "get-")
    assert [call for call in driver.cloud.operations_called() if not call.startswith(reads)] == []
    assert mounts_below(driver.folder) == mounts
    assert sorted(driver.folder.iterdir()) == files


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("flaw", [*flaws()], ids=str)
def test_a_flaw_is_named_and_nothing_happens(driver: Driver, flaw: Flaw) -> None:  # F11
    fields = {field: valid(field, str(driver.folder)) for field in REQUIRED[flaw.rpc]}
    fields[flaw.field] = flaw.value

    code, message = call(driver, flaw.rpc, fields)

    assert code == flaw.code, message
    assert flaw.says in message
    assert len(message.encode()) < 1000


def test_every_required_field_is_one_of_the_interface() -> None:
    for rpc, fields in REQUIRED.items():
        assert set(fields) <= set(request_of(rpc).DESCRIPTOR.fields_by_name), rpc


def test_every_rpc_is_in_the_table_or_not_offered(driver: Driver) -> None:
    for name, service in SERVICES.items():
        for method in service.methods:
            if method.name in REQUIRED:
                continue
            stub = stub_of(name, driver.channel)
            with pytest.raises(grpc.RpcError) as caught:
                getattr(stub, method.name)(request_of(method.name))
            assert cast(grpc.Call, caught.value).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"colour": "red"}, "colour"),
        ({"blockSize": "512"}, "4096"),
        ({"blockSize": str(2 * mmap.PAGESIZE)}, f"{mmap.PAGESIZE} bytes"),
        ({"mkfsOptions": "-F"}, "-F"),
        ({"mkfsOptions": "-L $(reboot)"}, "mkfsOptions"),
        ({"labels": "exoblock/driver=mine"}, "exoblock/"),
        ({"labels": "no value"}, "no value"),
        ({"zone": "Nowhere!"}, "zone"),
        ({"blockSize": "4096", "blocksize": "1024"}, "given twice"),
        ({"encrypted": "true"}, "encrypted"),
        ({"fsck": "sometimes"}, "fsck"),
        ({"labels": "a=" + "x" * 5000}, "parameters"),
    ],
)
def test_a_class_parameter_that_is_wrong_is_named(
    driver: Driver, parameters: dict[str, str], says: str
) -> None:  # F13, N9
    fields = {"name": "n", "volume_capabilities": [capability()], "parameters": parameters}

    code, message = call(driver, "CreateVolume", fields)

    assert code == "INVALID_ARGUMENT", message
    assert says in message


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("data=journal", "delalloc"), "delalloc"),
        (("ro", "norecovery", "rw"), "norecovery"),
        (("prjquota",), "-O project"),
        (("noatime,loop",), "loop"),
    ],
)
def test_mount_options_that_would_strand_the_pod_are_named(
    driver: Driver, flags: tuple[str, ...], says: str
) -> None:  # S28, F13
    wanted = capability()
    wanted.mount.mount_flags.extend(flags)

    code, message = call(driver, "CreateVolume", {"name": "n", "volume_capabilities": [wanted]})

    assert code == "INVALID_ARGUMENT", message
    assert says in message


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"mkfsOptions": "-F"}, "-F"),
        ({"mkfsOptions": "-L $(reboot)"}, "-L"),
        ({"blockSize": "512"}, "4096"),
        ({"format": "always"}, "always"),
        ({"encrypted": "true"}, "encrypted"),
        ({"other": "x" * 5000}, "volume_context"),
    ],
)
def test_an_attribute_that_is_wrong_is_named_on_the_node(
    driver: Driver, attributes: dict[str, str], says: str
) -> None:  # F13: a PV may have been made by hand
    fields = {field: valid(field, str(driver.folder)) for field in REQUIRED["NodeStageVolume"]}

    code, message = call(driver, "NodeStageVolume", {**fields, "volume_context": attributes})

    assert code == "INVALID_ARGUMENT", message
    assert says in message


def test_an_unknown_parameter_is_told_with_those_that_are_known(driver: Driver) -> None:
    fields = {"name": "n", "volume_capabilities": [capability()], "parameters": {"colour": "red"}}

    _, message = call(driver, "CreateVolume", fields)

    assert all(known in message for known in ("labels", "mkfsOptions", "xfsCompat", "zone"))


@pytest.mark.usefixtures("untouched")
def test_a_snapshot_that_cannot_exist_is_no_source(driver: Driver) -> None:
    source = csi_pb2.VolumeContentSource(
        snapshot=csi_pb2.VolumeContentSource.SnapshotSource(snapshot_id="nonsense")
    )
    fields = {
        "name": "n",
        "volume_capabilities": [capability()],
        "volume_content_source": source,
    }

    code, message = call(driver, "CreateVolume", fields)

    assert code == "NOT_FOUND", message


@pytest.mark.usefixtures("untouched")
def test_a_read_only_attach_is_refused(driver: Driver) -> None:  # F15
    rpc = "ControllerPublishVolume"
    fields = {field: valid(field, str(driver.folder)) for field in REQUIRED[rpc]}

    code, message = call(driver, rpc, {**fields, "readonly": True})

    assert code == "INVALID_ARGUMENT", message
    assert "readonly" in message


@pytest.mark.parametrize("entries", [-1, -(2**31)])
@pytest.mark.parametrize("rpc", ["ListVolumes", "ListSnapshots"])
def test_a_negative_page_is_refused(driver: Driver, rpc: str, entries: int) -> None:
    code, message = call(driver, rpc, {"max_entries": entries})

    assert code == "INVALID_ARGUMENT", message
    assert "max_entries" in message


def mounts_below(folder: pathlib.Path) -> list[str]:
    """Return the mounts below a folder; elsewhere other tests mount meanwhile."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(folder) in line]


def request_of(rpc: str) -> Message:
    """Return an empty request for an RPC."""
    return cast(Message, getattr(csi_pb2, f"{rpc}Request")())


def call(driver: Driver, rpc: str, fields: Mapping[str, object]) -> tuple[str, str]:
    """Make a call and return the code that it ends with, and its message."""
    given = {name: value for name, value in fields.items() if value is not None}
    request = type(request_of(rpc))(**given)
    service = next(name for name, service in SERVICES.items() if rpc in service.methods_by_name)
    try:
        getattr(stub_of(service, driver.channel), rpc)(request)
    except grpc.RpcError as error:
        ended = cast(grpc.Call, error)
        return ended.code().name, ended.details() or ""
    return "OK", ""
