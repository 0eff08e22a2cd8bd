"""Build the driver's image from the Dockerfile, on a machine that no base image can be pulled to.

The base is made from Debian's packages, as the public one is. buildah keeps its images and layers
in a folder of the tests' own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.support.debian_packages import install_packages
from tests.support.golang import cache_folder

PACKAGES: Final = {"buildah": "buildah", "debootstrap": "debootstrap"}
IMAGE: Final = "localhost/csi-exoblock:test"
BASE: Final = "localhost/debian:bookworm-slim"

_ROOT = Path(__file__).parents[2]
_MIRROR = "http://deb.debian.org/debian"
_SOURCES = f"""\
deb {_MIRROR} bookworm main
deb {_MIRROR} bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
"""
_BUILDS_KEPT = 2  # that of a test and that of a rehearsal
# What makes the slim variant: pages that nobody reads in a container.
_LEFT_OUT = ("man", "info", "locale", "doc", "lintian")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_CERTIFICATES = (f"--secret=id=certificates,src={_AUTHORITIES}",) if _AUTHORITIES.exists() else ()

BUILD_OPTIONS: Final = ("--quiet", "--layers", "--network=host", *_CERTIFICATES)
"""What building on this machine takes, as options for deploy/image/build."""


def build_image() -> None:
    """Build it, from layers that an earlier build left where nothing in them changed.

    Raises:
        subprocess.CalledProcessError: The build failed; its output stands above.
    """
    build_base()
    command = [str(_ROOT / "deploy" / "image" / "build"), IMAGE, *BUILD_OPTIONS]
    command.append(f"--build-arg=BASE={BASE}")
    subprocess.run(command, env=build_environment(), check=True)
    remove_old_layers()


def build_base() -> None:
    """Make what the image is built from, at its first use, with the packages that this takes."""
    install_packages(PACKAGES)
    if BASE in buildah("images", "--format={{.Name}}:{{.Tag}}").splitlines():
        return
    root = _folder() / "base"
    shutil.rmtree(root, ignore_errors=True)
    bootstrap = ["debootstrap", "--variant=minbase", "bookworm", str(root), _MIRROR]
    subprocess.run(bootstrap, check=True, stdout=subprocess.DEVNULL)
    (root / "etc/apt/sources.list").write_text(_SOURCES)
    lines = [f"path-exclude /usr/share/{folder}/*\n" for folder in _LEFT_OUT]
    (root / "etc/dpkg/dpkg.cfg.d/docker").write_text("".join(lines))
    for folder in (*(root / "usr/share" / name for name in _LEFT_OUT), root / "var/log"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for folder in (root / "var/cache/apt", root / "var/lib/apt/lists"):
        shutil.rmtree(folder)
        folder.mkdir()
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, str(root), "/")
    buildah("commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(root)


def remove_old_layers() -> None:
    """Remove the layers of earlier builds, half a gigabyte each, but those of the last two."""
    left = buildah("images", "--filter=dangling=true", "--format={{.ID}}").split()
    if old := left[_BUILDS_KEPT:]:
        with contextlib.suppress(subprocess.CalledProcessError):  # another build can be using them
            buildah("rmi", *old)


def build_environment() -> dict[str, str]:
    """Return the environment in which deploy/image/build uses buildah and the tests' images."""
    return _environment() | {"PATH": f"{_only_buildah()}:{os.environ['PATH']}"}


def save_image(name: str, archive: Path) -> None:
    """Write the image under a name as a tar that `ctr image import` reads."""
    archive.unlink(missing_ok=True)
    buildah("push", "--quiet", IMAGE, f"docker-archive:{archive}:{name}")


def layers() -> list[tuple[str, int]]:
    """Return what made each layer of the image, and the layer's size in bytes, compressed."""
    with tempfile.TemporaryDirectory() as folder:
        buildah("push", "--quiet", IMAGE, f"dir:{folder}")
        manifest = _json(Path(folder) / "manifest.json")
        config = _json(Path(folder) / manifest["config"]["digest"].rpartition(":")[2])
    made = [each.get("created_by", "") for each in config["history"] if not each.get("empty_layer")]
    sizes = [each["size"] for each in manifest["layers"]]
    return list(zip(made, sizes, strict=True))


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def buildah(*arguments: str) -> str:
    """Run buildah on the tests' images and return what it printed."""
    completed = subprocess.run(
        ["buildah", *arguments], env=_environment(), check=True, stdout=subprocess.PIPE, text=True
    )
    return completed.stdout.strip()


def _folder() -> Path:
    return cache_folder() / "images"


def _only_buildah() -> Path:
    """Return a folder in which docker and podman are commands that fail."""
    folder = _folder() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("docker", "podman"):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to("/bin/false")
    return folder


def _environment() -> dict[str, str]:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "storage.conf"
    text = (
        "[storage]\n"
        'driver = "vfs"\n'
        f'graphroot = "{folder / "graph"}"\n'
        f'runroot = "{folder / "run"}"\n'
    )
    # Another test's buildah may read it now, so it is never half written.
    if not settings.exists() or settings.read_text() != text:
        unfinished = folder / f"storage.conf.{os.getpid()}"
        unfinished.write_text(text)
        unfinished.replace(settings)
    own = {"CONTAINERS_STORAGE_CONF": str(settings), "BUILDAH_ISOLATION": "chroot"}
    return os.environ | own
