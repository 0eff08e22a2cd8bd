"""Build hook: generate the gRPC stubs and record the commit that is built."""

import importlib.resources
import pathlib
import shutil
import subprocess
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STUBS = "csi_exoblock/pb"
BUILD = "csi_exoblock/_build.py"


class BuildHook(BuildHookInterface[Any]):
    """Write what the package holds but the repository does not."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the stubs and the build facts before hatchling collects the files."""
        root = pathlib.Path(self.root)
        generate_stubs(root)
        record_commit(root)


def generate_stubs(root: pathlib.Path) -> None:
    """Compile every file of proto/ into csi_exoblock/pb, with types for mypy."""
    from grpc_tools import protoc

    (root / STUBS).mkdir(exist_ok=True)
    (root / STUBS / "__init__.py").touch()
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    # protoc sees proto/csi.proto as csi_exoblock/pb/csi.proto: this alone makes the generated
    # modules import each other by their place in the package.
    arguments = [
        "protoc",
        f"-I{STUBS}={root / 'proto'}",
        f"-I{well_known}",
        f"--plugin=protoc-gen-mypy={plugin('protoc-gen-mypy')}",
        f"--plugin=protoc-gen-mypy_grpc={plugin('protoc-gen-mypy_grpc')}",
        f"--python_out={root}",
        f"--grpc_python_out={root}",
        f"--mypy_out=quiet:{root}",
        # Concrete: a servicer may leave out the calls whose capability it does not announce.
        f"--mypy_grpc_out=quiet,only_sync,generate_concrete_servicer_stubs:{root}",
        *(f"{STUBS}/{proto.name}" for proto in sorted((root / "proto").glob("*.proto"))),
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed; its message stands above")


def plugin(name: str) -> str:
    """Return the path of a protoc plugin, also where the build environment is not on PATH."""
    beside_python = pathlib.Path(sys.executable).with_name(name)
    path = str(beside_python) if beside_python.exists() else shutil.which(name)
    if path is None:
        raise RuntimeError(f"{name} is missing; it is part of mypy-protobuf")
    return path


def record_commit(root: pathlib.Path) -> None:
    """Write the commit into the package; a source archive brings the one it was made from."""
    target = root / BUILD
    git = shutil.which("git")
    if git and (root / ".git").exists():
        asked = subprocess.run(
            [git, "rev-parse", "--verify", "HEAD"],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        target.write_text(build_module(asked.stdout.strip()))
    elif not target.exists():
        target.write_text(build_module(""))


def build_module(commit: str) -> str:
    """Return the text of csi_exoblock/_build.py."""
    return f'"""Written by hatch_build.py."""\n\nCOMMIT = "{commit or "unknown"}"\n'
