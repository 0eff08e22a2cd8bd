"""What our metrics write, Prometheus' own parser reads (F7)."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi_exoblock.collectors import Counter, Gauge, Histogram, Registry
from tests.metrics import families, value


def test_a_counter_counts_by_its_labels() -> None:
    registry = Registry()
    counter = Counter("refused_total", "Refusals.", ("reason", "by"), registry=registry)

    counter.labels("full", "us").inc()
    counter.labels("full", "us").inc(2)
    counter.labels("full", "them").inc()

    text = registry.text()
    assert value(text, "refused_total", {"reason": "full", "by": "us"}) == 3
    assert value(text, "refused_total", {"reason": "full", "by": "them"}) == 1
    assert families(text)["refused_total"].kind == "counter"


def test_a_gauge_is_set_read_and_tracks_what_runs() -> None:
    registry = Registry()
    gauge = Gauge("running", "What runs.", registry=registry)
    Gauge("read", "Read.", registry=registry).labels().set_function(lambda: math.inf)
    gauge.labels().set(5)

    with gauge.labels().track_inprogress():
        during = value(registry.text(), "running")

    assert during == 6
    assert value(registry.text(), "running") == 5
    assert value(registry.text(), "read") == math.inf


def test_a_histogram_counts_in_every_bucket_that_is_large_enough() -> None:
    registry = Registry()
    histogram = Histogram("seconds", "Time.", ("code",), buckets=(0.1, 1), registry=registry)

    for seconds in (0.05, 0.1, 0.5, 7):
        histogram.labels("OK").observe(seconds)

    text = registry.text()
    buckets = {le: value(text, "seconds_bucket", {"code": "OK", "le": le}) for le in LIMITS}
    assert buckets == {"0.1": 2, "1.0": 3, "+Inf": 4}
    assert value(text, "seconds_count", {"code": "OK"}) == 4
    assert value(text, "seconds_sum", {"code": "OK"}) == pytest.approx(7.65)


LIMITS = ("0.1", "1.0", "+Inf")


def test_nothing_is_written_before_there_is_anything_to_count() -> None:
    registry = Registry()
    Counter("refused_total", "Refusals.", ("reason",), registry=registry)

    assert registry.text() == ""


def test_labels_that_are_not_the_metric_s_are_a_mistake() -> None:
    counter = Counter("refused_total", "Refusals.", ("reason",), registry=Registry())

    with pytest.raises(ValueError, match="reason"):
        counter.labels()


def test_no_count_is_lost_among_threads() -> None:
    registry = Registry()
    counter = Counter("calls_total", "Calls.", registry=registry)
    histogram = Histogram("seconds", "Time.", buckets=(1,), registry=registry)

    def count(_: int) -> None:
        counter.labels().inc()
        histogram.labels().observe(0.5)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(2000)))

    assert value(registry.text(), "calls_total") == 2000
    assert value(registry.text(), "seconds_count") == 2000


@given(label=st.text(), amount=st.floats(allow_nan=False))
def test_every_label_and_number_is_read_as_it_was_written(label: str, amount: float) -> None:
    registry = Registry()
    Gauge("thing", 'A "thing"\\ of\nlines.', ("name",), registry=registry).labels(label).set(amount)

    assert value(registry.text(), "thing", {"name": label}) == amount
