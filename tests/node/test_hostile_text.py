"""F17: text from a tenant's disk or process is shown in messages, and does nothing."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest

from tests.node.conftest import Volume
from tests.support.grpc_errors import outcome

pytestmark = pytest.mark.root

CLEARS_THE_SCREEN = "\x1b[2J\x1b]0;x"
SHOWN = "\\x1b[2J\\x1b]0;x"
UNDER_A_NAME = "open('/proc/self/comm', 'w').write({name!r}); print(flush=True); input()"


def test_the_name_of_a_process_is_shown_as_it_is_written(volume: Volume) -> None:
    volume.stage()
    code = UNDER_A_NAME.format(name=CLEARS_THE_SCREEN)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=volume.staging,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        code_, message = outcome(volume.unstage)
        process.communicate("\n")

    volume.unstage()
    assert code_ == grpc.StatusCode.FAILED_PRECONDITION.name
    assert SHOWN in message
    assert message.isprintable()


def test_what_is_on_a_disk_is_shown_as_it_is_written(volume: Volume) -> None:
    volume.disk.format("xfs", "-q", "-L", "\x1b[2J")

    code, message = outcome(volume.stage)

    assert code == grpc.StatusCode.FAILED_PRECONDITION.name
    assert message.isprintable()
