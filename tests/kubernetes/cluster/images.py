"""Make the container images of the cluster from programs of this machine: no registry is asked."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUSYBOX: Final = "csi-exoblock.test/busybox:1"
"""What the pods of the tests run: a shell and the usual small commands."""

PAUSE: Final = "csi-exoblock.test/pause:1"
"""What holds a pod's namespaces open."""

_BUSYBOX_PROGRAM = Path("/bin/busybox")
_PAUSE_SOURCE = """
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int signal) { exit(0); }
static void reap(int signal) { while (waitpid(-1, 0, WNOHANG) > 0); }

int main(void) {
    struct sigaction on_term = {.sa_handler = leave}, on_child = {.sa_handler = reap};
    sigaction(SIGTERM, &on_term, 0);
    sigaction(SIGINT, &on_term, 0);
    sigaction(SIGCHLD, &on_child, 0);
    for (;;) pause();
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of one layer.

    Attributes:
        programs: Where each program goes, and what it is.
        links: Names in /bin that lead to the first program.
        takes_arguments: Whether a pod's arguments are the command's, instead of replacing it.
    """

    name: str
    command: str
    programs: Mapping[str, bytes]
    links: Iterable[str] = ()
    takes_arguments: bool = False


def write_images(folder: Path) -> tuple[Path, ...]:
    """Write every image as a tar that `ctr image import` reads, and return the tars."""
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(write_image(image, folder) for image in (_pause(folder), busybox(BUSYBOX)))


def write_image(image: Image, folder: Path) -> Path:
    """Write an image as a tar and return the tar."""
    layer = _layer(image)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint" if image.takes_arguments else "Cmd": [image.command],
            "Env": ["PATH=/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [image.name], "Layers": ["layer.tar"]}]
    path = folder / f"{image.name.rpartition('/')[2].replace(':', '-')}.tar"
    with tarfile.open(path, "w") as archive:
        _add(archive, "layer.tar", layer)
        _add(archive, "config.json", json.dumps(config).encode())
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    return path


def _pause(folder: Path) -> Image:
    program = folder / "pause"
    compiler = ["gcc", "-static", "-Os", "-s", "-x", "c", "-", "-o", str(program)]
    subprocess.run(compiler, input=_PAUSE_SOURCE, check=True, text=True)
    return Image(name=PAUSE, command="/pause", programs={"pause": program.read_bytes()})


def busybox(name: str, others: Mapping[str, bytes] | None = None) -> Image:
    """Describe an image with a shell and the usual small commands.

    Args:
        others: More programs, by where each goes; one of a small command's name takes its place.
    """
    listing = subprocess.run([_BUSYBOX_PROGRAM, "--list"], check=True, capture_output=True)
    programs = {"bin/busybox": _BUSYBOX_PROGRAM.read_bytes(), **(others or {})}
    names = set(listing.stdout.decode().split())
    links = sorted(name for name in names if f"bin/{name}" not in programs)
    return Image(name=name, command="/bin/sh", programs=programs, links=links)


def _layer(image: Image) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, program in image.programs.items():
            _add(archive, name, program)
        for link in image.links:
            entry = tarfile.TarInfo(f"bin/{link}")
            entry.type, entry.linkname = tarfile.SYMTYPE, f"/{next(iter(image.programs))}"
            archive.addfile(entry)
        scratch = tarfile.TarInfo("tmp")
        scratch.type, scratch.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(scratch)
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    archive.addfile(entry, io.BytesIO(content))
