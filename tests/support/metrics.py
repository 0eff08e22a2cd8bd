"""Read metrics as Prometheus does: by its own parser."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
TABLE = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric.

    Attributes:
        labels: Names of its labels, that of a histogram's buckets aside.
    """

    name: str
    kind: str
    labels: frozenset[str]


def families(text: str) -> dict[str, Family]:
    """Return the metrics of a scrape by their full names."""
    found = {}
    for each in text_string_to_metric_families(text):
        if not each.samples:  # announced, but nothing of it has happened yet
            continue
        name = f"{each.name}_total" if each.type == "counter" else each.name
        labels = frozenset(label for sample in each.samples for label in sample.labels)
        found[name] = Family(name=name, kind=each.type, labels=labels - {"le"})
    return found


def ids(text: str) -> set[str]:
    """Return the label values of a scrape in which there is an id of the cloud's."""
    samples = (sample for each in text_string_to_metric_families(text) for sample in each.samples)
    values = {value for sample in samples for value in sample.labels.values()}
    return {value for value in values if UUID.search(value)}


def value(text: str, name: str, labels: Mapping[str, str] | None = None) -> float | None:
    """Return a sample by its name and all its labels, `None` if there is none."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == dict(labels or {}):
                return float(sample.value)
    return None


def documented() -> dict[str, tuple[Family, str]]:
    """Return the rows of the table for users: each metric, and whose it is."""
    found = {}
    for line in TABLE.read_text().splitlines():
        names, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for name in re.findall(r"`(csi_\w+)`", names) if len(cells) == 4 else ():
            kind, labels, whose, _ = cells
            family = Family(name=name, kind=kind, labels=frozenset(re.findall(r"`(\w+)`", labels)))
            found[name] = (family, whose)
    return found
