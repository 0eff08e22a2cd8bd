"""How running pods are replaced: by which changes of the chart's values, and in what time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.helm import Manifest, refusal, render

pytestmark = pytest.mark.thorough

_KEY = ("--set=credentials.apiKey=EXO1", "--set=credentials.apiSecret=s1")
_IN_ENVIRONMENT = "--set=credentials.mountAsFile=false"


def test_changed_authorities_replace_the_controller_and_no_node() -> None:
    before, after = render("--set=caBundle=first"), render("--set=caBundle=second")

    assert _pods(before, "Deployment") != _pods(after, "Deployment")
    assert _pods(before, "DaemonSet") == _pods(after, "DaemonSet")


@pytest.mark.parametrize("changed", ["apiKey=EXO2", "apiSecret=s2"])
def test_changed_key_in_the_environment_replaces_the_controller(changed: str) -> None:  # F1
    before = render(*_KEY, _IN_ENVIRONMENT)
    after = render(*_KEY, _IN_ENVIRONMENT, f"--set=credentials.{changed}")

    assert _pods(before, "Deployment") != _pods(after, "Deployment")


def test_changed_key_in_files_replaces_nothing() -> None:  # F1
    before, after = render(*_KEY), render(*_KEY, "--set=credentials.apiSecret=s2")

    assert _pods(before, "Deployment") == _pods(after, "Deployment")


def test_key_is_not_told_by_the_pods() -> None:
    (pods,) = _pods(render(*_KEY, _IN_ENVIRONMENT), "Deployment")

    assert "EXO1" not in str(pods)


@pytest.mark.parametrize(
    ("kind", "field", "value", "plain"),
    [
        ("Deployment", "strategy", "controller.updateStrategy.type", "Recreate"),
        ("DaemonSet", "updateStrategy", "node.updateStrategy.type", "OnDelete"),
    ],
)
def test_strategy_that_does_not_roll_has_no_more_than_its_type(
    kind: str, field: str, value: str, plain: str
) -> None:
    # The API server forbids `rollingUpdate` beside it.
    (usual,) = (each["spec"][field] for each in render() if each["kind"] == kind)
    (changed,) = (
        each["spec"][field] for each in render(f"--set={value}={plain}") if each["kind"] == kind
    )

    assert usual["rollingUpdate"]
    assert changed == {"type": plain}


@pytest.mark.parametrize(
    "wrong", ["controller.updateStrategy.type=OnDelete", "node.updateStrategy.type=Recreate"]
)
def test_strategy_that_the_kind_does_not_have_is_refused(wrong: str) -> None:
    assert wrong.partition("=")[0].replace(".", "/") in refusal(f"--set={wrong}")


@pytest.mark.parametrize("values", ["node", "node.additionalDaemonSets.large"])
def test_end_of_a_nodes_pod_leaves_time_to_wait_for_its_volumes(values: str) -> None:  # S22
    value = f"{values}.terminationGracePeriodSeconds"

    said = refusal(f"--set={value}=59")
    *_, pods = _pods(render(f"--set={value}=60"), "DaemonSet")

    assert value.replace(".", "/") in said
    environment = {each["name"]: each for each in pods["spec"]["containers"][0]["env"]}
    assert environment["CSI_EXOBLOCK_PRE_STOP_TIMEOUT"]["value"] == "30s"


def _pods(manifests: list[Manifest], kind: str) -> list[dict[str, Any]]:
    return [each["spec"]["template"] for each in manifests if each["kind"] == kind]
