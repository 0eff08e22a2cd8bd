"""`import` prints objects for what exists (F9)."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from csi_exoblock.options import FormatPolicy, VolumeContext
from tests.support.simulator_process import SimulatorProcess
from tests.tools.conftest import Ended, Run, make_volume, run_tool
from tests.tools.objects import DRIVER

VENDOR = "csi.exoscale.com"


def items(run: Run, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return what is printed, by kind."""
    return {each["kind"]: each for each in run("import", *arguments).json["items"]}


def test_volume_becomes_a_persistent_volume_and_its_claim(
    run: Run, cloud: SimulatorProcess
) -> None:  # F9
    made = make_volume(cloud, "old")

    found = items(run, made["handle"], "--namespace=shop", "--name=data", "--fstype=xfs")

    spec = found["PersistentVolume"]["spec"]
    assert spec["csi"]["volumeHandle"] == made["handle"]
    assert spec["csi"]["fsType"] == "xfs"
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert spec["claimRef"] == {"namespace": "shop", "name": "data"}
    assert found["PersistentVolumeClaim"]["spec"]["volumeName"] == "data"
    terms = spec["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"]
    assert terms == [
        {"key": f"topology.{DRIVER}/zone", "operator": "In", "values": [cloud.zones[0]]}
    ]


def test_what_is_printed_is_never_formatted(run: Run, cloud: SimulatorProcess) -> None:  # F9, D1
    made = make_volume(cloud, "old")

    csi = items(run, made["handle"], "--partition=2")["PersistentVolume"]["spec"]["csi"]
    context = VolumeContext.parse(csi["volumeAttributes"])

    assert (context.format, context.partition) == (FormatPolicy.NEVER, 2)


def test_raw_volume_has_no_file_system(run: Run, cloud: SimulatorProcess) -> None:  # F9
    spec = items(run, make_volume(cloud, "old")["handle"], "--fstype=block")["PersistentVolume"][
        "spec"
    ]

    assert spec["volumeMode"] == "Block"
    assert "fsType" not in spec["csi"]


def test_snapshot_becomes_a_content_that_is_kept(run: Run, cloud: SimulatorProcess) -> None:  # F9
    made, zone = make_volume(cloud, "old"), cloud.zones[0]
    snapshot = cloud.add_snapshot(zone, made["id"], "before")

    found = items(run, f"{zone}/{snapshot}", "--namespace=shop")

    content = found["VolumeSnapshotContent"]["spec"]
    assert content["source"]["snapshotHandle"] == f"{zone}/{snapshot}"
    assert content["deletionPolicy"] == "Retain"
    assert found["VolumeSnapshot"]["metadata"]["namespace"] == "shop"


def test_what_does_not_exist_is_said(run: Run, cloud: SimulatorProcess) -> None:  # F9
    ended = run("import", f"{cloud.zones[0]}/00000000-0000-0000-0000-000000000001")

    assert ended.code == 1
    assert "neither a volume nor a snapshot" in ended.errors


@pytest.fixture
def desk(cloud: SimulatorProcess, tmp_path: pathlib.Path) -> Callable[..., Ended]:
    """Import outside of a pod, with a kubectl that has two contexts."""
    contexts = [
        {"name": "shop", "context": {"cluster": "c", "namespace": "shop"}},
        {"name": "bare", "context": {"cluster": "c"}},
    ]
    view = {"kind": "Config", "contexts": contexts, "current-context": "shop"}
    (tmp_path / "view.json").write_text(json.dumps(view))
    program = tmp_path / "kubectl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/told\ncat {tmp_path}/view.json || exit 1\n'
    )
    program.chmod(0o755)

    def start(*arguments: str) -> Ended:
        return run_tool("import", *arguments, environment={
            **cloud.environment,
            "EXOSCALE_API_ENDPOINT": cloud.api_endpoint,
            "PATH": f"{tmp_path}:/usr/bin:/bin",
        })  # fmt: skip

    return start


@pytest.mark.parametrize(
    ("flags", "expected"),
    [((), "shop"), (("--context=bare",), "default"), (("--namespace=media",), "media")],
)
def test_claim_is_in_the_namespace_of_the_context(
    desk: Callable[..., Ended], cloud: SimulatorProcess, flags: tuple[str, ...], expected: str
) -> None:  # F9
    volume, claim = desk(make_volume(cloud, "old")["handle"], *flags).json["items"]

    assert claim["metadata"]["namespace"] == expected
    assert volume["spec"]["claimRef"]["namespace"] == expected


def test_context_that_does_not_exist_is_said(
    desk: Callable[..., Ended], cloud: SimulatorProcess
) -> None:  # F9
    ended = desk(make_volume(cloud, "old")["handle"], "--context=gone")

    assert (ended.code, ended.output) == (1, "")
    assert "has no context gone" in ended.errors


def test_kubeconfig_that_can_not_be_read_is_said(
    desk: Callable[..., Ended], cloud: SimulatorProcess, tmp_path: pathlib.Path
) -> None:  # F9
    (tmp_path / "view.json").unlink()
    (tmp_path / "config").touch()

    ended = desk(make_volume(cloud, "old")["handle"], f"--kubeconfig={tmp_path}/config")

    assert (ended.code, ended.output) == (1, "")
    assert "kubectl config view: cat: " in ended.errors
    assert f"{tmp_path}/config config view" in (tmp_path / "told").read_text()


@pytest.mark.parametrize("arguments", [(), ("a/b", f"--from-driver={VENDOR}")])
def test_id_or_driver_is_needed(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("import", *arguments).code == 2
