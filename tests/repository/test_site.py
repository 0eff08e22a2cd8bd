"""The pages make a site without a warning: every page has its place, and no link is broken."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("mkdocs", reason="needs csi-exoblock[docs]: make setup")

_ROOT = pathlib.Path(__file__).parents[2]


def test_the_site_builds_without_a_warning(tmp_path: pathlib.Path) -> None:
    ended = subprocess.run(
        (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path),
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
    assert (tmp_path / "troubleshooting.html").exists()
