"""Kubelet as requirements.md, section 0, describes it: what it repeats, and when it cleans up.

Every method returns when kubelet would call its work done, or raises GivenUp or DiskLost.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator
from typing import Any

import grpc

from tests.chaos.node import invariants, plan
from tests.chaos.node.volumes import Volume
from tests.chaos.node.world import Refused, World

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.1
_TRIES = 3

PATIENCE_SECONDS = 30.0
"""What has not succeeded by then, for each fault ends after a few calls, is stuck."""


class GivenUp(Exception):
    """Nothing came of it although all faults are over: it is stuck."""


class DiskLost(Exception):
    """The volume's disk was pulled out or fails, so its pods have to go."""


class Kubelet:
    """The kubelet of one node."""

    def __init__(self, world: World, *, patience_seconds: float) -> None:
        self._world = world
        self._patience_seconds = patience_seconds

    def stage(self, volume: Volume, *, impatient: int = 0) -> bool:
        """Stage a volume; say whether it is staged, or else clean up as kubelet does.

        Args:
            impatient: After how many refusals the pod is deleted, 0: never.
        """
        for attempt in self._attempts(f"stage of {volume.id}"):
            volume.staged = True
            try:
                self._call(volume, plan.STAGE, volume.stage())
            except Refused as refused:
                if refused.is_final:
                    volume.staged = False
                _require_disk(volume)
                if 0 < impatient <= attempt:
                    self.leave(volume)
                    return False
                continue
            return True
        raise AssertionError("attempts never end")

    def is_refused(self, volume: Volume, filesystem: str = "") -> None:
        """Try to stage what must not be staged, until that is refused for good."""
        for _ in range(_TRIES):
            volume.staged = True
            try:
                self._call(volume, plan.STAGE, volume.stage(filesystem), filesystem=filesystem)
            except Refused as refused:
                if refused.is_final:
                    volume.staged = False
                    return
                self.leave(volume)
                _require_disk(volume)
                continue
            what = f"{volume.plan} as {filesystem or 'asked for'}"
            self._world.story.breach("what must not be staged is refused", what)
            return

    def publish(self, volume: Volume, pod: str) -> pathlib.Path:
        """Publish a volume to a pod and return where."""
        target = volume.target(pod)
        first = target not in volume.targets
        for _ in self._attempts(f"publish of {volume.id}"):
            if target not in volume.targets:
                volume.targets.append(target)
            try:
                self._call(volume, plan.PUBLISH, volume.publish(target), target, first=first)
            except Refused as refused:
                if refused.is_final and first:
                    volume.targets.remove(target)
                _require_disk(volume)
                continue
            return target
        raise AssertionError("attempts never end")

    def leave(self, volume: Volume) -> None:
        """Unpublish and unstage a volume, as far as it may be either."""
        for target in tuple(volume.targets):
            self.unpublish(volume, target)
        if volume.staged:
            self._until_ok(volume, plan.UNSTAGE, volume.unstage(), volume.staging)
            volume.staged = False

    def unpublish(self, volume: Volume, target: pathlib.Path) -> None:
        """Take a volume from a pod."""
        self._until_ok(volume, plan.UNPUBLISH, volume.unpublish(target), target)
        volume.targets.remove(target)

    def expand(self, volume: Volume, target: pathlib.Path) -> None:
        """Expand what is published, or hear that it grows at the next stage (S7)."""
        for _ in self._attempts(f"expansion of {volume.id}"):
            try:
                self._call(volume, plan.EXPAND, volume.expand(target))
            except Refused as refused:
                _require_disk(volume)
                if refused.code is not grpc.StatusCode.FAILED_PRECONDITION:
                    continue
            return

    def ask(self, volume: Volume, method: str, request: Any) -> None:
        """Ask for statistics or health once; errors are no matter."""
        try:
            self._call(volume, method, request)
        except Refused:
            _require_disk(volume)

    def _until_ok(self, volume: Volume, method: str, request: Any, path: pathlib.Path) -> None:
        for _ in self._attempts(f"{method} of {volume.id}"):
            try:
                self._call(volume, method, request, path)
            except Refused:
                if path in volume.guests:
                    self._world.fired[plan.BUSY, method] += 1
                    volume.stop_using(path)
                continue
            volume.stop_using(path)
            return

    def _call(
        self,
        volume: Volume,
        method: str,
        request: Any,
        path: pathlib.Path | None = None,
        *,
        filesystem: str = "",
        first: bool = False,
    ) -> None:
        refused = None
        try:
            self._world.call(volume, method, request)
        except Refused as error:
            refused = error
        seen = invariants.Seen(
            volume=volume,
            method=method,
            refused=refused,
            target=path,
            filesystem=filesystem,
            first=first,
        )
        invariants.check_answer(self._world, seen)
        if refused is not None:
            raise refused

    def _attempts(self, what: str) -> Iterator[int]:
        """Yield the ordinal of every attempt, with growing pauses between them.

        Raises:
            GivenUp: It takes far longer than any fault lasts.
        """
        pause, attempt = _FIRST_PAUSE_SECONDS, 0
        end = time.monotonic() + self._patience_seconds
        while True:
            attempt += 1
            yield attempt
            if time.monotonic() > end:
                raise GivenUp(what)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _require_disk(volume: Volume) -> None:
    if volume.disk.lost:
        raise DiskLost(volume.id)
