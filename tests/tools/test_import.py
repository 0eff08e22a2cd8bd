"""`import` prints objects for what exists, and steps that never delete a volume (F9, F8)."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from csi_exoblock.options import FormatPolicy, VolumeContext
from tests.apiserver.server import ApiServer
from tests.support.simulator_process import SimulatorProcess
from tests.tools.conftest import VOLUMES, Run, make_volume
from tests.tools.objects import DRIVER, persistent_volume

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


@pytest.mark.parametrize("arguments", [(), ("a/b", f"--from-driver={VENDOR}")])
def test_id_or_driver_is_needed(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("import", *arguments).code == 2


@pytest.fixture
def played(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with a kubectl that notes what it is told, and answers as a test wrote it down."""
    folder = tmp_path / "played"
    folder.mkdir()
    (folder / "policy").write_text("Retain")
    (folder / "attached").write_text("")
    program = folder / "kubectl"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys\n"
        "folder, told = pathlib.Path(sys.argv[0]).parent, sys.argv[1:]\n"
        "body = sys.stdin.read() if told[0] == 'apply' else ''\n"
        "(folder / 'log').open('a').write(json.dumps([told, body]) + '\\n')\n"
        "if told[:2] == ['get', 'persistentvolume']: print((folder / 'policy').read_text())\n"
        "if told[:2] == ['get', 'volumeattachment']: print((folder / 'attached').read_text())\n"
    )
    program.chmod(0o755)
    return folder


@pytest.fixture
def script(run: Run, cloud: SimulatorProcess, cluster: ApiServer) -> str:
    """The steps for two PersistentVolumes of the vendor's driver, and one with a bare id."""
    cluster.lists[VOLUMES] = [
        persistent_volume("pv-1", f"{cloud.zones[0]}/{_ID}", VENDOR, claim="data"),
        persistent_volume("bare", _ID, VENDOR),
        persistent_volume("evil", "x\nkubectl delete namespace shop", VENDOR),
        persistent_volume("ours", f"{cloud.zones[0]}/{_ID}"),
    ]
    return run("import", f"--from-driver={VENDOR}").output


_ID = "00000000-0000-0000-0000-000000000001"


def told(script: str, played: pathlib.Path) -> tuple[int, list[tuple[list[str], str]]]:
    """Run the steps; return the exit code and what kubectl was told."""
    ended = subprocess.run(
        ("sh", "-c", script), cwd=played, capture_output=True, text=True, check=False,
        env={"PATH": f"{played}:{os.environ['PATH']}"},
    )  # fmt: skip
    log = (played / "log").read_text().splitlines()
    return ended.returncode, [tuple(json.loads(line)) for line in log]


def test_each_volume_is_kept_before_its_objects_are_deleted(
    script: str, played: pathlib.Path
) -> None:  # F8, F9
    code, calls = told(script, played)

    verbs = [(words[0], words[1]) for words, _ in calls]
    assert code == 0
    assert verbs == [
        ("patch", "persistentvolume"),
        ("get", "persistentvolume"),
        ("get", "volumeattachment"),
        ("get", "persistentvolumeclaim"),
        ("delete", "persistentvolumeclaim"),
        ("delete", "persistentvolume"),
        ("apply", "--filename"),
    ]
    applied = {each["kind"]: each for each in json.loads(calls[-1][1])["items"]}
    assert applied["PersistentVolume"]["spec"]["csi"]["driver"] == DRIVER
    assert applied["PersistentVolumeClaim"]["metadata"] == {"namespace": "shop", "name": "data"}


def test_nothing_is_deleted_unless_the_volume_is_kept(
    script: str, played: pathlib.Path
) -> None:  # F8, F9
    (played / "policy").write_text("Delete")

    code, calls = told(script, played)

    assert code != 0
    assert "delete" not in {words[0] for words, _ in calls}


def test_nothing_is_deleted_while_it_is_attached(script: str, played: pathlib.Path) -> None:  # F9
    (played / "attached").write_text("other\npv-1")

    code, calls = told(script, played)

    assert code != 0
    assert "delete" not in {words[0] for words, _ in calls}


def test_other_volumes_are_left_alone(script: str, played: pathlib.Path) -> None:  # F9, F17
    _, calls = told(script, played)

    text = json.dumps(calls)
    assert "namespace shop" not in text.replace("--namespace", "")
    assert "ours" not in text
    assert "bare" not in text
