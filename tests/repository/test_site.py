"""The pages make a site without a warning: every page has its place, and no link is broken."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("mkdocs", reason="needs csi-exoblock[docs]: make setup")

_ROOT = pathlib.Path(__file__).parents[2]


def build(project: pathlib.Path, site: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make site` does."""
    return subprocess.run(
        (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)),
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_site_builds_without_a_warning(tmp_path: pathlib.Path) -> None:
    ended = build(_ROOT, tmp_path)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (tmp_path / "troubleshooting.html").exists()


@pytest.mark.parametrize(
    ("page", "text", "says"),
    [
        ("lost.md", "# Lost", "not included in the"),
        ("faq.md", "# FAQ\n[gone](nowhere.md)", "nowhere.md"),
        ("faq.md", "# FAQ\n[gone](install.md#nowhere)", "#nowhere"),
    ],
)
def test_a_warning_is_an_error(tmp_path: pathlib.Path, page: str, text: str, says: str) -> None:
    shutil.copytree(_ROOT / "docs", tmp_path / "docs")
    for each in ("mkdocs.yml", "README.md", "tests/repository/site.py"):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_ROOT / each, tmp_path / each)
    (tmp_path / "docs" / page).write_text(text)

    ended = build(tmp_path, tmp_path / "site")

    assert ended.returncode != 0
    assert says in ended.stdout + ended.stderr


def test_make_does_not_hide_the_warnings() -> None:
    """With `--quiet` mkdocs does not count them, and `--strict` finds none."""
    assert "mkdocs build --strict\n" in (_ROOT / "Makefile").read_text()
