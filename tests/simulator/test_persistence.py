"""With --persist a cloud survives a restart; without, nothing outlives the process."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from tests.simulator.client import ZoneClient
from tests.simulator.test_command import run
from tests.support.simulator_process import SimulatorProcess

FLAGS = ("--local-instance", "none", "--latency", "0s", "--seed", "1")


def test_everything_is_found_again(tmp_path: pathlib.Path) -> None:
    flags = (*FLAGS, "--persist", "--state-dir", str(tmp_path))
    with SimulatorProcess.start(*flags) as cloud:
        zone = ZoneClient(cloud, cloud.zones[1])
        volume = zone.create_volume(name="one", size=3, labels={"a": "b"})
        instance = cloud.add_instance(zone.zone)
        zone.create_snapshot(volume)
        zone.attach(volume, instance)
        cloud.set_quota("block-storage", 7)
        before = (cloud.volumes(), cloud.snapshots(), cloud.operations())
        zone.close()

    with SimulatorProcess.start(*flags) as cloud:
        zone = ZoneClient(cloud, cloud.zones[1])
        after = (cloud.volumes(), cloud.snapshots(), cloud.operations())
        quotas = {row["resource"]: row["limit"] for row in zone.get("quota")["quotas"]}
        other = zone.create_volume()
        zone.close()

    assert after == before
    assert quotas["block-storage"] == 7
    assert other != volume


def test_pending_operation_goes_on(tmp_path: pathlib.Path) -> None:
    flags = ("--local-instance", "none", "--persist", "--state-dir", str(tmp_path))
    with SimulatorProcess.start(*flags, "--latency", "0.5s") as cloud:
        zone = ZoneClient(cloud, cloud.zones[0])
        operation = zone.begin("POST", "block-storage", {"size": 1})
        zone.close()

    with SimulatorProcess.start(*flags) as cloud:
        zone = ZoneClient(cloud, cloud.zones[0])
        state = zone.wait(operation)["state"]
        volume = zone.volume(operation["reference"]["id"])
        zone.close()

    assert (state, volume["state"]) == ("success", "detached")


def test_nothing_is_kept_unless_asked(tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        with SimulatorProcess.start(*FLAGS, "--state-dir", str(tmp_path)) as cloud:
            assert cloud.volumes() == []
            zone = ZoneClient(cloud, cloud.zones[0])
            zone.create_volume()
            zone.close()


def test_state_directory_is_not_shared(tmp_path: pathlib.Path) -> None:
    with SimulatorProcess.start(*FLAGS, "--state-dir", str(tmp_path)):
        second = run(*FLAGS, "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path))

    assert second.returncode == 2
    assert "another simulator" in second.stderr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"zones": 1}',
        '{"volumes": []}',
        '{"zones": [], "operations": [], "quotas": {"nonsense": 1}, "random": []}',
        '{"zones": [], "operations": [], "quotas": {}, "random": [1]}',
    ],
)
def test_state_that_cannot_be_read_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)

    ended: subprocess.CompletedProcess[str] = run(
        "--listen", "127.0.0.1:0", *FLAGS, "--persist", "--state-dir", str(tmp_path)
    )

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert f"{tmp_path}/state.json" in ended.stderr
    assert (tmp_path / "state.json").read_text() == text
