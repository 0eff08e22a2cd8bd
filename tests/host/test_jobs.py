"""D10: long work is one job for each volume, however badly a job begins or ends."""

from __future__ import annotations

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError
from csi_exoblock.host.jobs import Jobs, Kind
from tests.support.asking import LONG_SECONDS
from tests.support.threads import without_threads

pytestmark = pytest.mark.fast


def test_job_for_which_there_is_no_thread_is_not_under_way() -> None:
    jobs, deadline = Jobs(max_formats=1), Deadline(LONG_SECONDS)
    with without_threads(), pytest.raises(HostError, match="no thread for formatting"):
        jobs.run("volume", "formatting", lambda: 1, deadline, kind=Kind.FORMAT)

    jobs.check("volume")
    assert jobs.run("volume", "formatting", lambda: 1, deadline, kind=Kind.FORMAT) == 1
