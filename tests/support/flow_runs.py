"""Runs of pytest one after another, whose failures are said once more at the end of all output."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

_NO_TESTS = 5  # pytest's exit code when options select none
_MOST_LINES = 12


class FlowRuns:
    """Runs the tests of a folder, some at a time.

    Attributes:
        exit_code: The worst of all runs; that no test was selected counts if it is so in each.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self._codes: list[int] = []
        self._failures: list[str] = []

    def run(self, *options: str) -> None:
        """Run the tests that the options select."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            command = [sys.executable, "-m", "pytest", str(self._folder), f"--junitxml={report}"]
            ended = subprocess.run([*command, *options], env=self._environment, check=False)
            self._codes.append(ended.returncode)
            if report.exists():
                self._failures += _failures(report)

    @property
    def exit_code(self) -> int:
        return max((code for code in self._codes if code != _NO_TESTS), default=_NO_TESTS)

    def say_failures(self) -> None:
        """Print what failed, with the first lines of its message."""
        if self._failures:
            print("", *self._failures, sep="\n", flush=True)


def _failures(report: Path) -> Iterator[str]:
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        for outcome in (*case.iterfind("failure"), *case.iterfind("error")):
            lines = outcome.get("message", "").splitlines()[:_MOST_LINES]
            yield "\n  ".join(
                [f"{outcome.tag}: {case.get('classname')}::{case.get('name')}", *lines]
            )
