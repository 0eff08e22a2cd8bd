"""The output of the demo: each step as it happens, and a table of all steps at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import grpc
from rich import box
from rich.console import Console
from rich.table import Table

from csi_exoblock.tools.demo_signals import end_if_interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    text: str
    rpc: str
    seconds: float
    api_calls: int


class Report:
    """Measures the time of each step, and counts its calls to the cloud's API."""

    def __init__(self, console: Console, *, count_calls: Callable[[], int]) -> None:
        self._console = console
        self._count_calls = count_calls
        self._steps: list[_Step] = []

    @contextmanager
    def step(self, text: str, rpc: str) -> Iterator[None]:
        """Show the block as one step with its RPC."""
        end_if_interrupted()
        calls = self._count_calls()
        began = time.monotonic()
        try:
            with self._console.status(f"{text} …"):
                yield
        except grpc.RpcError as error:
            call = cast(
                grpc.Call, error
            )  # the error of a channel is always a call too; its type can't say so
            self._print(f"[red]✗[/] {text:<30} {rpc}\n  {call.code().name}: {call.details()}")
            raise
        step = _Step(
            text=text,
            rpc=rpc,
            seconds=time.monotonic() - began,
            api_calls=self._count_calls() - calls,
        )
        self._steps.append(step)
        self._print(f"[green]✓[/] {text:<30} {rpc:<25} {step.seconds:6.2f} s")

    def note(self, text: str) -> None:
        """Show a line between two steps."""
        self._print(f"  [cyan]{text}[/]")

    def conclude(self) -> None:
        """Show the table of all steps with their sums."""
        table = Table("step", "RPC", box=box.SIMPLE)
        table.add_column("seconds", justify="right")
        table.add_column("API calls", justify="right")
        for step in self._steps:
            table.add_row(step.text, step.rpc, f"{step.seconds:.2f}", str(step.api_calls))
        table.add_section()
        table.add_row(
            "all",
            f"{len(self._steps)} calls",
            f"{sum(step.seconds for step in self._steps):.2f}",
            str(sum(step.api_calls for step in self._steps)),
        )
        self._console.print(table)
        self._console.print("Nothing is left: no volume, no snapshot, no mount, no device.")

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)
