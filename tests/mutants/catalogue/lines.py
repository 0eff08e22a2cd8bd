"""Breaks of the log: its lines, their fields, and what becomes of them where nobody reads."""

from __future__ import annotations

from tests.mutants.breaks import Break

_LINES = ("tests/base/test_lines.py",)
_LOGS = ("tests/base/test_logs.py",)

BREAKS = (
    Break(
        name="lines-that-nobody-reads-are-all-kept",
        file="lines.py",
        before="            fits = self._characters + len(line.text) <= _WAITING_CHARACTERS",
        after="            fits = True",
        rules="S26",
        tests=_LINES,
    ),
    Break(
        name="dropped-lines-are-not-counted",
        file="lines.py",
        before="            self._count_drop()",
        after="            pass",
        rules="S26, F7",
        tests=_LINES,
    ),
    Break(
        name="counter-of-dropped-lines-is-not-connected",
        file="app/process.py",
        before="    lines.count_drops(metrics.log_lines_dropped.inc)\n",
        after="",
        rules="S26, F7",
        tests=("tests/csi/test_limits.py::test_a_log_that_nobody_reads_stops_no_call",),
    ),
    Break(
        name="line-that-cannot-be-formatted-ends-its-call",
        file="lines.py",
        before="        except Exception as error:  # a line that can't",
        after="        except KeyError as error:  # a line that can't",
        rules="S26",
        tests=_LINES,
    ),
    Break(
        name="reader-who-has-gone-ends-the-log",
        file="lines.py",
        before="contextlib.suppress(OSError, ValueError)",
        after="contextlib.suppress(KeyError)",
        rules="S26",
        tests=_LINES,
    ),
    Break(
        name="fields-outlive-their-call",
        file="calls.py",
        before="        _current.reset(token)",
        after="        del token",
        rules="F12",
        tests=_LOGS,
    ),
    Break(
        name="time-in-the-log-is-local",
        file="logs.py",
        before="        datetime.fromtimestamp(record.created, UTC)",
        after="        datetime.fromtimestamp(record.created).replace(tzinfo=UTC)",
        rules="F12",
        tests=_LOGS,
    ),
    Break(
        name="level-is-ignored",
        file="logs.py",
        before="level=level.upper()",
        after='level="INFO"',
        rules="F12",
        tests=_LOGS,
    ),
    Break(
        name="line-has-no-trace",
        file="logs.py",
        before='            line["trace"] = self.formatException(record.exc_info)',
        after="            pass",
        rules="F12",
        tests=_LOGS,
    ),
    Break(
        name="trace-may-steer-a-terminal",
        file="logs.py",
        before='f"\\n{printable(line)}"',
        after='f"\\n{line}"',
        rules="F17",
        tests=("tests/base/test_escaping.py",),
    ),
    Break(
        name="text-may-be-turned-around",
        file="escaping.py",
        before="each if each.isprintable() else _escape(each)",
        after='each if each >= " " else _escape(each)',
        rules="F17",
        tests=("tests/base/test_escaping.py",),
    ),
    Break(
        name="dead-thread-says-nothing-in-the-log",
        file="logs.py",
        before="    threading.excepthook = _log_dead_thread\n",
        after="",
        rules="S27, F12",
        tests=("tests/csi/test_process.py::test_a_thread_that_dies_leaves_a_line_like_any_other",),
    ),
    Break(
        name="step-stays-the-first-one",
        file="logs.py",
        before="        entered.step = name",
        after="        entered.step = entered.step or name",
        rules="F11",
        tests=("tests/base/test_holds.py",),
    ),
)
