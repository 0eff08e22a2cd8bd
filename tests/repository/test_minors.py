"""The versions of Kubernetes that are supported are the same everywhere that names them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import CHART
from tests.chart.schemas.kinds import releases
from tests.chart.schemas.requests import not_served
from tests.kubernetes.cluster.minors import CHOICE, Minor, chosen, minors, newest

pytestmark = pytest.mark.fast

_MAKEFILE = Path(__file__).parents[2] / "Makefile"


def test_schemas_clusters_and_the_chart_are_of_the_same_minors() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert releases() == list(minors())
    assert chart["kubeVersion"] == f">={releases()[0]}.0-0"


def test_make_runs_the_flows_on_every_minor() -> None:
    (older,) = re.findall(r"^MINORS := (.*)$", _MAKEFILE.read_text(), re.MULTILINE)

    assert [*older.split(), newest().name] == list(minors())


@pytest.mark.parametrize("minor", minors().values(), ids=list(minors()))
def test_a_minor_is_built_of_one_release_alone(minor: Minor) -> None:
    pattern = r"^\tk8s\.io/\S+ => k8s\.io/\S+ v0\.(\S+)$"
    replaced = re.findall(pattern, minor.module.read_text(), re.MULTILINE)

    assert len(replaced) > 30
    assert {f"1.{each}" for each in replaced} == {minor.version}


def test_the_newest_runs_unless_another_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CHOICE, raising=False)
    assert chosen() == newest()

    monkeypatch.setenv(CHOICE, "1.34")
    assert chosen() == minors()["1.34"]


def test_a_minor_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHOICE, "1.33")

    with pytest.raises(ValueError, match=r"1\.33: there are 1\.34, 1\.35"):
        chosen()


def test_a_path_that_a_minor_does_not_serve_is_found() -> None:  # as ApiServer does at its end
    served = ("/version", "/api/v1/nodes/a", "/api/v1/namespaces/a/pods/b:80/proxy/metrics")
    custom = "/apis/snapshot.storage.k8s.io/v1/volumesnapshots"
    later = "/apis/storage.k8s.io/v1/csinodes/a/status"

    found = list(not_served([*served, custom, later]))

    assert found == [f"{later} on Kubernetes {minor}" for minor in ("1.34", "1.35", "1.36")]
