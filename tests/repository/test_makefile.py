"""The Makefile has every target that CI is told to make, and each one once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

_ROOT = Path(__file__).parents[2]
_MAKEFILE = (_ROOT / "Makefile").read_text()


def test_no_target_is_defined_twice() -> None:
    defined = Counter(re.findall(r"^([a-z0-9-]+):", _MAKEFILE, re.MULTILINE))

    assert [target for target, times in defined.items() if times > 1] == []


def test_every_target_that_ci_runs_is_defined() -> None:
    named = re.findall(r"^make ([a-z0-9-]+)", (_ROOT / ".ci" / "run").read_text(), re.MULTILINE)

    assert named
    assert set(named) <= set(re.findall(r"^([a-z0-9-]+):", _MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("file", ["Makefile", "tests/support/golang.py"])
def test_what_builds_a_release_is_installed_by_its_hash(file: str) -> None:  # N13
    installs = re.findall(r".*pip\W+install.*", (_ROOT / file).read_text().replace("\\\n", " "))

    assert installs
    assert [line for line in installs if "--require-hashes" not in line] == []
