"""Tables are drawn at a terminal, and plain text elsewhere (N11, N20)."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest

from csi_exoblock.tools import doctor
from csi_exoblock.tools.drawing import drawn
from csi_exoblock.tools.tables import Row, plain
from csi_exoblock.tools.terminal import draw_for
from tests.apiserver.server import ApiServer
from tests.support.simulator_process import SimulatorProcess
from tests.tools.conftest import CLAIMS, Run
from tests.tools.objects import claim

HEAD = ("NAME", "STATE")
ESCAPE = "\x1b"
RED = "\x1b[31m"

AtTerminal = Callable[..., str]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_terminal(cloud: SimulatorProcess, cluster: ApiServer) -> AtTerminal:
    """Run a command at a terminal, and return what is shown there."""

    def start(*arguments: str, **environment: str) -> str:
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            (sys.executable, "-m", "csi_exoblock", *arguments),
            env={
                "PATH": os.environ["PATH"],
                "TERM": "xterm",
                "COLUMNS": "150",
                "EXOSCALE_API_ENDPOINT": cloud.api_endpoint,
                **cloud.environment,
                **cluster.environment,
                **environment,
            },
            stdout=theirs,
            stdin=subprocess.DEVNULL,
        ):
            os.close(theirs)
            shown = b""
            try:
                while part := os.read(ours, 65536):
                    shown += part
            except OSError:  # the other side is closed
                pass
        os.close(ours)
        return shown.decode()

    return start


def test_table_is_drawn_at_a_terminal(cluster: ApiServer, at_terminal: AtTerminal) -> None:  # N20
    cluster.lists[CLAIMS] = [claim("data")]

    shown = at_terminal("status")

    assert "────" in shown
    assert "shop/data" in shown
    assert RED not in shown


@pytest.mark.parametrize(("variable", "colours"), [("ANY", True), ("NO_COLOR", False)])
def test_faults_are_red_where_colours_are_wanted(
    healthy: ApiServer, at_terminal: AtTerminal, variable: str, colours: bool
) -> None:  # N11
    healthy.objects.clear()
    healthy.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "x"}}

    shown = at_terminal("doctor", **{variable: "1"})

    assert "CSIDriver" in shown
    assert (RED in shown) == colours


def test_healthy_installation_is_one_line_at_a_terminal_too(
    healthy: ApiServer, at_terminal: AtTerminal
) -> None:  # N11
    assert len(at_terminal("doctor").splitlines()) == 1


def test_output_in_a_pipe_is_plain_and_costs_nothing(run: Run, cluster: ApiServer) -> None:  # N20
    cluster.lists[CLAIMS] = [claim("data")]

    ended = run("status", PYTHONPROFILEIMPORTTIME="1", FORCE_COLOR="1")

    assert ended.output.startswith("CLAIM      VOLUME")
    assert ESCAPE not in ended.output
    assert "csi_exoblock.tools.status" in ended.errors
    assert " rich" not in ended.errors


@pytest.mark.fast
def test_without_rich_tables_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:  # N20
    assert draw_for(Terminal()) is drawn
    monkeypatch.delitem(sys.modules, "csi_exoblock.tools.drawing")
    monkeypatch.setitem(sys.modules, "rich", None)

    assert draw_for(Terminal()) is plain
    assert draw_for(io.StringIO()) is plain


@pytest.mark.fast
def test_foreign_text_is_shown_and_not_obeyed() -> None:  # F17
    text = drawn(HEAD, [Row(("[bold]pv[/bold]", f"{ESCAPE}[2J")), Row(("", "x"), is_wrong=True)])

    assert "[bold]pv[/bold]" in text
    assert "\\x1b[2J" in text
    assert text.splitlines()[-1].split() == ["-", "x"]


@pytest.mark.fast
def test_nothing_is_cut_off_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:  # N20
    monkeypatch.setenv("COLUMNS", "40")
    volume = "ch-gva-2/6f0c9a4e-1111-2222-3333-444455556666"

    text = drawn(HEAD, [Row((volume, "attached"))])

    first = "".join(line.split()[0] for line in text.splitlines()[2:])
    assert first == volume


@pytest.mark.fast
def test_report_has_a_row_for_each_finding() -> None:  # N11
    findings = [doctor.wrong("role", "it lacks a right", "add it"), doctor.well("clock", "exact")]

    text = doctor.as_text(findings, verbose=False, draw=drawn)

    assert text.splitlines()[-1] == "1 wrong, 0 not checked, 1 well"
    assert "exact" not in text
    assert text.splitlines()[2].split() == [
        "WRONG",
        "role",
        "it",
        "lacks",
        "a",
        "right",
        "add",
        "it",
    ]
