"""F1: the key that requests are signed with, while its file changes or can't be read."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.credentials import Credentials, read_credentials
from csi_exoblock.exoscale import keyring as keyring_module
from csi_exoblock.exoscale.keyring import Keyring
from csi_exoblock.timing import Timing

pytestmark = pytest.mark.fast

OLD = Credentials(key="EXOold", secret="s")
IMPATIENT = replace(Timing(), credentials_wait=0.0)
PATIENT = replace(Timing(), credentials_wait=60.0, credentials_poll=0.001)


def write(folder: pathlib.Path, key: str) -> None:
    (folder / "EXOSCALE_API_KEY").write_text(key)
    (folder / "EXOSCALE_API_SECRET").write_text("s")


def test_path_that_cannot_even_be_read_leaves_the_old_key(tmp_path: pathlib.Path) -> None:
    path = tmp_path / ("a" * 300)  # fails as a folder above it without permission does
    keyring = Keyring(OLD, path, timing=IMPATIENT)

    assert keyring.current() == OLD
    assert not keyring.has_another_than([OLD], Deadline(60.0))


def test_successor_is_found_though_its_file_changes_while_it_is_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "EXOold")
    keyring = Keyring(OLD, tmp_path, timing=IMPATIENT)
    keyring.current()
    successors = iter(["EXOnew1", "EXOnewer"])  # each of another length: no tick hides it

    def read_slowly(path: pathlib.Path) -> Credentials:
        found = read_credentials(path)
        if successor := next(successors, None):
            write(tmp_path, successor)
        return found

    monkeypatch.setattr(keyring_module, "read_credentials", read_slowly)

    assert keyring.has_another_than([OLD], Deadline(60.0))
    assert keyring.current().key == "EXOnewer"


class Watched(Deadline):
    """A deadline that tells when somebody pauses."""

    def __init__(self, seconds: float, on_pause: Callable[[], None]) -> None:
        super().__init__(seconds)
        self._on_pause = on_pause

    def within(self, seconds: float) -> Watched:
        return Watched(min(seconds, self.remaining()), self._on_pause)

    def pause(self, waker: threading.Event, seconds: float) -> None:
        self._on_pause()
        super().pause(waker, seconds)


def test_successor_that_comes_a_moment_after_the_refusal_is_waited_for(
    tmp_path: pathlib.Path,
) -> None:
    write(tmp_path, "EXOold")
    keyring = Keyring(OLD, tmp_path, timing=PATIENT)

    assert keyring.has_another_than([OLD], Watched(60.0, lambda: write(tmp_path, "EXOnew1")))


def test_key_that_stays_refused_is_waited_for_only_once(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "EXOold")
    keyring = Keyring(OLD, tmp_path, timing=replace(PATIENT, credentials_wait=0.3))
    pauses: list[int] = []

    for number in range(3):
        assert not keyring.has_another_than([OLD], Watched(60.0, partial(pauses.append, number)))

    assert set(pauses) == {0}


def test_key_that_never_changes_is_not_waited_for() -> None:
    keyring = Keyring(OLD, None, timing=PATIENT)

    assert not keyring.has_another_than([OLD], Deadline(60.0))
