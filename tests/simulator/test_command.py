"""The command starts with good values, says in one line what is wrong with bad ones, and stops."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import click.testing
import pytest
import requests

from csi_exoblock.simulator.command import simulator
from csi_exoblock.simulator.state.modes import Question
from tests.simulator.client import ZoneClient
from tests.support.loop_devices import loop_devices_below
from tests.support.simulator_process import SimulatorProcess

START = "from csi_exoblock.__main__ import main; main()"
INSTANCE = "6f1c2d3e-0000-4000-8000-000000000000"


def run(*flags: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{START}", "simulator", *flags],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "flags",
    [
        ("--listen", "18080"),
        ("--listen", "127.0.0.1:http"),
        ("--listen", "127.0.0.1:65536"),
        ("--sim-zones", ""),
        ("--sim-zones", "ch-gva-2,ch-gva-2"),
        ("--sim-zones", "Geneva/2"),
        ("--latency", "soon"),
        ("--latency", "cook=1s"),
        ("--latency", "create=-1s"),
        ("--vary", "off"),
        ("--vary", "spread=wide"),
        ("--vary", "cook=0.3"),
        ("--vary", "spread=-0.1"),
        ("--vary", "stragglers=2"),
        ("--vary", "slow-every=1m,slow-for=2m"),
        ("--local-instance", "one"),
        ("--local-instance", f"at-vie-2/{INSTANCE}"),
        ("--mode", "names-unique"),
        ("--mode", "names-unique=perhaps"),
        ("--time-scale", "0"),
        ("--time-scale", "nan"),
        ("--faults", "/nonexistent/rules.json"),
        ("--persist",),
    ],
)
def test_bad_value_ends_with_one_line_and_code_2(flags: tuple[str, ...]) -> None:
    ended = click.testing.CliRunner().invoke(simulator, flags)

    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert flags[0] in ended.stderr


def test_bad_state_directory_ends_with_one_line_and_code_2() -> None:
    ended = run("--state-dir", "/dev/null/state")

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "/dev/null/state" in ended.stderr


@pytest.mark.parametrize("rules", ["{", "{}", '[{"fault": "explode"}]', '["drop"]'])
def test_bad_rules_end_with_one_line_and_code_2(tmp_path: pathlib.Path, rules: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(rules)

    ended = click.testing.CliRunner().invoke(simulator, ["--faults", str(path)])

    assert ended.exit_code == 2
    assert len(ended.stderr.splitlines()) == 1
    assert str(path) in ended.stderr


def test_missing_aiohttp_names_the_extra() -> None:
    ended = run(before="import sys; sys.modules['aiohttp'] = None")

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "csi-exoblock[simulator]" in ended.stderr


def test_address_in_use_ends_with_one_line_and_code_2(cloud: SimulatorProcess) -> None:
    ended = run("--local-instance", "none", "--listen", cloud.base_url.removeprefix("http://"))

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


def test_modes_are_listed_with_all_their_answers() -> None:
    ended = run("--list-modes")

    assert ended.returncode == 0
    for question in Question:
        assert f"{question.label}={'|'.join(question.answers)}" in ended.stdout


def test_it_plays_the_zones_and_instances_that_it_is_told(tmp_path: pathlib.Path) -> None:
    flags = ("--sim-zones", "at-vie-1,at-vie-2", "--device-dir", str(tmp_path / "by-id"))
    instances = ("--local-instance", INSTANCE, "--local-instance", f"at-vie-2/{INSTANCE}")

    with SimulatorProcess.start(*flags, *instances) as cloud:
        zone = ZoneClient(cloud, "at-vie-2")
        state = zone.get(f"instance/{INSTANCE}")["state"]
        zone.close()

        assert cloud.zones == ("at-vie-1", "at-vie-2")
        assert cloud.instances == (f"at-vie-1/{INSTANCE}", f"at-vie-2/{INSTANCE}")
        assert state == "running"


def test_scaled_latency_is_the_least_time_of_an_operation() -> None:
    flags = ("--local-instance", "none", "--latency", "create=1h,delete=0s")

    with SimulatorProcess.start(*flags, "--time-scale", "0.00005") as cloud:
        zone = ZoneClient(cloud, cloud.zones[0])
        zone.complete("DELETE", f"block-storage/{zone.create_volume()}")
        zone.close()

        seconds = {each["kind"]: each["seconds"] for each in cloud.operations()}
        assert cloud.cloud_seconds() == pytest.approx(sum(seconds.values()))
        assert seconds["create"] >= 0.18


def test_same_seed_and_calls_give_the_same_ids() -> None:
    def ids(seed: str) -> tuple[str, ...]:
        flags = ("--local-instance", "none", "--latency", "0s", "--seed", seed)
        with SimulatorProcess.start(*flags) as cloud:
            zone = ZoneClient(cloud, cloud.zones[0])
            volume = zone.create_volume()
            snapshot = zone.create_snapshot(volume)
            zone.close()
            return volume, snapshot, cloud.add_instance(zone.zone)

    assert ids("1") == ids("1")
    assert ids("1") != ids("2")


def test_calls_are_logged_in_order_with_who_asked(
    cloud: SimulatorProcess, zone: ZoneClient
) -> None:
    volume = zone.create_volume()
    zone.send("GET", f"block-storage/{INSTANCE}")

    calls = cloud.calls()

    assert calls[0].operation == "create-block-storage-volume"
    assert (calls[-1].operation, calls[-1].status) == ("get-block-storage-volume", 404)
    assert calls[-1].resource == INSTANCE != volume
    assert all(call.zone == zone.zone for call in calls)
    assert all(call.user_agent.startswith("python-requests/") for call in calls)
    assert [call.number for call in calls] == sorted(call.number for call in calls)
    assert cloud.calls(after=calls[-2].number) == calls[-1:]


def test_calls_can_be_forgotten(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    zone.get("quota")
    cloud.clear_calls()
    zone.get("block-storage")

    assert cloud.operations_called() == ["list-block-storage-volumes"]


def test_control_describes_itself(cloud: SimulatorProcess) -> None:
    described = requests.get(f"{cloud.base_url}/_simulator/", timeout=30).json()

    assert "GET /_simulator/calls" in described
    assert all(described.values())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("quotas", {"block-storage": "7"}),
        ("quotas", {"block-storage": True}),
        ("quotas", {"block-storage": -2}),
        ("quotas", {"block-storage": 7, "nonsense": 7}),
        ("latencies", {"create": "nan"}),
        ("latencies", {"create": 1, "all": -1}),
        ("latencies", {"create": 1, "cook": 1}),
        ("variation", {"spread": 0.5, "cook": 0.3}),
        ("variation", {"spread": "nan"}),
        ("variation", {"stragglers": True}),
        ("variation", {"slow-every": 60, "slow-for": 90}),
        ("modes", {"names-unique": "yes", "list-lag": "perhaps"}),
        ("zones", {"listed": ["ch-gva-2", "zz-top-1"]}),
        ("zones", {"listed": "ch-gva-2"}),
    ],
)
def test_a_setting_that_makes_no_sense_changes_nothing(
    cloud: SimulatorProcess, path: str, body: object
) -> None:
    url = f"{cloud.base_url}/_simulator/{path}"
    before = requests.get(url, timeout=30).json()

    answer = requests.put(url, json=body, timeout=30)

    assert answer.status_code in (400, 404)
    assert requests.get(url, timeout=30).json() == before


def test_labels_are_changed_from_behind(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    volume = zone.create_volume(labels={"a": "1", "b": "2"})
    cloud.relabel_volume(zone.zone, volume, {"a": None, "c": "3"})
    cloud.relabel_volume(zone.zone, volume, {"protect": "yes"}, after_get=True)

    seen = [zone.volume(volume)["labels"] for _ in range(2)]

    assert seen == [{"b": "2", "c": "3"}, {"b": "2", "c": "3", "protect": "yes"}]


def test_snapshot_is_added_from_behind(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    volume = zone.create_volume(size=3)

    snapshot = cloud.add_snapshot(zone.zone, volume, "mine")

    found = zone.snapshot(snapshot)
    assert (found["name"], found["state"], found["volume-size"]) == ("mine", "created", 3)
    assert zone.volume(volume)["block-storage-snapshots"] == [{"id": snapshot}]


@pytest.mark.parametrize("listed", [[], [1]], ids=["none", "the second"])
def test_list_of_zones_may_lack_some(
    cloud: SimulatorProcess, zone: ZoneClient, listed: list[int]
) -> None:
    names = [cloud.zones[number] for number in listed]
    cloud.list_zones_as(*names)

    assert [each["name"] for each in zone.get("zone")["zones"]] == names
    zone.create_volume()
    cloud.clear()
    assert [each["name"] for each in zone.get("zone")["zones"]] == [*cloud.zones]


def test_large_zone_is_listed_whole(cloud: SimulatorProcess, zone: ZoneClient) -> None:
    cloud.add_volumes(zone.zone, 10_000, prefix="old-")

    volumes = zone.get("block-storage")["block-storage-volumes"]

    assert len({volume["id"] for volume in volumes}) == 10_000
    assert {volume["name"] for volume in volumes} == {f"old-{n}" for n in range(10_000)}


def test_stop_is_prompt_and_clean_with_operations_in_flight() -> None:
    cloud = SimulatorProcess.start("--local-instance", "none", "--latency", "1h")
    zone = ZoneClient(cloud, cloud.zones[0])
    zone.begin("POST", "block-storage", {"size": 1})
    zone.close()

    assert cloud.stop() == 0


def test_stop_while_it_starts_leaves_nothing(tmp_path: pathlib.Path) -> None:
    instead = "asyncio.run = lambda serving: os.kill(os.getpid(), signal.SIGTERM)"

    ended = run(before=f"import asyncio, os, signal\n{instead}", TMPDIR=str(tmp_path))

    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_stop_while_it_tries_a_loop_device_leaves_none(tmp_path: pathlib.Path) -> None:
    stopped_after_losetup = """
import os, signal
from csi_exoblock.simulator.disks import loop_disks
real = loop_disks._run
def run(*argv):
    out = real(*argv)
    if "--find" in argv:
        os.kill(os.getpid(), signal.SIGTERM)
    return out
loop_disks._run = run
"""
    links = tmp_path / "by-id"

    ended = run("--device-dir", str(links), before=stopped_after_losetup, TMPDIR=str(tmp_path))
    left = loop_devices_below(tmp_path)
    for device in left:
        subprocess.run(["losetup", "--detach", device], check=True)

    assert ended.returncode == 130
    assert left == {}
    assert list(tmp_path.iterdir()) == [links]


def test_under_nohup_it_outlives_its_terminal() -> None:
    command = ["nohup", sys.executable, "-c", START, "simulator"]
    process = subprocess.Popen(
        [*command, "--local-instance", "none", "--listen", "127.0.0.1:0"],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[3]
        process.send_signal(signal.SIGHUP)
        answer = requests.get(f"{url}/_simulator/", timeout=30)
    finally:
        process.terminate()
        process.communicate(timeout=60)

    assert answer.ok
    assert process.returncode == 0


def test_stop_does_not_wait_for_what_a_rule_delays() -> None:
    cloud = SimulatorProcess.start("--local-instance", "none")
    zone = ZoneClient(cloud, cloud.zones[0])
    cloud.add_fault(fault="delay", operation="list-zones", seconds=3600)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(zone.send, "GET", "zone")
        while not any(rule["fired"] for rule in cloud.faults()):
            assert not answer.done()

        assert cloud.stop() == 0

        with pytest.raises(requests.ConnectionError):
            answer.result()
    zone.close()
