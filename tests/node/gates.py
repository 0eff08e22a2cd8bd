"""A command of the host that waits for leave to begin its work."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from tests.support.grpc_errors import outcome
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.node.conftest import Tools


class Gate:
    """A command that waits for leave to begin its work, once it was called."""

    def __init__(
        self, tools: Tools, name: str, folder: pathlib.Path, *, work: str | None = None
    ) -> None:
        """Replace the command.

        Args:
            work: Of the shell, instead of the command's own.
        """
        self._tools, self._name = tools, name
        self._begun, self._open = folder / "begun", folder / "open"
        self._before = tools.count(name)
        waiting = f"echo $$ >> {self._begun}; while ! test -e {self._open}; do sleep 0.02; done"
        tools.replace(name, f"{waiting}\n" + (work or f'exec {shutil.which(name)} "$@"'))

    def runs(self) -> int:
        """Count the calls of the command."""
        return self._tools.count(self._name) - self._before

    def has_begun(self) -> bool:
        """Return whether the command was called."""
        return self._begun.exists() and bool(self._begun.read_text())

    def wait_until_begun(self) -> None:
        """Return when the command was called."""
        wait_until(self.has_begun, self._name)

    def outlast(self, call: Callable[[], object]) -> None:
        """Make a call that has little time, until it has ended before a command that it began.

        On a busy machine its time can be over before it has begun any.
        """

        def is_outlasted() -> bool:
            code, text = outcome(call)
            # The disk may still be asked for the call before.
            assert code in ("DEADLINE_EXCEEDED", "ABORTED", "UNAVAILABLE"), f"{code}: {text}"
            return self.has_begun()

        wait_until(is_outlasted, f"{self._name} to outlast its call")

    def open(self) -> None:
        """Let it work, and every later one too."""
        self._open.touch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
