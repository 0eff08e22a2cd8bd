"""The benchmark works and its report is whole; how fast anything is, is not asked here."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench.run import SECTIONS

# A quarter of a minute, but for a machine that is busy with other things.
LIMIT_SECONDS = 500.0
PAUSE_SECONDS = 0.05

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(LIMIT_SECONDS + 60)]


@contextmanager
def benchmark(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run it as `make bench` does, in a session of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench", "--quick", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()  # it cleans up; killed, it would leave mounts and devices
        process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where a whole quick run has written its report."""
    made = tmp_path_factory.mktemp("report")
    with benchmark("--to", str(made)) as process:
        said, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, said
    return made


@pytest.fixture(scope="module")
def report(folder: pathlib.Path) -> dict[str, Any]:
    """The report as a program reads it."""
    read: dict[str, Any] = json.loads((folder / "benchmarks.json").read_text())
    return read


def test_every_section_is_measured_or_says_why_not(report: dict[str, Any]) -> None:
    assert {*report["sections"], *report["skipped"]} == set(SECTIONS)
    assert os.geteuid() != 0 or not report["skipped"]
    assert not report["failed"]


def test_no_figure_is_missing(report: dict[str, Any]) -> None:
    spreads = list(every_spread(report["sections"]))

    assert len(spreads) > 20
    assert all(0 < each["least"] <= each["median"] <= each["p99"] for each in spreads)
    assert all(goal["found"] for goal in report["goals"])


def test_the_page_shows_every_goal(folder: pathlib.Path, report: dict[str, Any]) -> None:
    page = (folder / "benchmarks.md").read_text()

    assert report["goals"]
    for goal in report["goals"]:
        assert f"| {goal['what']} | {goal['must']} | {goal['found']} |" in page


def test_the_pictures_are_drawings_that_the_page_shows(folder: pathlib.Path) -> None:
    page = (folder / "benchmarks.md").read_text()

    for name in ("lifecycle.svg", "burst.svg"):
        assert f"]({name})" in page
        drawing = ElementTree.parse(folder / name)  # noqa: S314 - of our own making
        assert len(list(drawing.iter("{http://www.w3.org/2000/svg}rect"))) > 10


@pytest.mark.parametrize("section", ["burst", "storm", "crowds"])
def test_ctrl_c_leaves_no_process_and_no_report(tmp_path: pathlib.Path, section: str) -> None:
    with benchmark("--only", section, "--to", str(tmp_path / "report")) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=LIMIT_SECONDS)

    assert process.returncode == 130, said
    assert not (tmp_path / "report").exists()
    assert is_gone(process.pid)


def is_gone(group: int) -> bool:
    """Tell whether all processes of a group end; the kernel ends them with their parent."""
    pause = threading.Event()
    for _ in range(int(LIMIT_SECONDS / PAUSE_SECONDS)):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        pause.wait(PAUSE_SECONDS)
    return False


def every_spread(found: Any) -> Iterator[dict[str, float]]:
    """Yield every distribution of figures, however deep it lies."""
    if isinstance(found, dict):
        if "median" in found:
            yield found
        found = list(found.values())
    if isinstance(found, list):
        for each in found:
            yield from every_spread(each)
