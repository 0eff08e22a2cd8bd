"""The table of metrics that users read is what the driver has, name by name (F7)."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from csi_exoblock.metrics import Metrics
from tests.support.metrics import Family, documented, value

pytestmark = pytest.mark.fast


def test_the_table_names_every_metric_with_its_type_and_labels() -> None:
    declared = [
        _family(each)
        for each in vars(Metrics(CollectorRegistry())).values()
        if isinstance(each, Counter | Gauge | Histogram)
    ]

    assert {each.name: each for each in declared} == {
        name: family for name, (family, _) in documented().items()
    }


def test_no_label_can_hold_an_id() -> None:
    labels = {label for family, _ in documented().values() for label in family.labels}

    assert not {label for label in labels if "volume" in label or "node" in label or "id" in label}


def test_age_of_the_oldest_lock_of_all_that_are_watched_is_shown() -> None:  # F7
    metrics = Metrics(CollectorRegistry())
    for age in (3.0, 7.0, 5.0):
        metrics.watch_holds(lambda age=age: age)  # type: ignore[misc]  # mypy guesses no type here

    assert value(metrics.text(), "csi_exoblock_lock_oldest_seconds", {}) == 7.0


def _family(metric: Counter | Gauge | Histogram) -> Family:
    (described,) = metric.describe()
    name = f"{described.name}_total" if described.type == "counter" else described.name
    return Family(name=name, kind=described.type, labels=frozenset(metric._labelnames))
