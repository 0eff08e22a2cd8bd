"""Install the Debian packages that a part of the tests needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


def install_packages(packages: Mapping[str, str]) -> None:
    """Install what is missing, with apt-get.

    Args:
        packages: By what each package is known here: a command, or a file that no command
            stands for.

    Raises:
        subprocess.CalledProcessError: apt-get refused; its own words are on standard error.
    """
    missing = [package for known, package in packages.items() if not _is_there(known)]
    if missing:
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *missing)


def _is_there(known: str) -> bool:
    return Path(known).exists() if known.startswith("/") else shutil.which(known) is not None


def _apt_get(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "--quiet=2", *arguments], env=environment, check=True)
