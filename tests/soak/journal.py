"""What happened in a run, with its time: on the terminal, in a file, and for the page."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that was done.

    Attributes:
        what: Its kind, such as `move`.
        begin, end: In hours since the run began.
    """

    what: str
    begin: float
    end: float


class Journal:
    """The story of a run. Every thread may write to it."""

    def __init__(self, story: Path) -> None:
        story.parent.mkdir(parents=True, exist_ok=True)
        story.write_text("")
        self._story = story
        self._lock = threading.Lock()
        self._begin = time.monotonic()
        self._actions: list[Event] = []
        self._troubles: list[Event] = []
        self._findings: list[str] = []

    @property
    def hours(self) -> float:
        """The hours since the run began."""
        return (time.monotonic() - self._begin) / 3600

    @property
    def actions(self) -> Counter[str]:
        """How often each action of a user was done."""
        with self._lock:
            return Counter(each.what for each in self._actions)

    @property
    def troubles(self) -> tuple[Event, ...]:
        """What went wrong because the run wanted it to."""
        with self._lock:
            return tuple(self._troubles)

    @property
    def findings(self) -> tuple[str, ...]:
        """What is not as it must be, each in one line."""
        with self._lock:
            return tuple(self._findings)

    def say(self, text: str) -> None:
        """Tell something on the terminal and in the story."""
        print(f"{self.hours * 60:6.1f} min  {text}", flush=True)
        self.note(text)

    def note(self, text: str) -> None:
        """Write something into the story."""
        with self._lock, self._story.open("a") as story:
            story.write(f"{self.hours * 3600:9.1f} s  {text}\n")

    def did(self, who: str, what: str, about: str, begin: float) -> None:
        """Write down what a user has done, who began at an hour of the run."""
        with self._lock:
            self._actions.append(Event(what=what, begin=begin, end=self.hours))
        self.note(f"{who}: {what} {about}, {(self.hours - begin) * 3600:.1f} s")

    def troubled(self, what: str, about: str, begin: float) -> None:
        """Write down a trouble that is over, and began at an hour of the run."""
        with self._lock:
            self._troubles.append(Event(what=what, begin=begin, end=self.hours))
        self.note(f"trouble: {what} {about}, {(self.hours - begin) * 3600:.1f} s")

    def find(self, finding: str) -> None:
        """Write down what is not as it must be; its first line stands for it."""
        with self._lock:
            self._findings.append(finding.partition("\n")[0])
        self.say(f"FOUND: {finding}")
