"""The flags of the driver in whose container a command runs, for example by `kubectl exec`."""

from __future__ import annotations

from pathlib import Path

_SERVICES = ("controller", "node", "all")


def of_container(proc: Path = Path("/proc")) -> dict[str, str]:
    """Return the flags of process 1 by their names, empty if it isn't a service of the driver.

    The driver in a container gets its flags as `--flag=value` arguments, which no other process
    there sees. A command for the same cloud and cluster needs the same values.
    """
    try:
        words = (proc / "1" / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    names = [Path(each).name for each in words]
    if "csi-exoblock" not in names and "csi_exoblock" not in names:
        return {}
    if not set(_SERVICES) & set(words):
        return {}
    flags = (each.removeprefix("--").partition("=") for each in words if each.startswith("--"))
    return {name.replace("-", "_"): value for name, equals, value in flags if equals}
