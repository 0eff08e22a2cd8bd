"""kubectl completes `kubectl exoblock …` (N11, N20)."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
_PROGRAM = "import csi_exoblock.__main__ as program; program.complete()"


def completed(*words: str) -> tuple[list[str], str]:
    """Return the choices for the last word without their descriptions, and the directive."""
    ended = subprocess.run(
        (sys.executable, "-c", _PROGRAM, *words), capture_output=True, text=True, check=True
    )
    *choices, directive = ended.stdout.splitlines()
    return [each.partition("\t")[0] for each in choices], directive


def test_kubectl_finds_the_program_by_its_name() -> None:  # N11
    scripts = tomllib.loads(_PYPROJECT.read_text())["project"]["scripts"]

    assert scripts["kubectl_complete-exoblock"] == "csi_exoblock.__main__:complete"


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (("doc",), ["doctor"]),
        (("doctor", "--out"), ["--output"]),
        (("status", "--output", ""), ["text", "json"]),
        (("orphans", "--output=c"), ["commands"]),
        (("nothing", "--out"), []),
    ],
)
def test_last_word_is_completed(words: tuple[str, ...], choices: list[str]) -> None:  # N11, N20
    assert completed(*words) == (choices, ":4")


def test_every_command_is_a_choice() -> None:  # N11
    choices, _ = completed("")

    assert {"doctor", "status", "orphans", "import", "iam-role"} <= set(choices)


def test_shell_completes_the_command_itself() -> None:  # N11
    ended = subprocess.run(
        (str(Path(sys.executable).with_name("csi-exoblock")),),
        env={**os.environ, "_CSI_EXOBLOCK_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "complete" in ended.stdout
