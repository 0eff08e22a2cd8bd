"""The files that processes have mapped: what one no longer shows says nothing of the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from csi_exoblock.host.open_files import Numbers, device_numbers, mapped

pytestmark = pytest.mark.fast

MAPPING = "7f0000000000-7f0000001000 rw-s 00000000 00:2a 77                         {}\n"


def process(proc: Path, name: str, file: Path, *, shows_it: bool) -> Path:
    """Make the folder of a process that has a file mapped, or had it when its list was read."""
    folder = proc / name
    (folder / "map_files").mkdir(parents=True)
    (folder / "maps").write_text(MAPPING.format(file))
    if shows_it:
        (folder / "map_files" / "7f0000000000-7f0000001000").symlink_to(file)
    return folder


def test_a_mapping_that_vanished_during_the_look_hides_no_other(tmp_path: Path) -> None:
    # D4: the processes of one program map the same file at the same address
    file = tmp_path / "file"
    file.touch()
    gone = process(tmp_path, "1", file, shows_it=False)
    holder = process(tmp_path, "2", file, shows_it=True)
    known: dict[bytes, Numbers] = {}

    assert mapped(gone, known) == frozenset()
    assert mapped(holder, known) == {device_numbers(str(file))}
