"""Kubernetes' end-to-end tests and what they need, built once as the cluster's programs are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.kubernetes.cluster.programs import BUILD_FLAGS, build_once, go, module_folder

TESTS: Final = "e2e.test"
RUNNER: Final = "ginkgo"
HELPER: Final = "agnhost"
"""What the tests' pods run beside a shell."""

_MODULE = Path(__file__).parent / "go"
_KUBERNETES = "k8s.io/kubernetes"
_PROGRAM_PACKAGES = ("github.com/onsi/ginkgo/v2/ginkgo", f"{_KUBERNETES}/test/images/agnhost")


def build_tests() -> Path:
    """Return the folder with the tests and their programs, built at its first use.

    That takes about 3 minutes on two cores where the cluster's programs are built already.

    Raises:
        subprocess.CalledProcessError: Go is missing, too old, or refused to compile.
    """
    return build_once("e2e", _MODULE, _build_into)


def kubernetes_source() -> Path:
    """Return the folder of Kubernetes' own source."""
    return module_folder(_MODULE, _KUBERNETES)


def _build_into(folder: Path) -> None:
    go(_MODULE, "build", *BUILD_FLAGS, "-o", f"{folder}/", *_PROGRAM_PACKAGES)
    go(_MODULE, "test", "-c", "-vet=off", *BUILD_FLAGS, "-o", f"{folder / TESTS}", ".")


if __name__ == "__main__":
    print(build_tests())
