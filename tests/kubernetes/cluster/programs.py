"""Build the cluster's Go programs once and keep them outside the source tree."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.kubernetes.cluster.minors import PACKAGES, Minor, chosen, newest
from tests.support.golang import cache_folder, go_command, wanted_version

_SNAPSHOT_API = "github.com/kubernetes-csi/external-snapshotter/client/v8"


def build_flags(minor: Minor) -> tuple[str, ...]:
    """Return how Go programs are built that say they are of a minor."""
    package = "k8s.io/component-base/version"
    numbers = dict(zip(("gitMajor", "gitMinor"), minor.name.split("."), strict=True))
    said = {"gitVersion": f"v{minor.version}", **numbers}
    words = " ".join(f"-X {package}.{name}={value}" for name, value in said.items())
    # Without the version clients see v0.0.0; without -s -w every program is half as large again.
    # Two packages at a time: a compiler of this size of program takes up to 2 GiB.
    return "-p", "2", f"-ldflags=-s -w {words}"


BUILD_FLAGS: Final = build_flags(newest())
"""How every Go program is built that is not of an older Kubernetes."""


def build_programs() -> Path:
    """Return the folder with every program of the chosen Kubernetes, built at its first use.

    The first build takes about 8 minutes on two cores; a later change of one line, seconds.

    Raises:
        subprocess.CalledProcessError: Go is missing, too old, or refused to compile.
    """
    minor = chosen()
    if minor == newest():
        return build_once("kubernetes", PACKAGES, _build_newest)
    pins = (minor.module, minor.module.with_suffix(".sum"))
    build = functools.partial(_build_older, minor)
    return build_once(f"kubernetes-{minor.name}", PACKAGES, build, *pins)


def build_once(label: str, module: Path, build: Callable[[Path], None], *pins: Path) -> Path:
    """Return the folder of what is built from a Go module, built where it is not there yet.

    Args:
        label: Tells the folder apart from those of other modules.
        module: What is in this folder, and how programs are built, make the folder's name.
        build: Builds into the folder that it is given.
        pins: Files from elsewhere that make the folder's name too.
    """
    folder = cache_folder() / f"{label}-{_fingerprint(module, pins)}" / "bin"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_name("bin.part")
            unfinished.mkdir(exist_ok=True)
            build(unfinished)
            unfinished.rename(folder)
    return folder


def snapshot_definitions() -> Path:
    """Return the folder of the snapshot CRDs, as their own Go module ships them."""
    return module_folder(PACKAGES, _SNAPSHOT_API) / "config" / "crd"


def module_folder(module: Path, wanted: str) -> Path:
    """Return where Go keeps the source of a module that another one requires."""
    return Path(go(module, "list", "-m", "-f", "{{.Dir}}", wanted).strip())


def go(module: Path, *arguments: str) -> str:
    """Run Go in the folder of a module and return what it printed.

    Raises:
        subprocess.CalledProcessError: It refused; its words stand above.
    """
    completed = subprocess.run(
        [go_command(wanted_version(module)), *arguments],
        cwd=module,
        env=os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return completed.stdout


def _fingerprint(module: Path, pins: Sequence[Path]) -> str:
    digest = hashlib.sha256(" ".join(("build", *BUILD_FLAGS)).encode())
    for source in sorted(path for path in module.rglob("*") if path.is_file()):
        digest.update(source.relative_to(module).as_posix().encode())
        digest.update(source.read_bytes())
    for pin in pins:
        digest.update(pin.read_bytes())
    return digest.hexdigest()[:16]


def _build_newest(folder: Path) -> None:
    go(PACKAGES, "build", *BUILD_FLAGS, "-o", f"{folder}/", "./...", "tool")


def _build_older(minor: Minor, folder: Path) -> None:
    """Build an older Kubernetes from the same packages, and the sidecars as for the newest."""
    pinned = f"-modfile={minor.module}"
    go(PACKAGES, "build", *build_flags(minor), pinned, "-o", f"{folder}/", "./...")
    go(PACKAGES, "build", *BUILD_FLAGS, "-o", f"{folder}/", "tool")


if __name__ == "__main__":
    print(build_programs())
