"""What deploy/release does before and while it builds; the rest is in `make release-rehearsal`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import csi_exoblock

_ROOT = Path(__file__).parents[2]
_VERSION = csi_exoblock.__version__
_PARTS = ("deploy/release/check", "deploy/release/settings", "csi_exoblock/__init__.py")


class Tree:
    """A repository with what `deploy/release/check` looks at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for part in _PARTS:
            (root / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(_ROOT / part, root / part)
        (root / "CHANGELOG.md").write_text(f"## [Unreleased]\n\n## [{_VERSION}] - 2027-01-31\n")
        self.git("init", "--quiet")
        self.commit()

    def git(self, *arguments: str) -> None:
        """Run git in the repository."""
        somebody = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        subprocess.run(["git", "-C", self.root, *somebody, *arguments], check=True)

    def commit(self) -> None:
        """Commit all changes."""
        self.git("add", ".")
        self.git("commit", "--quiet", "--message=one")

    def complaint(self) -> str:
        """Return why there would be no release; nothing if there would be one."""
        checked = subprocess.run(
            [self.root / "deploy/release/check"], capture_output=True, text=True, check=False
        )
        assert bool(checked.returncode) == bool(checked.stderr)
        return checked.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A repository that is ready but for the tag."""
    return Tree(tmp_path)


def test_commit_with_its_tag_is_released(tree: Tree) -> None:
    tree.git("tag", f"v{_VERSION}")

    assert tree.complaint() == ""


@pytest.mark.parametrize("tag", ["v9.9.9", f"v{_VERSION}9"])
def test_commit_with_another_tag_is_not_released(tree: Tree, tag: str) -> None:
    tree.git("tag", tag)

    assert f"does not have the tag v{_VERSION}" in tree.complaint()


def test_changes_beside_the_commit_are_not_released(tree: Tree) -> None:
    tree.git("tag", f"v{_VERSION}")
    (tree.root / "more").touch()

    assert "not committed" in tree.complaint()


def test_version_that_the_changelog_does_not_have_is_not_released(tree: Tree) -> None:
    (tree.root / "CHANGELOG.md").write_text("## [Unreleased]\n")
    tree.commit()
    tree.git("tag", f"v{_VERSION}")

    assert f"no section [{_VERSION}]" in tree.complaint()


def test_every_image_of_the_chart_is_pinned(tmp_path: Path) -> None:  # N13
    values = tmp_path / "values.yaml"
    shutil.copy(_ROOT / "deploy/chart/csi-exoblock/values.yaml", values)
    built = f"sha256:{64 * 'a'}"
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [{"digest": built}]}))
    crane = tmp_path / "crane"
    crane.write_text("#!/bin/sh\necho sha256:$(echo $2 | sha256sum | cut -d ' ' -f 1)\n")
    crane.chmod(0o755)

    script = _ROOT / "deploy/release/pin_images.py"
    path = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, script, values, tmp_path], env=path, check=True)

    digests = re.findall(r"^ +digest: (.*)$", values.read_text(), re.MULTILINE)
    assert digests[0] == built
    assert len(set(digests)) == 5
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in digests)
