"""What stands in a log line, and that a call's fields end with the call (F12)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta

import pytest

# In a process of its own, for it is the process whose log is set up.
SAYS = """
    import logging, sys
    from csi_exoblock import calls, logs
    logs.configure(json_lines={json_lines}, level="{level}", stream=sys.stderr, patience_seconds=60)
    log = logging.getLogger("said")
    log.debug("in detail")
    log.info("as usual")
    with calls.enter("CreateVolume", asked_name="pvc-1"):
        try:
            1 / 0
        except ZeroDivisionError as error:
            log.error("in vain", exc_info=error)
    log.info("afterwards")
    logging.shutdown()
"""


def said(*, json_lines: bool, level: str = "info") -> str:
    script = textwrap.dedent(SAYS.format(json_lines=json_lines, level=level))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], "TZ": "JST-9"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_json_line_says_its_call_and_trace_and_the_next_one_neither() -> None:
    usual, failed, after = (json.loads(line) for line in said(json_lines=True).splitlines())

    assert (failed["message"], failed["rpc"]) == ("in vain", "CreateVolume")
    assert failed["asked_name"] == "pvc-1"
    assert "ZeroDivisionError" in failed["trace"]
    assert set(usual) == set(after) == {"time", "level", "logger", "message"}


def test_text_line_says_its_call_and_its_trace_follows() -> None:
    usual, failed, *trace, after = said(json_lines=False).splitlines()

    assert failed.endswith('ERROR   in vain rpc="CreateVolume" asked_name="pvc-1"')
    assert trace[-1].startswith("ZeroDivisionError")
    assert usual.endswith("INFO    as usual")
    assert after.endswith("INFO    afterwards")


@pytest.mark.parametrize(
    ("level", "lines"),
    [("debug", 4), ("info", 3), ("warning", 1), ("error", 1)],
)
def test_level_decides_what_is_said(level: str, lines: int) -> None:
    assert len(said(json_lines=True, level=level).splitlines()) == lines


def test_time_is_that_of_utc() -> None:
    texts = [line.split()[0] for line in said(json_lines=False).splitlines() if "INFO" in line]
    written = [json.loads(line)["time"] for line in said(json_lines=True).splitlines()]

    for time in (*texts, *written):
        assert abs(datetime.fromisoformat(time) - datetime.now(UTC)) < timedelta(hours=8)
