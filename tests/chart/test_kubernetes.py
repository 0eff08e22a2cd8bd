"""Each supported Kubernetes takes what Helm makes of the chart, whatever the values."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.chart.helm import kubeconform, refusal, render, render_text
from tests.chart.other_values import (
    SINCE,
    all_on,
    is_known,
    options,
    render_changed,
    setting,
    single_values,
)
from tests.chart.schemas.kinds import releases, resources, write_schemas
from tests.chart.schemas.requests import CUSTOM

pytestmark = pytest.mark.thorough

_EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"


@pytest.mark.parametrize("release", releases())
def test_manifests_fit_kubernetes(release: str, tmp_path: Path) -> None:
    examples = "---\n".join(each.read_text() for each in _EXAMPLES.glob("*.yaml"))
    of_release = f"--kube-version={release}"
    full = render_text(of_release, *all_on(tmp_path, release))

    for text in (render_text(of_release), full, examples):
        assert _misfits(release, text, tmp_path) == ""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("release", releases())
def test_every_value_gives_manifests_that_fit_kubernetes(release: str, tmp_path: Path) -> None:
    texts = [render_changed(each.path) for each in single_values() if is_known(each.path, release)]

    assert _misfits(release, "---\n".join(texts), tmp_path) == ""


@pytest.mark.parametrize("release", releases())
def test_every_right_is_to_something_that_kubernetes_serves(release: str, tmp_path: Path) -> None:
    roles = [each for each in render(*all_on(tmp_path, release)) if each["kind"].endswith("Role")]
    granted = {
        "/".join(filter(None, (group, resource)))
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        if group not in CUSTOM
        for resource in rule["resources"]
    }

    assert granted - {_without_version(each) for each in resources(release)} == set()


def test_manifest_that_does_not_fit_is_found(tmp_path: Path) -> None:
    wrong = render_text().replace("serviceAccountName:", "serviceAcountName:")

    assert "serviceAcountName" in _misfits(releases()[-1], wrong, tmp_path)


@pytest.mark.parametrize("path", list(SINCE))
def test_field_of_a_later_kubernetes_is_found_and_refused_before(path: str, tmp_path: Path) -> None:
    since = SINCE[path]
    before = releases()[releases().index(since) - 1]
    later = render_text(f"--kube-version={since}", *options(tmp_path, setting(path)))

    assert path.rpartition(".")[2] in _misfits(before, later, tmp_path)
    assert f"{path} needs Kubernetes {since}" in refusal(
        f"--kube-version={before}", *options(tmp_path, setting(path))
    )


def _misfits(release: str, text: str, folder: Path) -> str:
    """Return what of manifests does not fit a Kubernetes: unknown kinds, fields and values."""
    location = write_schemas(release, folder)
    checked = subprocess.run(
        [kubeconform(), "-strict", f"-schema-location={location}", *_foreign(), "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return checked.stdout + checked.stderr if checked.returncode else ""


def _without_version(resource: str) -> str:
    """Name a resource as roles do: `pods/log`, `storage.k8s.io/csinodes`."""
    return re.sub(r"(^|/)v[0-9]+((alpha|beta)[0-9]+)?/", r"\1", resource, count=1)


def _foreign() -> list[str]:
    """Skip custom resources, whose schemas are not Kubernetes' own."""
    return [
        "-skip=PrometheusRule,ServiceMonitor,VolumeSnapshot,VolumeSnapshotClass,VolumeSnapshotContent"
    ]
