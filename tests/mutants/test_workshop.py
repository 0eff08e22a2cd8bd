"""A break is what its tests meet, and what they meet after it is whole again."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tests.mutants.breaks import REPOSITORY
from tests.mutants.workshop import Workshop

_TESTS = """
import pytest

def test_sound():
    pass

@pytest.mark.parametrize("text", ["a - b", "c"])
def test_broken(text):
    assert text == "c"
"""


@pytest.mark.fast
def test_code_of_a_break_is_forgotten_though_the_source_looks_the_same(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    workshop = Workshop(tmp_path)
    module = tmp_path / "broken.py"

    said = []
    for text in ("max", "min", "max"):  # of one length, written within one second
        workshop.write(module, f"print({text!r})")
        ran = [sys.executable, "-c", "import broken"]
        said.append(subprocess.check_output(ran, cwd=tmp_path, text=True).strip())

    assert said == ["max", "min", "max"]


def test_what_fails_without_a_break_has_noticed_nothing(tmp_path: pathlib.Path) -> None:
    file = "tests/mutants/test_made.py"
    workshop = Workshop(tmp_path)
    (tmp_path / REPOSITORY.name / file).write_text(_TESTS)
    tests = [f"{file}::test_sound", f"{file}::test_broken[a - b]", f"{file}::test_broken[c]"]

    failing = workshop.failing(tests, jobs=1)

    assert list(failing) == [tests[1]]
    assert "1 failed, 2 passed" in failing[tests[1]]
