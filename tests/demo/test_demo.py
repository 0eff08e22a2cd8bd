"""The demo as a newcomer runs it: it shows a whole life, and leaves nothing, however it ends."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

pytestmark = pytest.mark.timeout(300)  # a whole life, on a busy machine

LIMIT_SECONDS = 240.0

HOST_CALLS = (
    "NodeStageVolume",
    "NodePublishVolume",
    "NodeUnpublishVolume",
    "NodeUnstageVolume",
)
CLOUD_CALLS = (
    "CreateVolume",
    "ControllerPublishVolume",
    "CreateSnapshot",
    "ControllerExpandVolume",
    "ControllerUnpublishVolume",
    "DeleteSnapshot",
    "DeleteVolume",
)


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    """Where the demo works; at the end it must be empty, unmounted and without devices.

    Not pytest's own, whose path may be too long for a socket in it.
    """
    with tempfile.TemporaryDirectory(prefix="demo ") as name:
        made = pathlib.Path(name)
        yield made
        assert list(made.iterdir()) == []
        assert name.replace(" ", "\\040") not in pathlib.Path("/proc/self/mountinfo").read_text()
        assert name not in devices()
        assert not [line for line in command_lines() if name in line]


@pytest.mark.root
def test_the_demo_shows_a_whole_life_and_proves_the_data(folder: pathlib.Path) -> None:
    with demo(folder) as running:
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 0, shown
    assert all(call in shown for call in (*CLOUD_CALLS, *HOST_CALLS))
    assert "restored beside its source: same data, file system of 1.9" in shown
    assert "expanded: same data, file system of 2.9" in shown
    assert "API calls" in shown
    assert "Nothing is left" in shown


@pytest.mark.root
def test_the_demo_works_in_a_cloud_whose_new_volumes_read_as_noise(
    folder: pathlib.Path,
) -> None:  # N19
    with demo(folder, "--mode", "new-volume=noise") as running:
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 0, shown
    assert "expanded: same data, file system of 2.9" in shown


@pytest.mark.root
@pytest.mark.parametrize("moment", ["cloud", "driver", "create", "wrote", "restored beside"])
def test_ctrl_c_leaves_nothing(folder: pathlib.Path, moment: str) -> None:
    with demo(folder) as running:
        wait_for(moment, running)
        running.send_signal(signal.SIGINT)
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 130, shown
    assert "interrupted; everything is cleaned up" in shown


@pytest.mark.root
def test_ctrl_c_waits_for_a_program_that_has_a_volume_open(folder: pathlib.Path) -> None:
    """The simulator is one, while it takes a snapshot."""
    with demo(folder) as running:
        wait_for("wrote", running)
        held = os.open(next(folder.glob("*/driver/pod-1/staging")), os.O_RDONLY)
        running.send_signal(signal.SIGINT)
        time.sleep(1.0)  # long enough for the demo to come to its mounts; sooner proves less
        os.close(held)
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 130, shown


@pytest.mark.root
def test_a_closed_terminal_leaves_nothing(folder: pathlib.Path) -> None:
    with demo(folder) as running:
        wait_for("wrote", running)
        running.send_signal(signal.SIGHUP)
        running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 130


@pytest.mark.root
def test_ctrl_c_leaves_nothing_where_the_temporary_folder_is_a_link(folder: pathlib.Path) -> None:
    real, link = folder / "real", folder / "link"
    real.mkdir()
    link.symlink_to(real)

    with demo(link) as running:
        wait_for("wrote", running)
        running.send_signal(signal.SIGINT)
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 130, shown
    link.unlink()
    real.rmdir()


@pytest.mark.root
def test_no_further_signal_disturbs_the_cleaning_up(folder: pathlib.Path) -> None:
    with demo(folder) as running:
        wait_for("wrote", running)
        while running.poll() is None:
            running.send_signal(signal.SIGTERM)
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 130, shown


def test_ctrl_c_while_the_simulator_starts_leaves_nothing(folder: pathlib.Path) -> None:
    with demo(folder) as running:
        while not list(folder.glob("*/cloud/lock")):
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 130, shown


def test_an_interruption_that_was_swallowed_comes_again_with_the_next_step() -> None:
    script = """
import signal
from csi_exoblock.tools.demo_signals import end_if_interrupted, interrupt_on_signals
interrupt_on_signals()
end_if_interrupted()
try:
    signal.raise_signal(signal.SIGTERM)
except KeyboardInterrupt:
    pass  # as the interpreter does between fork and exec
try:
    end_if_interrupted()
except KeyboardInterrupt:
    print("again")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout == "again\n"


def test_an_interruption_waits_until_a_process_that_begins_is_known() -> None:
    # its caller would have nothing to end it by
    script = """
import signal
from csi_exoblock.tools.demo_signals import interrupt_on_signals, interrupted_only_after
interrupt_on_signals()
try:
    with interrupted_only_after():
        signal.raise_signal(signal.SIGTERM)
        print("begun")
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout == "begun\ninterrupted\n"


AS_NOBODY = ("unshare", "--user") if os.geteuid() == 0 else ()
AS_ROOT_WITHOUT_RIGHTS = ("unshare", "--user", "--map-root-user")


@pytest.mark.parametrize(
    ("wrapper", "why"),
    [(AS_NOBODY, "Not root"), (AS_ROOT_WITHOUT_RIGHTS, "No loop devices (")],
    ids=["not root", "root without rights"],
)
def test_without_devices_the_demo_says_what_it_skips_and_shows_the_cloud(
    folder: pathlib.Path, wrapper: tuple[str, ...], why: str
) -> None:
    with demo(folder, wrapper=wrapper) as running:
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 0, shown
    assert shown.startswith(why)
    assert "formatting, mounting and writing are skipped" in " ".join(shown.split())
    assert all(call in shown for call in CLOUD_CALLS)
    assert not any(call in shown for call in HOST_CALLS)


def test_a_proxy_is_not_asked_for_what_is_on_this_host(folder: pathlib.Path) -> None:
    nobody_listens = "http://127.0.0.1:9"

    with demo(folder, wrapper=AS_NOBODY, http_proxy=nobody_listens) as running:
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 0, shown


@pytest.mark.parametrize("flag", ["--latency=nonsense", "--nonsense"])
def test_a_wrong_flag_ends_with_one_line_and_code_2(folder: pathlib.Path, flag: str) -> None:
    with demo(folder, flag) as running:
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)

    assert running.returncode == 2
    assert "nonsense" in shown
    assert len(shown.splitlines()) == 1


@contextmanager
def demo(
    folder: pathlib.Path, *flags: str, wrapper: tuple[str, ...] = (), **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run the demo with short operations of the cloud; end it with the block."""
    command = [*wrapper, sys.executable, "-m", "csi_exoblock", "demo", "--latency=0.05s", *flags]
    process = subprocess.Popen(
        command,
        env={
            "PATH": os.environ["PATH"],
            "TMPDIR": str(folder),
            "PYTHONUNBUFFERED": "1",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_heed_its_terminal,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT_SECONDS)


def _heed_its_terminal() -> None:
    """Be as a program in a terminal: in the background, or under nohup, one ignores these."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def wait_for(word: str, running: subprocess.Popen[str]) -> None:
    """Read what the demo shows up to a line with the word in it."""
    assert running.stdout is not None
    assert any(word in line for line in running.stdout)


def command_lines() -> list[str]:
    """Return those of all processes."""
    lines = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            lines.append(path.read_text(errors="replace"))
    return lines


def devices() -> str:
    """Return the loop devices of this machine with their files."""
    return subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout


def test_a_driver_that_does_not_start_is_quoted(folder: pathlib.Path) -> None:
    deep = folder / ("x" * 100)
    deep.mkdir()

    with demo(deep) as running:
        shown, _ = running.communicate(timeout=LIMIT_SECONDS)
    deep.rmdir()

    assert running.returncode == 1
    assert "the driver did not start" in shown
    assert "bytes in a socket's path" in " ".join(shown.split())
