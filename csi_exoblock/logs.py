"""Log lines as text or JSON, with the fields and the step of the call that logs them."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from typing import TextIO

from csi_exoblock import calls
from csi_exoblock.escaping import printable
from csi_exoblock.lines import LineWriter

log = logging.getLogger(__name__)

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def bind(**fields: object) -> None:
    """Add fields to every further line of the current call."""
    if (entered := calls.current()) is not None:
        entered.fields.update(fields)


def step(name: str) -> None:
    """Note what the current call does next, such as `formatting`.

    The name appears in log lines, and in the error of another call that finds the volume held.
    """
    if (entered := calls.current()) is not None:
        entered.step = name
    log.debug("step", extra={"step": name})


class Complaint:
    """What keeps work that is tried again and again from succeeding; logged when it changes.

    Args:
        log: Where it is logged.
        message: The work that does not succeed.
        level: One of `logging`'s.
    """

    def __init__(self, log: logging.Logger, message: str, *, level: int = logging.WARNING) -> None:
        self._log = log
        self._message = message
        self._level = level
        self._last = ""

    def say(self, reason: str, *, is_logged_elsewhere: bool = False) -> None:
        """Log the reason unless it was the last one too."""
        if reason != self._last and not is_logged_elsewhere:
            self._log.log(self._level, self._message, extra={"error": reason})
        self._last = reason

    def end(self) -> None:
        """Note that the work succeeded: the same reason is logged again if it comes back."""
        self._last = ""


def configure(
    *, json_lines: bool, level: str, stream: TextIO, patience_seconds: float
) -> LineWriter:
    """Send the log of the whole process to a stream, as JSON or as text.

    In text a trace follows its line on further lines; in JSON it is a field.

    Args:
        level: Name of a level of `logging`, in any case.
        patience_seconds: How long a caller waits for its line before the stream counts as stuck.
    """
    handler = LineWriter(stream, patience_seconds=patience_seconds)
    handler.setFormatter(_JsonLines() if json_lines else _TextLines())
    handler.addFilter(_add_call)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    threading.excepthook = _log_dead_thread
    return handler


def _log_dead_thread(dead: threading.ExceptHookArgs) -> None:
    name = dead.thread.name if dead.thread else "unknown"
    log.error("thread died", exc_info=dead.exc_value, extra={"dead_thread": name})


def _add_call(record: logging.LogRecord) -> bool:
    if (entered := calls.current()) is not None:
        for key, value in {"rpc": entered.name, **entered.fields}.items():
            record.__dict__.setdefault(key, value)
    return True


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {
        key: value for key, value in vars(record).items() if key not in _PLAIN and value is not None
    }


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(
            f" {key}={json.dumps(value, default=str)}" for key, value in _fields(record).items()
        )
        trace = ""
        if record.exc_info:
            lines = self.formatException(record.exc_info).split("\n")
            trace = "".join(f"\n{printable(line)}" for line in lines)
        return f"{_time(record)} {record.levelname:<7} {record.getMessage()}{fields}{trace}"
