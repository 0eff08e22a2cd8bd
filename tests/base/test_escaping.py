"""F17: what comes from a tenant's disk or process is shown, and does nothing."""

from __future__ import annotations

import io
import logging
import threading

import pytest

from csi_exoblock import logs
from csi_exoblock.csi.status import explain
from csi_exoblock.errors import WrongState
from csi_exoblock.escaping import printable

pytestmark = pytest.mark.fast

PATIENCE = 60.0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, größer, 体", "plain, größer, 体"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\u202ekcab", "\\u202ekcab"),
        ("no text: \udcff", "no text: \\udcff"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert explain(WrongState(text)) == shown


def test_a_message_is_short_after_it_was_escaped() -> None:  # F11
    assert len(explain(WrongState("\x1b" * 900)).encode()) < 1000


def test_a_trace_in_a_log_for_people_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    logs.configure(json_lines=False, level="info", stream=stream, patience_seconds=PATIENCE)

    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        logging.getLogger("test").exception("failed")

    written = stream.getvalue()
    assert "\x1b" not in written
    assert "ValueError: \\x1b[2J" in written
    assert len(written.splitlines()) > 1
