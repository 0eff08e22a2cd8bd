"""Mount points: a folder, or a file for a device; made before a mount and removed after it."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csi_exoblock.errors import HostError, WrongState


def make_folder(path: Path) -> None:
    """Make a folder and its parents, unless it exists.

    Raises:
        WrongState: Something else is in its place.
        HostError: It can't be made.
    """
    _refuse_link(path)
    with _explained(path, "folder"):
        path.mkdir(parents=True, exist_ok=True)


def make_file(path: Path) -> None:
    """Make an empty file and its parent folders, unless it exists.

    Raises:
        WrongState: Something else is in its place.
        HostError: It can't be made.
    """
    make_folder(path.parent)
    _refuse_link(path)
    with _explained(path, "file"):
        if path.is_dir():
            raise FileExistsError
        path.touch(exist_ok=True)


def remove(path: Path) -> None:
    """Remove an empty folder or empty file that isn't mounted on; return if it is absent.

    Raises:
        WrongState: It has content or another type, so the driver didn't make it.
        HostError: It can't be looked at, or be removed for another reason.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise HostError(f"{path} can't be read: {error.strerror}") from error
    try:
        if stat.S_ISDIR(status.st_mode):
            path.rmdir()
        elif stat.S_ISREG(status.st_mode) and not status.st_size:
            path.unlink(missing_ok=True)
        else:
            kind = "a file with content" if stat.S_ISREG(status.st_mode) else "no file or folder"
            raise WrongState(
                f"{path} is {kind}, which this driver didn't put there; remove it by hand"
            )
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            raise WrongState(
                f"{path} is a folder with content, which was written there while no volume was "
                "mounted; save what is needed, and remove it by hand"
            ) from error
        raise HostError(f"{path} can't be removed: {error.strerror}") from error


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise WrongState(f"{path} is a symbolic link; remove it")


@contextmanager
def _explained(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise WrongState(
            f"{path} must be a {kind}, but something else is there; remove it"
        ) from error
    except OSError as error:
        raise HostError(f"{path} can't be made: {error.strerror}") from error
