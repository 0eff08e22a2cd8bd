"""Velero, its plugin for object stores, and a store, built once as the cluster's programs are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.kubernetes.cluster.programs import build_once, go

VELERO: Final = "velero"
PLUGIN: Final = "velero-plugin-for-aws"
STORE: Final = "gofakes3"

_MODULE = Path(__file__).parent / "go"
_OWNER = "github.com/vmware-tanzu"
_BUILD_FACTS = f"{_OWNER}/{VELERO}/pkg/buildinfo"


def build_velero() -> Path:
    """Return the folder with the three programs, built at its first use.

    That takes about 9 minutes of CPU time.

    Raises:
        subprocess.CalledProcessError: Go is missing, too old, or refused to compile.
    """
    return build_once("velero", _MODULE, _build_into)


def image_of(program: str) -> str:
    """Return the name of the image that its makers publish of Velero or of its plugin."""
    return f"velero/{program}:{_version_of(program)}"


def _build_into(folder: Path) -> None:
    facts = {"Version": _version_of(VELERO), "ImageRegistry": "velero"}
    named = " ".join(f"-X {_BUILD_FACTS}.{name}={value}" for name, value in facts.items())
    go(_MODULE, "build", "-p", "2", f"-ldflags=-s -w {named}", "-o", f"{folder}/", "tool")


def _version_of(program: str) -> str:
    return go(_MODULE, "list", "-m", "-f", "{{.Version}}", f"{_OWNER}/{program}").strip()


if __name__ == "__main__":
    print(build_velero())
