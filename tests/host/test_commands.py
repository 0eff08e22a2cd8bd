"""How a command's end is noticed, with real commands."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from csi_exoblock.errors import CommandFailed
from csi_exoblock.host.commands import Commands
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import Timing
from tests.support.waiting import wait_until


@pytest.fixture(params=["pidfd", "no pidfd"], autouse=True)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that tells of an end, and one that must be asked."""
    if request.param == "no pidfd":
        monkeypatch.setattr(os, "pidfd_open", _refuse)


@pytest.fixture
def commands() -> Commands:
    return Commands(timing=Timing(command_timeout=60.0), metrics=Metrics(CollectorRegistry()))


@pytest.fixture
def impatient() -> Commands:
    """Commands that end soon, or count as hung."""
    return Commands(timing=Timing(command_timeout=0.5), metrics=Metrics(CollectorRegistry()))


def test_an_end_is_seen_with_its_code_and_its_words(commands: Commands) -> None:
    ended = commands.run("sh", "-c", "echo well; echo ill >&2; exit 3", allowed=(3,))

    assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "well\n", "ill\n")


def test_an_end_that_was_not_expected_is_an_error_with_the_last_words(commands: Commands) -> None:
    with pytest.raises(CommandFailed, match="exit code 4: no such thing"):
        commands.run("sh", "-c", "echo no such thing >&2; exit 4")


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # on purpose
def test_a_command_that_hangs_is_killed_with_all_that_it_began(impatient: Commands) -> None:
    for_long = f"600.{uuid4().int}"  # seconds that no other process sleeps

    with pytest.raises(CommandFailed, match="did not end within"):
        impatient.run("sh", "-c", f"sleep {for_long} & sleep {for_long}")

    wait_until(lambda: not living(for_long), "the end of both")


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # on purpose
def test_a_command_that_is_spared_goes_on_to_its_end(
    impatient: Commands, tmp_path: pathlib.Path
) -> None:
    leave, end = tmp_path / "leave", tmp_path / "end"
    work = f"while ! test -e {leave}; do sleep 0.02; done; touch {end}"

    with pytest.raises(CommandFailed, match=r"did not end within .* and goes on; retry"):
        impatient.run("sh", "-c", work, spared=True)

    assert not end.exists()
    leave.touch()
    wait_until(end.exists, "its end")


def test_a_command_that_kills_itself_says_by_what(commands: Commands) -> None:
    with pytest.raises(CommandFailed, match=r"SIGKILL, perhaps .* memory limit"):
        commands.run("sh", "-c", "kill -9 $$")


def test_a_long_command_gets_three_quarters_of_the_memory() -> None:
    commands = Commands(
        timing=Timing(command_timeout=60.0),
        metrics=Metrics(CollectorRegistry()),
        memory_limit=1024**3,
    )
    of_others = commands.run("sh", "-c", "ulimit -v").stdout

    long = commands.run_to_its_end("sh", "-c", "ulimit -v").stdout
    gentle = commands.run_to_its_end("sh", "-c", "ulimit -v", gently=True).stdout

    assert [long, gentle] == ["786432\n", "786432\n"]  # KiB
    assert of_others == "unlimited\n"


@pytest.mark.parametrize("words", ["Memory allocation failed", "Cannot allocate memory"])
def test_too_little_memory_is_explained(commands: Commands, words: str) -> None:
    with pytest.raises(CommandFailed, match=rf"{words} \(.*node\.resources\.limits\.memory\)"):
        commands.run("sh", "-c", f"echo mkfs: {words} >&2; exit 1")


def test_a_command_gets_nothing_of_the_driver_s_environment(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:  # F17: e2fsck got the API's secret
    monkeypatch.setenv("EXOSCALE_API_SECRET", "hunter2")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")

    ended = commands.run("env")

    assert sorted(ended.stdout.splitlines()) == ["LC_ALL=C", f"PATH={os.environ['PATH']}"]


def test_a_command_for_which_there_are_no_descriptors_leaves_none_open(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:  # S26: one was lost each time
    create = os.memfd_create
    made: list[int] = []

    def create_one(name: str, flags: int) -> int:
        if made:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(create(name, flags))
        return made[0]

    monkeypatch.setattr(os, "memfd_create", create_one)

    with pytest.raises(CommandFailed, match="could not be started"):
        commands.run("true")

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made[0])


def living(argument: str) -> list[str]:
    """Return the processes with an argument like that; one that is dead has none."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if argument in (process / "cmdline").read_text():
                found.append(process.name)
    return found


def _refuse(pid: int, flags: int = 0) -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
