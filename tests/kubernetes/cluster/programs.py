"""Build the cluster's Go programs once and keep them outside the source tree."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from tests.support.golang import cache_folder, go_command, wanted_version

_MODULE = Path(__file__).parent.parent / "go"
_KUBERNETES_VERSION = "1.37.2"
_VERSION_PACKAGE = "k8s.io/component-base/version"
# Without the version clients see v0.0.0; without -s -w every program is half as large again.
_LINKER_FLAGS = (
    f"-s -w -X {_VERSION_PACKAGE}.gitVersion=v{_KUBERNETES_VERSION}"
    f" -X {_VERSION_PACKAGE}.gitMajor=1 -X {_VERSION_PACKAGE}.gitMinor=37"
)
# Two packages at a time: a compiler of this size of program takes up to 2 GiB.
_BUILD = ("build", "-p", "2", f"-ldflags={_LINKER_FLAGS}")
_SNAPSHOT_API = "github.com/kubernetes-csi/external-snapshotter/client/v8"


def build_programs() -> Path:
    """Return the folder with every program of the Go module, built at its first use.

    The first build takes about 8 minutes on two cores; a later change of one line, seconds.

    Raises:
        subprocess.CalledProcessError: Go is missing, too old, or refused to compile.
    """
    folder = cache_folder() / f"kubernetes-{_fingerprint()}" / "bin"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _build_into(folder)
    return folder


def snapshot_definitions() -> Path:
    """Return the folder of the snapshot CRDs, as their own Go module ships them."""
    listed = _go("list", "-m", "-f", "{{.Dir}}", _SNAPSHOT_API)
    return Path(listed.strip()) / "config" / "crd"


def _fingerprint() -> str:
    digest = hashlib.sha256(" ".join(_BUILD).encode())
    for source in sorted(path for path in _MODULE.rglob("*") if path.is_file()):
        digest.update(source.relative_to(_MODULE).as_posix().encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _build_into(folder: Path) -> None:
    unfinished = folder.with_name("bin.part")
    unfinished.mkdir(exist_ok=True)
    _go(*_BUILD, "-o", f"{unfinished}/", "./...", "tool")
    unfinished.rename(folder)


def _go(*arguments: str) -> str:
    completed = subprocess.run(
        [go_command(wanted_version(_MODULE)), *arguments],
        cwd=_MODULE,
        env=os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return completed.stdout


if __name__ == "__main__":
    print(build_programs())
