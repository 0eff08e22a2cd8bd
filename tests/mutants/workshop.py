"""A copy of the repository in which one break at a time is made, tested and mended."""

from __future__ import annotations

import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.mutants.breaks import REPOSITORY, Break

# A test that hangs has noticed the break; the run of all of a break's tests takes far less.
_TEST_SECONDS = 75  # a call of a broken controller can take its whole minute
_LIMIT_SECONDS = 300.0
_ALL_LIMIT_SECONDS = 3600.0

_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "dist", "build")

_SUMMARY = "short test summary info"
# The name of a test, with its parameters, and what it said.
_FAILED_TEST = re.compile(
    r"^(?:FAILED|ERROR) ([^\[\n]+?(?:\[.*?\](?= - |$))?)(?: - .*)?$", re.MULTILINE
)
_PASSED, _FAILED = 0, 1  # pytest's exit codes; every other one is a fault of the catalogue


class Verdict(StrEnum):
    """What became of a break."""

    KILLED = "killed"
    SURVIVED = "survived"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A break and its verdict.

    Attributes:
        seconds: How long its tests took.
        output: What pytest said.
        noticed_by: The test that failed first; empty if none did.
    """

    broken: Break
    verdict: Verdict
    seconds: float
    output: str
    noticed_by: str = ""


class Workshop:
    """A folder with a copy of the repository, without its environment.

    Whatever runs there with the folder as its working directory imports the copy: Python looks
    there before it looks among the installed packages.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder / REPOSITORY.name
        self._times = itertools.count(int(time.time()) + 1)  # of modules: none has them yet
        shutil.copytree(REPOSITORY, self._folder, ignore=_NOT_COPIED)
        imported = self._run("-c", "import csi_exoblock; print(csi_exoblock.__file__)").stdout
        if str(self._folder) not in imported:
            raise RuntimeError(f"the copy is not what its tests import: {imported}")

    def try_out(self, broken: Break) -> Outcome:
        """Make a break, run its tests, mend it."""
        module = self._folder / "csi_exoblock" / broken.file
        source = module.read_text()
        self.write(module, broken.applied_to(source))
        began = time.monotonic()
        try:
            ran = self._pytest("-x", *broken.tests)
            verdict = {_PASSED: Verdict.SURVIVED, _FAILED: Verdict.KILLED}.get(
                ran.returncode, Verdict.UNUSABLE
            )
            output = ran.stdout + ran.stderr
        except subprocess.TimeoutExpired:
            verdict, output = Verdict.UNUSABLE, "the tests did not end"
        finally:
            self.write(module, source)
        noticed_by = next(failed_tests(output), "") if verdict is Verdict.KILLED else ""
        if verdict is Verdict.KILLED and not noticed_by:
            verdict = Verdict.UNUSABLE  # it failed before a test could
        return Outcome(
            broken=broken,
            verdict=verdict,
            seconds=time.monotonic() - began,
            output=output,
            noticed_by=noticed_by,
        )

    def failing(self, tests: Collection[str], *, jobs: int) -> dict[str, str]:
        """Return those of the tests that fail where nothing is broken, with what pytest said."""
        if not tests:
            return {}
        try:
            ran = self._pytest(
                f"--numprocesses={jobs}", "--dist=loadfile", *sorted(tests),
                limit=_ALL_LIMIT_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return dict.fromkeys(tests, "the tests did not end")
        output = ran.stdout + ran.stderr
        if ran.returncode not in (_PASSED, _FAILED):
            return dict.fromkeys(tests, output)
        return dict.fromkeys(failed_tests(output), output)

    def write(self, module: pathlib.Path, source: str) -> None:
        """Write a module with a time of its own.

        Python takes compiled code for a source of the same length and the same second, and a
        break that turns max into min is made and mended within one.
        """
        module.write_text(source)
        written = next(self._times)
        os.utime(module, (written, written))

    def _pytest(
        self, *arguments: str, limit: float = _LIMIT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        options = ("-q", "-p", "no:cacheprovider", f"--timeout={_TEST_SECONDS}")
        return self._run("-m", "pytest", *options, *arguments, limit=limit)

    def _run(
        self, *arguments: str, limit: float = _LIMIT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )


def failed_tests(output: str) -> Iterator[str]:
    """Yield the names of the tests of which pytest's summary says that they failed."""
    _, _, summary = output.rpartition(_SUMMARY)  # above it lines of a log may look the same
    for found in _FAILED_TEST.finditer(summary):
        yield found[1]
