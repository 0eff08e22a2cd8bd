"""The sections of a run, one after the other."""

from __future__ import annotations

import os
import pathlib
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence

from tests.bench import burst, churn, crowds, lifecycle, node, starts, storm, waits
from tests.bench.plan import QUICK, WHOLE
from tests.bench.report import Conditions, Report, Section
from tests.bench.stage import Stage

SECTIONS: Mapping[str, Callable[[Stage], Section]] = {
    "lifecycle": lifecycle.measure,
    "waits": waits.measure,
    "burst": burst.measure,
    "zones": burst.measure_zones,
    "storm": storm.measure,
    "crowds": crowds.measure,
    "churn": churn.measure,
    "node": node.measure,
    "node-memory": churn.measure_node,
    "starts": starts.measure,
}

_NEED_ROOT = frozenset({"node", "node-memory"})


def run(names: Sequence[str], *, quick: bool, stopping: threading.Event) -> Report:
    """Measure the sections of these names; those that this machine can't measure are skipped.

    Args:
        stopping: Ends the run where an exception may be lost.

    Raises:
        KeyboardInterrupt: It was set.
    """
    began = time.monotonic()
    conditions = Conditions.now()
    sections: dict[str, Section] = {}
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    # Not in a test's folder, whose path may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stage = Stage(
            plan=QUICK if quick else WHOLE,
            folder=pathlib.Path(folder),
            began=began,
            stopping=stopping,
        )
        for name in names:
            if name in _NEED_ROOT and not _can_make_devices():
                skipped[name] = "it needs root and loop devices"
                stage.say(f"{name}: skipped, {skipped[name]}")
                continue
            try:
                sections[name] = SECTIONS[name](stage)
            except Exception as error:  # what was measured before it and after it is worth keeping
                traceback.print_exc()
                failed[name] = f"{type(error).__name__}: {error}"
    return Report(
        conditions=conditions,
        sections=sections,
        skipped=skipped,
        failed=failed,
        seconds=time.monotonic() - began,
    )


def _can_make_devices() -> bool:
    return os.geteuid() == 0 and pathlib.Path("/dev/loop-control").exists()
