"""The chart's README and schema say what its values.yaml says."""

from __future__ import annotations

import json
import re

import pytest

from tests.repository import chart_pages

pytestmark = pytest.mark.fast


def test_readme_is_current() -> None:
    assert chart_pages.README.read_text() == chart_pages.readme(), "run `make docs`"


def test_schema_is_current() -> None:
    assert chart_pages.SCHEMA.read_text() == chart_pages.schema(), "run `make docs`"


def test_alerts_and_dashboard_are_those_that_are_tested() -> None:  # N3
    for copy, original in chart_pages.COPIES.items():
        assert copy.read_text() == original.read_text(), "run `make docs`"


def test_every_value_is_described() -> None:
    silent = [
        value.path
        for value in chart_pages.values()
        if not value.description and value.path.rpartition(".")[2] not in _KNOWN_FROM_PODS
    ]

    assert silent == []


def test_readme_gives_rights_to_the_account_of_the_charts_namespace() -> None:
    commands = re.findall(r"`(oc [^`]+)`", chart_pages.README.read_text())

    assert commands
    assert [each for each in commands if "--namespace kube-system" not in each] == []


def test_every_object_of_the_schema_refuses_what_it_does_not_know() -> None:
    schema = json.loads(chart_pages.SCHEMA.read_text())

    assert schema["additionalProperties"] is False
    assert schema["properties"]["node"]["additionalProperties"] is False
    assert schema["properties"]["controller"]["properties"]["podLabels"]["type"] == [
        "object",
        "null",
    ]


# Fields of pods and images, which mean here what they mean there.
_KNOWN_FROM_PODS = {
    "additionalArgs",
    "annotations",
    "digest",
    "dnsConfig",
    "fsGroupPolicy",
    "image",
    "logFormat",
    "logLevel",
    "name",
    "podAnnotations",
    "podDisruptionBudget",
    "podLabels",
    "priorityClassName",
    "pullPolicy",
    "rbac",
    "registry",
    "repository",
    "resources",
    "serviceAccount",
    "tag",
    "networkPolicy",
}
