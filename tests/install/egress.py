"""Close the ways out of pods, as a network that enforces NetworkPolicies would.

The network of the tests' cluster enforces none: these rules are written into the pods' own network
by iptables. What a policy lets in is not looked at.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.install.containers import Container
from tests.kubernetes.cluster.documents import Document
from tests.kubernetes.cluster.places import SERVICE_ADDRESS, SERVICE_PORT

_ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, slots=True)
class Way:
    """A way out that stays open."""

    network: str
    protocol: str
    ports: str


TO_KUBERNETES = Way(f"{SERVICE_ADDRESS}/32", "tcp", str(SERVICE_PORT))


def ways_of(policy: Document) -> Iterator[Way]:
    """Yield the ways out that a NetworkPolicy leaves open; by addresses only, as in the chart."""
    for rule in policy.documents("spec", "egress"):
        peers = [peer.text("ipBlock", "cidr") for peer in rule.documents("to")] or [_ANYWHERE]
        for port in rule.documents("ports"):
            first, last = port.number("port"), port.number("endPort")
            ports = f"{first}:{last}" if last else str(first)
            for network in peers:
                yield Way(network, port.text("protocol").lower(), ports)


@contextmanager
def only(container: Container, ways: Iterable[Way]) -> Iterator[Callable[[], int]]:
    """Refuse, during the block, whatever a container's pod sends on any other way.

    Answers to those who ask the pod, such as kubelet's probes, go out. Yield what tells how many
    packets were refused so far.
    """
    rules = [
        ("--out-interface", "lo", "--jump", "ACCEPT"),
        ("--match", "state", "--state", "ESTABLISHED,RELATED", "--jump", "ACCEPT"),
        *(_rule(way) for way in ways),
        ("--jump", "REJECT"),
    ]
    with open(f"/proc/{container.pid}/ns/net") as network:  # it outlives the container

        def iptables(*arguments: str) -> str:
            entering = f"--net=/proc/{os.getpid()}/fd/{network.fileno()}"
            command = ["nsenter", entering, "iptables", *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        def refused() -> int:
            listed = iptables("--list", "OUTPUT", "--numeric", "--verbose", "--exact")
            lines = (line.split() for line in listed.splitlines())
            return next(int(line[0]) for line in lines if "REJECT" in line)

        try:
            for rule in rules:
                iptables("--append", "OUTPUT", *rule)
            yield refused
        finally:
            iptables("--flush", "OUTPUT")


def _rule(way: Way) -> tuple[str, ...]:
    where = ("--destination", way.network, "--protocol", way.protocol)
    return (*where, "--destination-port", way.ports, "--jump", "ACCEPT")
