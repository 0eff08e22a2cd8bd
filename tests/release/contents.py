"""What is in an image: read from its OCI layout, without a container and without root."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any

_DPKG = "var/lib/dpkg/status"
_OURS = "opt/csi-exoblock/"
# What makes file systems: another version has other defaults (S17). Debian's revision, which a
# security update changes, does not count.
_LISTED = ("btrfs-progs", "e2fsprogs", "python3", "util-linux", "xfsprogs")
# How a layer removes a file of the layers below, or all of a folder (OCI image-spec, layer.md).
_REMOVED = ".wh."
_ALL_REMOVED = ".wh..wh..opq"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file or link of an image."""

    mode: int
    content: bytes
    """Of a link, where it leads."""

    @property
    def sha256(self) -> str:
        """The hash of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


class Contents:
    """Files and settings of one image of a layout."""

    def __init__(self, layout: Path) -> None:
        self._blobs = layout / "blobs"
        (described,) = json.loads((layout / "index.json").read_text())["manifests"]
        manifest = self._read(described["digest"])
        if (
            "manifests" in manifest
        ):  # one for each platform: they differ in nothing that counts here
            manifest = self._read(manifest["manifests"][0]["digest"])
        self.config: Mapping[str, Any] = self._read(manifest["config"]["digest"])["config"]
        self.files: dict[str, File] = {}
        for layer in manifest["layers"]:
            self._add(self._blob(layer["digest"]))

    @property
    def debian_packages(self) -> Mapping[str, str]:
        """Versions by name."""
        packages = self.files[_DPKG].content.decode().strip().split("\n\n")
        parsed = (HeaderParser().parsestr(package) for package in packages)
        return {package["Package"]: package["Version"] for package in parsed}

    @property
    def python_packages(self) -> Mapping[str, str]:
        """Versions by name, as PyPI writes it, of those that we installed."""
        metadata = [path for path in self.files if re.search(r"\.dist-info/METADATA$", path)]
        parsed = (HeaderParser().parsestr(self.files[path].content.decode()) for path in metadata)
        return {package["Name"].replace("_", "-"): package["Version"] for package in parsed}

    def listing(self) -> str:
        """Return how it starts, its packages, and the files that are ours: a line for each."""
        lines = [
            f"entrypoint {' '.join(self.config['Entrypoint'])}",
            f"user {self.config['User']}",
            *(f"debian {name} {_upstream(self.debian_packages[name])}" for name in _LISTED),
            *(f"python {name} {version}" for name, version in sorted(self.python_packages.items())),
            *(
                f"{file.mode:04o} /{path}"
                for path, file in sorted(self.files.items())
                if _ours(path)
            ),
        ]
        return "".join(f"{line}\n" for line in lines)

    def _read(self, digest: str) -> Any:
        return json.loads(self._blob(digest).read_bytes())

    def _blob(self, digest: str) -> Path:
        return self._blobs / digest.replace(":", "/")

    def _add(self, layer: Path) -> None:
        """Lay a layer's files over those below it."""
        with tarfile.open(layer) as archive:
            for entry in archive:
                path = PurePosixPath(entry.name)
                if path.name == _ALL_REMOVED:
                    self._remove(str(path.parent))
                elif path.name.startswith(_REMOVED):
                    self._remove(str(path.with_name(path.name.removeprefix(_REMOVED))))
                elif entry.issym():
                    self.files[str(path)] = File(mode=0o777, content=entry.linkname.encode())
                elif entry.islnk():
                    self.files[str(path)] = self.files[str(PurePosixPath(entry.linkname))]
                elif content := archive.extractfile(entry):
                    self.files[str(path)] = File(mode=entry.mode & 0o7777, content=content.read())

    def _remove(self, path: str) -> None:
        for known in [each for each in self.files if f"{each}/".startswith(f"{path}/")]:
            del self.files[known]


def _ours(path: str) -> bool:
    """Return whether a file is of the package, or one of its two commands."""
    command = rf"{_OURS}bin/(csi|kubectl)-exoblock"
    return bool(re.fullmatch(rf"{command}|{_OURS}lib/.*/csi_exoblock/.*(?<!\.pyc)", path))


def _upstream(version: str) -> str:
    """Return a Debian package's version without epoch and Debian's revision."""
    return version.rpartition(":")[2].rpartition("-")[0] or version
