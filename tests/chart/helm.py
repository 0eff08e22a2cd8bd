"""Render the chart with Helm, which is built from its Go module at its first use."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.golang import built_tool

CHART: Final = Path(__file__).parents[2] / "deploy" / "chart" / "csi-exoblock"
NAMESPACE: Final = "kube-system"
RELEASE: Final = "csi-exoblock"

_MODULE = Path(__file__).parent / "go"
_WITH_SNAPSHOTS = "snapshot.storage.k8s.io/v1/VolumeSnapshotContent"

Manifest = dict[str, Any]
"""A Kubernetes object as Helm renders it."""


def helm() -> Path:
    """Return the program."""
    return built_tool(_MODULE, "helm.sh/helm/v4/cmd/helm")


def kubeconform() -> Path:
    """Return the program that checks manifests against Kubernetes' schemas."""
    return built_tool(_MODULE, "github.com/yannh/kubeconform/cmd/kubeconform")


def render_text(*options: str, kinds: Sequence[str] = ()) -> str:
    """Return the chart's manifests as `helm template` prints them.

    Args:
        options: Such as `--set=node.selinux=true`.
        kinds: What the cluster has, such as `v1/Pod`; none: as where there is no cluster.

    Raises:
        subprocess.CalledProcessError: Helm refuses the values; its words are in `stderr`.
    """
    command = [str(helm()), "template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", *options]
    command += [f"--api-versions={kind}" for kind in kinds]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def refusal(*options: str) -> str:
    """Return what Helm says as it refuses values.

    Raises:
        AssertionError: It takes them.
    """
    try:
        render_text(*options)
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    raise AssertionError(f"Helm takes {' '.join(options)}")


def notes(*options: str) -> str:
    """Return what Helm says after an installation."""
    command = [str(helm()), "install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", *options]
    command.append("--dry-run=client")
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return printed.partition("\nNOTES:\n")[2]


def render(*options: str, kinds: Sequence[str] = ()) -> list[Manifest]:
    """Return the chart's manifests."""
    return [each for each in yaml.safe_load_all(render_text(*options, kinds=kinds)) if each]


if __name__ == "__main__":  # as `make test` does first: the first time takes longer than a test may
    helm()
    kubeconform()
