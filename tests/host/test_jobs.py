"""D10: long work is one job for each volume, however badly a job begins or ends."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded, HostError, OperationPending
from csi_exoblock.host.jobs import Jobs, Kind
from csi_exoblock.timing import Timing
from tests.support.asking import LONG_SECONDS
from tests.support.threads import without_threads

pytestmark = pytest.mark.fast


def test_job_for_which_there_is_no_thread_is_not_under_way() -> None:
    jobs, deadline = Jobs(max_formats=1, timing=Timing()), Deadline(LONG_SECONDS)
    with without_threads(), pytest.raises(HostError, match="no thread for formatting"):
        jobs.run("volume", "formatting", lambda: 1, deadline, kind=Kind.FORMAT)

    jobs.check("volume")
    assert jobs.run("volume", "formatting", lambda: 1, deadline, kind=Kind.FORMAT) == 1


def test_a_job_that_hangs_keeps_no_other_from_its_turn() -> None:  # S26
    jobs = Jobs(max_formats=1, timing=replace(Timing(), format_turn=0.01))
    hangs = threading.Event()
    with pytest.raises(DeadlineExceeded):
        jobs.run("hung", "formatting", hangs.wait, Deadline(0.01), kind=Kind.FORMAT)

    for _ in range(3):
        assert jobs.run("other", "formatting", lambda: 1, Deadline(LONG_SECONDS), kind=Kind.FORMAT)

    with pytest.raises(OperationPending, match="formatting"):
        jobs.check("hung")
    hangs.set()
    jobs.drain(Deadline(LONG_SECONDS))
    jobs.check("hung")
