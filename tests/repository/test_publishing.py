"""A release that broke off is published once more; one that is complete never changes (N13)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import csi_exoblock

_ROOT = Path(__file__).parents[2]
_CHART = f"csi-exoblock-{csi_exoblock.__version__}.tgz"
# Stands for crane, cosign and helm: notes what it is told, and answers for the registry.
_PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> "$STATE/said"
case "$(basename "$0") $*" in
  "crane digest"*/charts/*) cat "$STATE/chart" 2>/dev/null || exit 1; echo ;;
  "crane manifest"*) cat "$STATE/manifest" ;;
  "cosign verify "*) test -e "$STATE/signed" ;;
  "helm push"*) echo sha256:pushed > "$STATE/chart" ;;
  *) echo named ;;
esac
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A folder that says what the registry has, beside a release that was built."""
    shutil.copytree(_ROOT / "deploy" / "release", tmp_path / "deploy" / "release")
    (tmp_path / "csi_exoblock").mkdir()
    shutil.copy(_ROOT / "csi_exoblock" / "__init__.py", tmp_path / "csi_exoblock")
    built = tmp_path / "build" / "release"
    built.mkdir(parents=True)
    (built / _CHART).write_text("the chart")
    (built / "csi_exoblock.whl").write_text("the wheel")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("crane", "cosign", "helm"):
        (programs / name).write_text(_PROGRAM)
        (programs / name).chmod(0o755)
    return tmp_path


def test_a_chart_is_pushed_and_signed(state: Path) -> None:
    code, _, said = _publish(state)

    assert code == 0
    assert [line.split()[0] for line in said[-3:]] == ["helm", "crane", "cosign"]


def test_a_chart_that_lacks_only_its_signature_is_signed(state: Path) -> None:
    _has_published(state, "the chart")

    code, _, said = _publish(state)

    assert code == 0
    assert not any(line.startswith("helm push") for line in said)
    assert said[-1].startswith("cosign sign ")
    assert said[-1].endswith("@sha256:there")


@pytest.mark.parametrize(("content", "is_signed"), [("the chart", True), ("another", False)])
def test_a_chart_that_is_signed_or_another_stays(
    state: Path, content: str, is_signed: bool
) -> None:
    _has_published(state, content)
    if is_signed:
        (state / "signed").touch()

    code, error, said = _publish(state)

    assert code == 1
    assert "raise the version" in error
    assert not any(line.startswith(("crane push", "cosign sign")) for line in said)


def _has_published(state: Path, content: str) -> None:
    (state / "chart").write_text("sha256:there")
    layer = hashlib.sha256(content.encode()).hexdigest()
    (state / "manifest").write_text(f'{{"layers": [{{"digest": "sha256:{layer}"}}]}}')


def _publish(state: Path) -> tuple[int, str, list[str]]:
    ended = subprocess.run(
        [state / "deploy" / "release" / "publish"],
        env={"PATH": f"{state / 'bin'}{os.pathsep}{os.environ['PATH']}", "STATE": str(state)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stderr, (state / "said").read_text().splitlines()
