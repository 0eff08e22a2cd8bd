"""What is mounted on: a folder, or a file for a device; made before, removed after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csi_exoblock.errors import HostError, WrongState


def make_folder(path: Path) -> None:
    """Make a folder, with those above it; one that is there is fine.

    Raises:
        WrongState: Something else is in its place.
        HostError: It can't be made.
    """
    with _explained(path, "folder"):
        path.mkdir(parents=True, exist_ok=True)


def make_file(path: Path) -> None:
    """Make an empty file, with the folders above it; one that is there is fine.

    Raises:
        WrongState: Something else is in its place.
        HostError: It can't be made.
    """
    make_folder(path.parent)
    with _explained(path, "file"):
        if path.is_dir():
            raise FileExistsError
        path.touch(exist_ok=True)


def remove(path: Path) -> None:
    """Remove a folder or file that nothing is mounted on; what is not there is fine.

    Raises:
        WrongState: It is a folder with something in it.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise WrongState(f"{path} can't be removed: {error.strerror}") from error


@contextmanager
def _explained(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise WrongState(f"{path} must be a {kind}; remove what is in its place") from error
    except OSError as error:
        raise HostError(f"{path} can't be made: {error.strerror}") from error
