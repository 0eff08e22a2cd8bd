"""`import --from-driver` prints steps that never lose a volume, however they are run (F9, F8)."""

from __future__ import annotations

import copy
import itertools
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from csi_exoblock.options import FormatPolicy, VolumeContext
from tests.apiserver.server import ApiServer
from tests.support.simulator_process import SimulatorProcess
from tests.tools.conftest import VOLUMES, Run, run_tool
from tests.tools.moved_cluster import MovedCluster
from tests.tools.objects import DRIVER, Object, persistent_volume

VENDOR = "csi.exoscale.com"
_ID = "00000000-0000-0000-0000-00000000000"
_TRIES = 2
# Which calls these are, with one volume.
_DELETE_VOLUME, _APPLY = 10, 12

Begin = Callable[..., tuple[str, MovedCluster]]


@pytest.fixture
def begin(run: Run, cluster: ApiServer, tmp_path: pathlib.Path) -> Begin:
    """Return the steps for PersistentVolumes, and a cluster that has them."""

    def start(*volumes: Object) -> tuple[str, MovedCluster]:
        cluster.lists[VOLUMES] = list(volumes)
        script = run("import", f"--from-driver={VENDOR}").output
        return script, MovedCluster(tmp_path / "moved", copy.deepcopy(list(volumes)))

    return start


def volume(number: int, claim: str = "", driver: str = VENDOR, **spec: Any) -> Object:
    """Return the PersistentVolume `pv-<number>`."""
    return persistent_volume(f"pv-{number}", f"ch-gva-2/{_ID}{number}", driver, claim=claim, **spec)


def released(number: int, claim: str) -> Object:
    """Return a PersistentVolume that stayed when its claim was deleted."""
    found = volume(number, claim, persistentVolumeReclaimPolicy="Retain")
    found["spec"]["claimRef"]["uid"] = "uid-of-the-claim-before"
    return {**found, "status": {"phase": "Released"}}


def new(number: int) -> str:
    """Return the file that has the new objects for `pv-<number>`."""
    return f"moved/pv-{number}.uid-of-pv-{number}/new.json"


def test_all_are_kept_before_anything_is_deleted(begin: Begin) -> None:  # F8, F9
    script, moved = begin(volume(1, "data"), volume(2, "logs"), volume(3))

    ran = moved.run(script)

    assert ran.code == 0, ran.errors
    assert ran.changes == [
        ("patch", "pv-1"), ("patch", "pv-2"), ("patch", "pv-3"),
        ("delete", "data"), ("delete", "pv-1"), ("apply", new(1)),
        ("delete", "logs"), ("delete", "pv-2"), ("apply", new(2)),
        ("delete", "pv-3"), ("apply", new(3)),
    ]  # fmt: skip
    assert moved.drivers() == dict.fromkeys(("pv-1", "pv-2", "pv-3"), DRIVER)
    assert moved["claims"]["shop/data"]["spec"]["volumeName"] == "pv-1"
    assert moved["lost"] == []


def test_steps_that_stopped_at_any_change_go_on(begin: Begin, tmp_path: pathlib.Path) -> None:  # F9
    script, moved = begin(volume(1, "data"))
    calls = moved.run(script).calls
    changing = [number for number, words in enumerate(calls, 1) if words[0] != "get"]
    ways = itertools.product(("fails_before", "fails_after"), changing)

    for way, call in (*ways, ("fails_between", len(calls))):
        played = MovedCluster(tmp_path / f"{way}-{call}", [volume(1, "data")])
        played.set(**{way: call})

        codes = [played.run(script).code for _ in range(_TRIES)]

        assert (way, call, codes) == (way, call, [1, 0])
        assert played["lost"] == []
        assert played.drivers() == {"pv-1": DRIVER}
        assert played["claims"]["shop/data"]["spec"]["volumeName"] == "pv-1"
        assert played.saved("*/claim.json")["metadata"]["labels"] == {"app": "shop"}
        assert played.saved("*/old.json")["spec"]["csi"]["driver"] == VENDOR


def test_what_is_moved_is_left_alone_when_another_one_stopped_the_steps(
    begin: Begin,
) -> None:  # F9
    script, moved = begin(volume(1, "data"), volume(2, "logs"))
    moved.set(attached=["other", "pv-2"])
    stopped = moved.run(script)
    moved.set(attached=[])

    ran = moved.run(script)

    assert (stopped.code, ran.code) == (1, 0)
    assert "pv-2 is still attached" in stopped.errors
    assert ("delete", "pv-2") not in stopped.changes
    assert ran.changes == [
        ("patch", "pv-2"), ("delete", "logs"), ("delete", "pv-2"), ("apply", new(2))
    ]  # fmt: skip
    assert moved.saved("pv-1.*/claim.json")["metadata"]["labels"] == {"app": "shop"}


def test_moved_volumes_are_left_alone_from_any_folder(begin: Begin) -> None:  # F9
    script, moved = begin(volume(1, "data"))
    moved.run(script)

    ran = moved.run(script, within="elsewhere")

    assert (ran.code, ran.changes) == (0, [])


def test_what_was_deleted_can_be_made_without_the_steps(begin: Begin) -> None:  # F9
    script, moved = begin(volume(1, "data"))
    moved.set(fails_before=_APPLY)

    ran = moved.run(script)

    told = f"kubectl apply --filename {new(1)}"
    assert ran.changes[-1] == ("apply", new(1))
    assert told in ran.errors
    assert moved.run(told).code == 0
    assert moved.drivers() == {"pv-1": DRIVER}


def test_claim_of_another_volume_stays_where_its_name_was_used_before(begin: Begin) -> None:  # F9
    script, moved = begin(
        released(1, "data"), volume(2, "data"), released(3, "logs"), volume(4, "logs", "other")
    )

    ran = moved.run(script)

    assert ran.code == 0, ran.errors
    assert moved["lost"] == []
    assert moved.drivers() == {"pv-1": VENDOR, "pv-2": DRIVER, "pv-3": VENDOR, "pv-4": "other"}
    assert moved["claims"]["shop/data"]["spec"]["volumeName"] == "pv-2"
    assert moved["claims"]["shop/logs"]["metadata"]["uid"] == "uid-of-logs"
    assert script.count("# Not moved: it is Released") == 2


def test_claim_that_became_another_volumes_is_not_deleted(begin: Begin) -> None:  # F9
    script, moved = begin(volume(1, "data"))
    moved["claims"]["shop/data"] = {
        "metadata": {"uid": "another", "namespace": "shop", "name": "data"},
        "spec": {"volumeName": "pv-2"},
    }

    ran = moved.run(script)

    assert (ran.code, ran.changes) == (1, [("patch", "pv-1")])
    assert "claim shop/data is not the one that was bound to pv-1" in ran.errors


@pytest.mark.parametrize("deleted", ["claim", "both"])
def test_claim_that_a_workload_made_meanwhile_stays(begin: Begin, deleted: str) -> None:  # F9
    script, moved = begin(volume(1, "data"))
    moved.set(fails_before=_APPLY if deleted == "both" else _DELETE_VOLUME)
    moved.run(script)
    made = {"metadata": {"uid": "another", "namespace": "shop", "name": "data"}, "spec": {}}
    moved["claims"]["shop/data"] = made

    ran = moved.run(script)
    del moved["claims"]["shop/data"]
    after = moved.run(script)

    assert ran.code == 1
    assert ("delete", "data") not in ran.changes
    assert "somebody made a claim shop/data meanwhile" in ran.errors
    assert (after.code, moved.drivers()) == (0, {"pv-1": DRIVER})


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("metadata", "uid"), "another"),
        (("spec", "capacity", "storage"), "2Gi"),
        (("spec", "claimRef", "uid"), "another"),
    ],
    ids=("made again", "grown", "bound again"),
)
def test_volume_that_changed_since_is_not_deleted(
    begin: Begin, where: tuple[str, ...], value: str
) -> None:  # F9
    script, moved = begin(volume(1, "data", persistentVolumeReclaimPolicy="Retain"))
    found = moved["volumes"]["pv-1"]
    for key in where[:-1]:
        found = found[key]
    found[where[-1]] = value

    ran = moved.run(script)

    assert ran.code == 1
    assert "delete" not in {verb for verb, _ in ran.changes}
    assert "print these steps again" in ran.errors


def test_volume_that_somebody_deleted_is_not_made_again(begin: Begin) -> None:  # F9
    script, moved = begin(volume(1, "data"))
    moved["volumes"].clear()

    ran = moved.run(script)

    assert (ran.code, ran.changes) == (1, [])
    assert "pv-1 is gone" in ran.errors


def test_nothing_is_deleted_unless_the_volume_is_kept(begin: Begin) -> None:  # F8, F9
    script, moved = begin(volume(1, "data"))
    moved.set(ignores_patches=True)

    ran = moved.run(script)

    assert ran.code == 1
    assert "delete" not in {verb for verb, _ in ran.changes}


def test_other_volumes_are_left_alone(begin: Begin) -> None:  # F9, F17
    bare = persistent_volume("bare", f"{_ID}1", VENDOR)
    evil = persistent_volume("evil", "x\nkubectl delete namespace shop", VENDOR)
    leaving = volume(4, "logs")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    script, moved = begin(volume(1, "data"), bare, evil, volume(3, driver=DRIVER), leaving)

    ran = moved.run(script)

    assert ran.code == 0, ran.errors
    assert {name for _, name in ran.changes} == {"pv-1", "data", new(1)}
    asked = {word for call in ran.calls for word in call}
    assert not {"bare", "evil", "pv-3", "pv-4", "namespace"} & asked


def test_what_a_pod_needs_is_the_same_afterwards(begin: Begin) -> None:  # F9, D1
    old = volume(1, "data", mountOptions=["noatime"], capacity={"storage": "1e9"})
    old["spec"]["csi"]["readOnly"] = True
    old["spec"]["csi"]["volumeAttributes"]["partition"] = "2"
    script, moved = begin(old)

    moved.run(script)

    spec = moved["volumes"]["pv-1"]["spec"]
    context = VolumeContext.parse(spec["csi"]["volumeAttributes"])
    assert spec["mountOptions"] == ["noatime"]
    assert spec["csi"]["readOnly"] is True
    assert (context.format, context.partition) == (FormatPolicy.NEVER, 2)
    assert spec["capacity"] == {"storage": "1e9"}
    requests = moved["claims"]["shop/data"]["spec"]["resources"]["requests"]
    assert requests == {"storage": "1e9"}


def test_moved_volume_is_not_formatted(begin: Begin) -> None:  # F9, D1
    script, moved = begin(volume(1, "data"))

    moved.run(script)

    csi = moved["volumes"]["pv-1"]["spec"]["csi"]
    assert VolumeContext.parse(csi.get("volumeAttributes", {})).format is FormatPolicy.NEVER


def test_volume_without_a_readable_capacity_stays(begin: Begin) -> None:  # F9
    script, moved = begin(volume(1, "data", capacity={"storage": "much"}))

    ran = moved.run(script)

    assert (ran.code, ran.changes) == (0, [])
    assert "# Not moved: its capacity 'much' can't be read" in script


def test_steps_reach_the_cluster_that_was_read(
    cloud: SimulatorProcess, cluster: ApiServer, kubectl: pathlib.Path, tmp_path: pathlib.Path
) -> None:  # F9
    cluster.lists[VOLUMES] = [volume(1, "data")]
    ended = run_tool(
        "import", f"--from-driver={VENDOR}", "--context=admin@shop",
        environment={
            **cloud.environment,
            "EXOSCALE_API_ENDPOINT": cloud.api_endpoint,
            "PATH": f"{kubectl}:/usr/bin:/bin",
        },
    )  # fmt: skip
    moved = MovedCluster(tmp_path / "moved", [volume(1, "data")])
    moved.set(fails_before=_APPLY)

    ran = moved.run(ended.output)

    assert {each[0] for each in ran.calls} == {"--context=admin@shop"}
    assert f"kubectl --context=admin@shop apply --filename {new(1)}" in ran.errors
    assert "# kubectl --context=admin@shop patch persistentvolume pv-1" in ended.output


def test_delete_comes_back_only_where_the_volume_was_moved(begin: Begin) -> None:  # F9
    script, moved = begin(volume(1, "data"), volume(2, persistentVolumeReclaimPolicy="Retain"))
    (line,) = [each for each in script.splitlines() if each.startswith("# kubectl patch")]
    patch = line.removeprefix("# ")

    before = moved.run(patch)
    moved.run(script)
    after = moved.run(patch)

    assert (before.code, after.code) == (1, 0)
    assert moved["volumes"]["pv-1"]["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
