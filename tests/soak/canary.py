"""A content that a volume must keep: written by its pod, and read again after all that happens."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass

from tests.kubernetes.cluster.pods import Pod
from tests.support.waiting import wait_until

FOLDER = "/data"

_BYTES = 256 * 1024
_FILE = f"{FOLDER}/canary"
_READ = f"sha256sum < {_FILE}; head -n 1 {_FILE}"
_CONNECTION_SECONDS = 120.0


class CanaryLostError(AssertionError):
    """A volume does not hold what its pod wrote."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A file full of one word.

    Attributes:
        word: No other canary of the run has it.
    """

    word: str

    def write(self, pod: Pod) -> None:
        """Let a pod write it to its volume, through to the disk."""
        run_in(pod, f"yes {self.word} | head -c {_BYTES} > {_FILE} && sync -f {FOLDER}")
        self.check(pod)

    def check(self, pod: Pod) -> None:
        """Raise CanaryLostError unless a pod finds it on its volume."""
        found = run_in(pod, _READ)
        if found != self._expected():
            raise CanaryLostError(f"pod {pod.name}: {self.word} is lost, there is:\n{found}")

    def _expected(self) -> str:
        """Return what reading it says."""
        line = f"{self.word}\n".encode()
        content = (line * (_BYTES // len(line) + 1))[:_BYTES]
        return f"{hashlib.sha256(content).hexdigest()}  -\n{self.word}"


def run_in(pod: Pod, script: str) -> str:
    """Run a script in a pod and return all that it said, errors of its commands too.

    It is run once more while kubectl does not come through to the pod.
    """

    def said() -> tuple[str] | None:
        try:
            return (pod.run(f"exec 2>&1; {script}; true"),)
        except subprocess.CalledProcessError:
            return None

    (answer,) = wait_until(said, f"commands run in pod {pod.name}", seconds=_CONNECTION_SECONDS)
    return answer
