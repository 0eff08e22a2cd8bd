"""Flags of the driver that a command takes over: in its container, or from its Deployment."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from csi_exoblock.commandline import flags_in
from csi_exoblock.flags.options import key_of

_SERVICES = ("controller", "node", "all")


def of_container(proc: Path = Path("/proc")) -> dict[str, str]:
    """Return the flags of the driver in this container by their names, empty if there is none.

    The driver in a container gets its flags as arguments, which no other process there sees. A
    command for the same cloud and cluster needs the same values.
    """
    words = next((each for each in _candidates(proc) if _is_service(each)), [])
    return {key_of(name): value for name, value in flags_in(words).items()}


def of_cluster(installed: Mapping[str, str], keys: Collection[str]) -> dict[str, Any]:
    """Return the values of the installed driver's flags where the running command has none.

    Args:
        installed: The flags with which the driver in the cluster runs.
        keys: What is taken over, by the names of click's parameters.

    Raises:
        click.UsageError: One is wrong, so the driver in the cluster can't run.
    """
    context = click.get_current_context()
    flags = {key_of(name): text for name, text in installed.items()}
    try:
        return {
            key: param.type_cast_value(context, flags[key])
            for param in context.command.params
            if (key := param.name) in flags
            and key in keys
            and context.get_parameter_source(key) is ParameterSource.DEFAULT
        }
    except click.BadParameter as error:
        raise click.UsageError(
            f"the driver in the cluster has a wrong flag: {error.message}"
        ) from error


def _candidates(proc: Path) -> Iterator[list[str]]:
    """Return the command lines of the processes that can be the driver.

    It is process 1, unless the container shares the host's processes, as the node plugin's does.
    Then it is one that shares this process's mounts, which those of the host do not. Even root may
    not see the mounts of a process with more capabilities, but those of its own container it sees.
    """
    yield _words(proc / "1")
    own, first = _mounts(proc / "self"), _mounts(proc / "1")
    if own and own != first and (first or os.geteuid() == 0):
        for folder in proc.iterdir():
            if folder.name.isdecimal() and _mounts(folder) == own:
                yield _words(folder)


def _is_service(words: list[str]) -> bool:
    names = {Path(each).name for each in words}
    return bool(names & {"csi-exoblock", "csi_exoblock"}) and bool(set(_SERVICES) & set(words))


def _words(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _mounts(process: Path) -> str:
    """Return the name of a process's mount namespace, empty if it can't be read."""
    try:
        return os.readlink(process / "ns" / "mnt")
    except OSError:
        return ""
