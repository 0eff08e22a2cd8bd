"""A canary is found only where a pod reads all of what was written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest

from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod
from tests.soak.canary import Canary, CanaryLostError

pytestmark = pytest.mark.fast

BYTES = 256 * 1024
CONTENT = (b"soak-0-c1-w2\n" * BYTES)[:BYTES]


@dataclass(frozen=True)
class Reader(Pod):
    """A pod that reads a content."""

    content: bytes

    def run(self, script: str) -> str:
        """Answer as the shell in a pod does to what a canary asks."""
        first_line = self.content.partition(b"\n")[0].decode()
        return f"{hashlib.sha256(self.content).hexdigest()}  -\n{first_line}"


def reader(namespace: Namespace, content: bytes) -> Reader:
    return Reader(namespace, "reader", content)


@pytest.fixture
def nowhere() -> Namespace:
    """A namespace that nobody asks anything of."""
    return Namespace.__new__(Namespace)


def test_canary_is_found_where_it_was_written(nowhere: Namespace) -> None:
    Canary("soak-0-c1-w2").check(reader(nowhere, CONTENT))


@pytest.mark.parametrize(
    "content",
    [b"", CONTENT[:-1], CONTENT[:4096] + bytes(BYTES - 4096), CONTENT.replace(b"w2", b"w1")],
    ids=["empty", "shorter", "zeros behind the first page", "an older one"],
)
def test_anything_else_is_a_loss(nowhere: Namespace, content: bytes) -> None:
    with pytest.raises(CanaryLostError, match="soak-0-c1-w2 is lost"):
        Canary("soak-0-c1-w2").check(reader(nowhere, content))
