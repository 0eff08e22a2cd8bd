"""Whether an alert fires as an incident goes on, from what real drivers showed at its beginning.

Nobody waits an hour: promtool plays the time. An age grows by a minute a minute, a counter that
rose rises again each minute, because the sidecars repeat a failed call at least that often, and
everything else stays.
"""

from __future__ import annotations

import math
import pathlib
import re
import subprocess
from collections.abc import Iterator, Mapping

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.prometheus import RULES, program

_Series = tuple[str, tuple[tuple[str, str], ...]]

_BEGINS = 20  # minutes of health before the incident
_AGE = "_oldest_seconds"
_COUNTERS = ("_total", "_count")
_INFINITE = 1e300


def fires(
    folder: pathlib.Path, alert: str, minutes: int, *, before: str, after: str
) -> tuple[bool, str]:
    """Return whether an alert fires after some minutes, and not two minutes earlier.

    Args:
        before: What the drivers showed before the incident.
        after: The same just after its beginning.
    """
    ends = _BEGINS + minutes
    firing = f'clamp_max(count(ALERTS{{alertname="{alert}", alertstate="firing"}}), 1)'
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": list(_series(_read(before), _read(after), minutes + 2)),
                "promql_expr_test": [
                    {"expr": firing, "eval_time": f"{ends - 2}m", "exp_samples": []},
                    {
                        "expr": firing,
                        "eval_time": f"{ends}m",
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    },
                ],
            }
        ],
    }
    path = folder / "incident.yml"
    path.write_text(yaml.safe_dump(test))
    ended = subprocess.run(
        (program("promtool"), "test", "rules", str(path)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.returncode == 0, ended.stdout + ended.stderr


def _read(text: str) -> Mapping[_Series, float]:
    """Return the samples that the rules ask for."""
    rules = RULES.read_text()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if re.search(rf"\b{sample.name}\b", rules)
    }


def _series(
    before: Mapping[_Series, float], after: Mapping[_Series, float], minutes: int
) -> Iterator[Mapping[str, str]]:
    for key, value in after.items():
        name, labels = key
        first = before.get(key)
        rise = value - (first or 0)
        if name.endswith(_AGE):
            rise = 60.0 if value else 0.0
        elif not name.endswith(_COUNTERS):
            rise = 0.0
        healthy = f"_x{_BEGINS}" if first is None else f"{_finite(first)}x{_BEGINS - 1}"
        matching = ", ".join(f'{each}="{text}"' for each, text in labels)
        yield {
            "series": f"{name}{{{matching}}}",
            "values": f"{healthy} {_finite(value)}+{rise}x{minutes}",
        }


def _finite(value: float) -> float:
    return min(value, _INFINITE) if not math.isnan(value) else 0.0
