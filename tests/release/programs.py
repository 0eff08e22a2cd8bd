"""The programs that make a release, each built from its Go module at its first use.

python -m tests.release.programs prints the folder with all of them, to stand first in PATH.
"""

from __future__ import annotations

from pathlib import Path

from tests.chart.helm import helm
from tests.support.golang import built_tool, cache_folder

_MODULE = Path(__file__).parent / "go"
_PACKAGES = (
    "github.com/anchore/syft/cmd/syft",
    "github.com/google/go-containerregistry/cmd/crane",
    "github.com/sigstore/cosign/v3/cmd/cosign",
)


def program_folder() -> Path:
    """Return a folder with links to crane, cosign, helm and syft.

    Raises:
        subprocess.CalledProcessError: Go refused to build one.
    """
    programs = [helm(), *(built_tool(_MODULE, package) for package in _PACKAGES)]
    folder = cache_folder() / "release"
    folder.mkdir(exist_ok=True)
    for program in programs:
        link = folder / program.name
        if not link.exists() or link.resolve() != program:
            link.unlink(missing_ok=True)
            link.symlink_to(program)
    return folder


if __name__ == "__main__":
    print(program_folder())
