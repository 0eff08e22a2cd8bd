"""F1: the key that requests are signed with, while its file changes or can't be read."""

from __future__ import annotations

import pathlib

import pytest

from csi_exoblock.credentials import Credentials, read_credentials
from csi_exoblock.exoscale import keyring as keyring_module
from csi_exoblock.exoscale.keyring import Keyring

OLD = Credentials(key="EXOold", secret="s")


def write(folder: pathlib.Path, key: str) -> None:
    (folder / "EXOSCALE_API_KEY").write_text(key)
    (folder / "EXOSCALE_API_SECRET").write_text("s")


def test_path_that_cannot_even_be_looked_at_leaves_the_old_key(tmp_path: pathlib.Path) -> None:
    keyring = Keyring(OLD, tmp_path / ("a" * 300))  # as a folder above it without permission does

    assert keyring.current() == OLD
    assert not keyring.has_successor_of(OLD)


def test_successor_is_found_though_its_file_changes_while_it_is_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "EXOold")
    keyring = Keyring(OLD, tmp_path)
    keyring.current()
    successors = iter(["EXOnew1", "EXOnewer"])  # each of another length: no tick hides it

    def read_slowly(path: pathlib.Path) -> Credentials:
        found = read_credentials(path)
        if successor := next(successors, None):
            write(tmp_path, successor)
        return found

    monkeypatch.setattr(keyring_module, "read_credentials", read_slowly)

    assert keyring.has_successor_of(OLD)
    assert keyring.current().key == "EXOnewer"
