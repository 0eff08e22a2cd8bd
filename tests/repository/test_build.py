"""The build records which commit it was made from, wherever it happens."""

import pathlib
import subprocess

import pytest

import csi_exoblock
import hatch_build

pytestmark = pytest.mark.fast


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    """A source tree outside of git."""
    (tmp_path / "csi_exoblock").mkdir()
    return tmp_path


def commit_in(source: pathlib.Path) -> object:
    """Return what the package of a source tree says about its commit."""
    facts: dict[str, object] = {}
    exec((source / hatch_build.BUILD).read_text(), facts)  # noqa: S102 - what we just wrote
    return facts["COMMIT"]


def make_repository(source: pathlib.Path) -> str:
    """Turn a source tree into a repository with one commit, and return its hash."""
    git = ["git", "-C", str(source), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    asked = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return asked.stdout.strip()


def test_build_in_a_repository_records_its_commit(source: pathlib.Path) -> None:
    commit = make_repository(source)

    hatch_build.record_commit(source)

    assert commit_in(source) == commit


def test_build_from_an_archive_keeps_the_commit_it_came_from(source: pathlib.Path) -> None:
    (source / hatch_build.BUILD).write_text(hatch_build.build_module("cafe"))

    hatch_build.record_commit(source)

    assert commit_in(source) == "cafe"


def test_build_without_git_does_not_know_its_commit(
    source: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_repository(source)
    monkeypatch.setenv("PATH", str(source))

    hatch_build.record_commit(source)

    assert commit_in(source) == "unknown"


def test_every_proto_has_its_stubs() -> None:
    package = pathlib.Path(csi_exoblock.__file__).parent
    protos = (package.parent / "proto").glob("*.proto")

    expected = {
        f"{proto.stem}_{suffix}"
        for proto in protos
        for suffix in ("pb2.py", "pb2.pyi", "pb2_grpc.py", "pb2_grpc.pyi")
    }

    assert {path.name for path in (package / "pb").glob("*_pb2*.py*")} == expected
