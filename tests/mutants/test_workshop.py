"""A break is what its tests meet, and what they meet after it is whole again."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tests.mutants.workshop import Workshop

pytestmark = pytest.mark.fast


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
