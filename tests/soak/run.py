"""A run: users and troubles at once for hours, watched, and in the end everything is looked at."""

from __future__ import annotations

import contextlib
import shutil
import threading
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.report import Conditions
from tests.install.installation import HelmInstallation
from tests.install.second_node import SecondNode
from tests.kubernetes.cluster.api import Api
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.places import LOGS, NODE_NAME, POD_LOGS, SECOND
from tests.kubernetes.leftovers import pulled
from tests.soak.actions import ACTIONS
from tests.soak.journal import Journal
from tests.soak.judgement import judge, unexpected
from tests.soak.leftovers import left_over
from tests.soak.page import Run, append, replace
from tests.soak.tenant import Tenant
from tests.soak.troubles import Troubles, restarts
from tests.soak.watch import Watch, all_ready, driver_pods
from tests.soak.workload import PATIENCE_SECONDS
from tests.support.waiting import wait_until

_BUILD: Final = Path(__file__).parents[2] / "build"
PAGE: Final = _BUILD / "soak.md"
SO_FAR: Final = _BUILD / "soak-so-far.md"
STORY: Final = _BUILD / "soak.log"
_LOGS = _BUILD / "soak-logs"

_TENANTS = 3
_SAMPLE_SECONDS = 60.0
_WORD_SECONDS = 600.0
_LEAST_SAMPLES = 60  # a short run is looked at more often


def soak(hours: float, seed: int) -> tuple[str, ...]:
    """Run for some hours, or until an interrupt, and return what is not as it must be."""
    conditions = Conditions.now()
    print(f"{hours:g} hours with SEED={seed}; Ctrl-C ends it early", flush=True)
    with HelmInstallation.running() as installation:
        installation.install()
        with SecondNode.running(installation) as second:
            api = installation.cluster.api
            wait_until(partial(all_ready, api), "all is ready", seconds=PATIENCE_SECONDS)
            run = _Soak(installation, second, hours, seed, conditions).run()
            append(run, PAGE)
            if run.findings:
                _keep_logs()
    return tuple(run.findings)


class _Soak:
    """Everybody who takes part in a run."""

    def __init__(
        self,
        installation: HelmInstallation,
        second: SecondNode,
        hours: float,
        seed: int,
        conditions: Conditions,
    ) -> None:
        nodes = (NODE_NAME, second.name)
        self._conditions = conditions
        self._hours = hours
        self._seed = seed
        self._api = Api()
        self._cloud = installation.cloud
        self._journal = Journal(STORY)
        self._tenants = [
            Tenant(
                number,
                seed=seed,
                cluster=Cluster(installation.programs),
                nodes=nodes,
                journal=self._journal,
            )
            for number in range(_TENANTS)
        ]
        self._troubles = Troubles(seed=seed, hours=hours, journal=self._journal)
        watched = (*(each.namespace.name for each in self._tenants), "default", "kube-system")
        self._watch = Watch(self._journal, watched)
        self._ending = threading.Event()
        self._restarts = restarts(driver_pods(self._api))

    def run(self) -> Run:
        """Let all live until the end, then look at everything."""
        lives = self._begin()
        try:
            self._wait()
        except KeyboardInterrupt:
            self._journal.say("interrupted")
        finally:
            self._ending.set()
        hours = self._journal.hours
        self._journal.say("the end: what is begun is finished, then every canary is read")
        _join(lives)
        self._watch.take()
        self._look_at_everything()
        self._clear()
        for verdict in judge(self._watch.samples):
            if not verdict.is_flat:
                self._journal.find(str(verdict))
        return self._until(hours)

    def _until(self, hours: float) -> Run:
        """Return what was seen by now, some hours after the beginning."""
        return Run(
            conditions=self._conditions,
            seed=self._seed,
            wanted_hours=self._hours,
            hours=hours,
            samples=self._watch.samples,
            actions=self._journal.actions,
            troubles=self._journal.troubles,
            verdicts=judge(self._watch.samples),
            findings=self._journal.findings,
        )

    def _begin(self) -> list[threading.Thread]:
        self._watch.take()
        every_seconds = min(_SAMPLE_SECONDS, self._hours * 3600 / _LEAST_SAMPLES)
        return [
            *(self._start(partial(each.live, ACTIONS, self._ending)) for each in self._tenants),
            self._start(partial(self._troubles.go_on, self._ending)),
            self._start(partial(self._watch.run, every_seconds, self._ending)),
        ]

    def _wait(self) -> None:
        """Let the time pass, and say now and then how it goes.

        What was seen so far is kept then, because a run can end without warning.
        """
        while (left_hours := self._hours - self._journal.hours) > 0:
            self._ending.wait(min(left_hours * 3600, _WORD_SECONDS))
            self._journal.say(
                f"{self._journal.actions.total()} actions, {len(self._journal.troubles)} troubles,"
                f" {len(self._journal.findings)} findings"
            )
            replace(self._until(self._journal.hours), SO_FAR)

    def _look_at_everything(self) -> None:
        """Read every canary, and find what nobody foresaw."""
        _join(self._start(each.check_all) for each in self._tenants)
        for finding in unexpected(self._watch.samples):
            self._journal.find(finding)
        for name, count in restarts(driver_pods(self._api)).items():
            more = count - self._restarts[name] - self._troubles.kills[name]
            if more:
                self._journal.find(f"restarts: {name} was started {more} times by nobody's wish")

    def _clear(self) -> None:
        """Delete everything, and find what stays."""
        _join(
            self._start(partial(each.namespace.clear, PATIENCE_SECONDS)) for each in self._tenants
        )
        for left in left_over(self._api, self._cloud):
            self._journal.find(left)
        for line in pulled(self._cloud):
            self._journal.find(f"detached under a mount: {line}")

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        """Do some work in a thread, which is not waited for after a second interrupt."""

        def carry_out() -> None:
            try:
                work()
            except Exception as error:  # the top of a thread: what it was is a finding
                self._journal.find(f"a thread ended: {error!r}\n{traceback.format_exc()}")

        thread = threading.Thread(target=carry_out, daemon=True)
        thread.start()
        return thread


def _join(threads: Iterable[threading.Thread]) -> None:
    for thread in list(threads):
        thread.join()


def _keep_logs() -> None:
    """Keep the logs of this run's processes, which end with the cluster."""
    shutil.rmtree(_LOGS, ignore_errors=True)
    for folder in (LOGS, POD_LOGS, SECOND / POD_LOGS.name):
        audit = shutil.ignore_patterns("audit*")  # large
        with contextlib.suppress(shutil.Error):  # a log was put away meanwhile
            shutil.copytree(folder, _LOGS / folder.name, ignore=audit, dirs_exist_ok=True)
