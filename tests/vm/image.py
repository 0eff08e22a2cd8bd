"""Make what the virtual machine starts from: a small Debian, and a disk with the driver."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.golang import cache_folder

PACKAGES: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
"""What this needs of the machine that it runs on."""

_GUEST = Path(__file__).parent / "guest"
_REPOSITORY = Path(__file__).parent.parent.parent
_BIN = Path(sys.executable).parent

_SUITE = "bookworm"  # as in the image that users run
_INSIDE = (
    *("linux-image-cloud-amd64", "initramfs-tools", "udev", "kmod", "iproute2", "dmsetup"),
    *("mount", "e2fsprogs", "xfsprogs", "btrfs-progs", "python3-minimal", "libpython3-stdlib"),
)
_PYTHON = ("--python-version=3.11", "--python-platform=x86_64-manylinux_2_28")
_COMPILE = ("-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash")
_STANDARD_LIBRARY = "/usr/lib/python3.11"
_ROOT_LABEL = "csi-exoblock"
_ROOT_SIZE = "1536M"
_USUAL_MIRROR = "http://deb.debian.org/debian"
_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A Debian that can be started.

    Attributes:
        root: Its file system; a machine that writes to it needs an overlay.
        kernel_arguments: What its kernel has to know.
    """

    root: Path
    kernel: Path
    initrd: Path
    kernel_arguments: str


def build_image() -> Image:
    """Return the Debian, made at its first use, which takes about a minute.

    Raises:
        PermissionError: This isn't root.
        subprocess.CalledProcessError: debootstrap failed; its own words are on standard output.
    """
    if os.geteuid() != 0:
        raise PermissionError("debootstrap makes device nodes and so needs root")
    made = cache_folder() / f"vm-{_fingerprint()}"
    made.mkdir(parents=True, exist_ok=True)
    with (made / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "root.img").exists():
            _build_into(made)
    return Image(
        root=made / "root.img",
        kernel=made / "vmlinuz",
        initrd=made / "initrd",
        kernel_arguments=f"root=LABEL={_ROOT_LABEL} rw init=/sbin/init net.ifnames=0",
    )


def write_driver_disk(folder: Path) -> Path:
    """Make a disk with the driver, what it depends on in the locked versions, and the agent.

    It's another disk than the root, so that a change of the driver is tested after a second.
    """
    content = folder / "driver"
    packages = content / "packages"
    uv = str(_BIN / "uv")
    locked, wheels = folder / "requirements.txt", folder / "wheels"
    _run(uv, "export", "--frozen", "--no-dev", "--no-emit-project", f"--output-file={locked}")
    _run(uv, "build", "--quiet", "--wheel", f"--out-dir={wheels}")
    install = (uv, "pip", "install", "--quiet", f"--target={packages}", *_PYTHON)
    _run(*install, "--require-hashes", f"--requirement={locked}")
    _run(*install, "--no-deps", *map(str, wheels.glob("*.whl")))
    # The disk is read-only inside, and compiling there takes seconds.
    _run(sys.executable, *_COMPILE, "-s", str(packages), str(packages))
    shutil.copy(_GUEST / "agent.py", content)
    disk = folder / "driver.img"
    _run("mkfs.ext4", "-q", "-d", str(content), str(disk), "256M")
    return disk


def _fingerprint() -> str:
    made_of = (_SUITE, *_INSIDE, _ROOT_LABEL, _ROOT_SIZE, (_GUEST / "init").read_text())
    return hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:16]


def _build_into(made: Path) -> None:
    root, unfinished = made / "root", made / "root.part"
    shutil.rmtree(root, ignore_errors=True)
    packages = f"--include={','.join(_INSIDE)}"
    _run("debootstrap", "--variant=minbase", packages, _SUITE, str(root), _mirror())
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    _run("chroot", str(root), "python3", *_COMPILE, _STANDARD_LIBRARY)
    shutil.copy(_GUEST / "init", root / "sbin/init")
    (root / "sbin/init").chmod(0o755)
    (root / "etc/hostname").write_text("vm\n")
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), made / "vmlinuz")
    shutil.copy(next((root / "boot").glob("initrd.img-*")), made / "initrd")
    unfinished.unlink(missing_ok=True)
    _run("mkfs.ext4", "-q", "-L", _ROOT_LABEL, "-d", str(root), str(unfinished), _ROOT_SIZE)
    shutil.rmtree(root)
    unfinished.rename(made / "root.img")


def _mirror() -> str:
    """Return the mirror that this machine itself uses, which may be the only one it reaches."""
    lines = _SOURCES.read_text().splitlines() if _SOURCES.exists() else []
    named = (line.split()[1] for line in lines if line.startswith("URIs:"))
    return next(named, _USUAL_MIRROR)


def _run(*command: str) -> None:
    subprocess.run(command, cwd=_REPOSITORY, check=True, stdout=subprocess.DEVNULL)
