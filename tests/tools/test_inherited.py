"""A command in the driver's container has the flags of the driver there (N11)."""

from __future__ import annotations

import os
import pathlib

import pytest

from csi_exoblock.flags.inherited import of_container

pytestmark = pytest.mark.fast


def proc(folder: pathlib.Path, *words: str) -> pathlib.Path:
    """Return a /proc whose process 1 has this command line."""
    (folder / "1").mkdir()
    (folder / "1" / "cmdline").write_bytes(b"".join(each.encode() + b"\0" for each in words))
    return folder


@pytest.mark.parametrize(
    "program",
    [("/opt/csi-exoblock/bin/python3", "/opt/csi-exoblock/bin/csi-exoblock"), ("csi-exoblock",)],
)
def test_flags_of_the_service_are_taken_over(
    tmp_path: pathlib.Path, program: tuple[str, ...]
) -> None:  # N11
    found = of_container(
        proc(tmp_path, *program, "controller", "--cluster-id", "a", "--zones=ch-gva-2,de-fra-1")
    )

    assert found == {"cluster_id": "a", "zones": "ch-gva-2,de-fra-1"}


@pytest.mark.parametrize("of_the_host", ["mnt:[1]", "may not be seen"])
def test_driver_is_found_among_the_processes_of_the_host(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, of_the_host: str
) -> None:  # N11
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    folder = proc(tmp_path, "/sbin/init")
    for pid, mounts, words in (
        ("1", of_the_host, None),
        ("self", "mnt:[2]", None),
        ("7", "mnt:[3]", ("csi-exoblock", "node", "--driver-name=another")),
        ("8", "mnt:[2]", ("csi-exoblock", "doctor", "--node")),
        ("9", "mnt:[2]", ("csi-exoblock", "node", "--kubelet-path=/kubelet")),
    ):
        (folder / pid / "ns").mkdir(parents=True, exist_ok=True)
        if mounts.startswith("mnt:"):
            (folder / pid / "ns" / "mnt").symlink_to(mounts)
        if words:
            (folder / pid / "cmdline").write_bytes("\0".join(words).encode())

    assert of_container(folder) == {"kubelet_path": "/kubelet"}


def test_outside_of_a_container_no_driver_is_looked_for(tmp_path: pathlib.Path) -> None:  # N11
    folder = proc(tmp_path, "/sbin/init")
    for pid in ("1", "self", "9"):
        (folder / pid / "ns").mkdir(parents=True, exist_ok=True)
        (folder / pid / "ns" / "mnt").symlink_to("mnt:[1]")
    (folder / "9" / "cmdline").write_bytes(b"csi-exoblock\0node\0--kubelet-path=/kubelet")

    assert of_container(folder) == {}


def test_at_a_desk_no_driver_of_somebody_is_looked_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # N11: a user can't see the mounts of process 1
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    folder = proc(tmp_path, "/sbin/init")
    for pid in ("self", "9"):
        (folder / pid / "ns").mkdir(parents=True)
        (folder / pid / "ns" / "mnt").symlink_to("mnt:[1]")
    (folder / "9" / "cmdline").write_bytes(b"csi-exoblock\0node\0--kubelet-path=/kubelet")

    assert of_container(folder) == {}


@pytest.mark.parametrize("words", [("/sbin/init",), ("csi-exoblock", "doctor", "--output=json")])
def test_flags_of_other_programs_are_not(tmp_path: pathlib.Path, words: tuple[str, ...]) -> None:
    assert of_container(proc(tmp_path, *words)) == {}


def test_a_process_that_can_not_be_seen_has_none(tmp_path: pathlib.Path) -> None:
    assert of_container(tmp_path) == {}
