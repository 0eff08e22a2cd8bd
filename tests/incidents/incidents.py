"""Twelve incidents, and what an operator sees of each: `python -m tests.incidents.incidents`.

It writes docs/incidents.md from this table; tests/incidents/test_incidents.py plants each of them.
"""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "incidents.md"

_HEAD = """\
# Incidents

What you see of twelve incidents: the command that tells the cause, the line that it prints (`…`
stands for names, ids and numbers), the alert that tells it unasked and after how long, and the page
that says what to do. A test brings each of them about, with the real driver on a simulated cloud,
and compares; `make docs` writes this page from `tests/incidents/incidents.py`.

An alert's time is that from the beginning of the incident, if Kubernetes repeats its calls every
minute. Quotas, pending growth and what kubelet has registered are read only every five minutes,
orphans every 15. A dash means that no alert of this project fires.

| Incident | Command | It prints | Alert, after | Page |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident.

    Attributes:
        name: What has happened.
        command: What the operator runs.
        prints: The line that tells the cause; `…` stands for anything.
        alert: The alert that fires, empty for none.
        minutes: How long after the beginning it fires.
        page: The page in docs, with its anchor, and the words for the link.
    """

    name: str
    command: str
    prints: str
    alert: str = ""
    minutes: int = 0
    page: tuple[str, str]


WRONG_KEY = Incident(
    name="The API key was revoked",
    command="doctor",
    prints="WRONG  zones: list-zones …: HTTP 403: Invalid request signature; check the API key, …",
    alert="ExoblockApiRefusesTheKey",
    minutes=11,
    page=("runbooks.md#exoblockapirefusesthekey", "ExoblockApiRefusesTheKey"),
)
NO_RIGHT = Incident(
    name="The key's role lacks attach",
    command="doctor",
    prints="WRONG  role: attach-block-storage-volume-to-instance is refused: …",
    alert="ExoblockApiRefusesTheKey",
    minutes=11,
    page=("security.md#the-api-key", "The API key"),
)
QUOTA_FULL = Incident(
    name="The quota is used up",
    command="doctor",
    prints="WRONG  quotas: block-storage-volume: … of … in use; …",
    alert="ExoblockQuotaNearlyUsedUp",
    minutes=15,
    page=("troubleshooting.md#pending", "Pending"),
)
NODE_DEAD = Incident(
    name="A node is dead, and a volume is attached to it",
    command="doctor",
    prints="WRONG  nodes: n1 is not ready, and has volumes attached; …",
    alert="ExoblockNodeDead",
    minutes=10,
    page=("node-loss.md", "When a node dies"),
)
NOT_REGISTERED = Incident(
    name="Kubelet does not know the node plugin",
    command="doctor",
    prints="WRONG  nodes: kubelet of n1 does not know the driver; …",
    alert="ExoblockNodePluginNotRegistered",
    minutes=10,
    page=("runbooks.md#exoblocknodepluginnotregistered", "ExoblockNodePluginNotRegistered"),
)
DETACH = Incident(
    name="A detach does not end",
    command="status",
    prints="! detach from n1 (the time for the call ended; a retry continues the work …",
    alert="ExoblockDetachTakesTooLong",
    minutes=7,
    page=("runbooks.md#exoblockdetachtakestoolong", "ExoblockDetachTakesTooLong"),
)
GROWTH = Incident(
    name="A growth waits for its pod",
    command="status",
    prints="its pod to be replaced, then it grows to 3 GiB",
    alert="ExoblockGrowthPendingTooLong",
    minutes=65,
    page=("expansion.md", "Expansion"),
)
SNAPSHOT = Incident(
    name="A snapshot does not become ready",
    command="status",
    prints="! snapshot shop/s1 (…",
    alert="ExoblockCallKeepsFailing",
    minutes=11,
    page=("troubleshooting.md#snapshots", "Snapshots"),
)
WRONG_ZONE = Incident(
    name="A pod runs in another zone than its volume",
    command="status",
    prints="! attach to n1 (…it can only be used in zone …",
    alert="ExoblockCallKeepsFailing",
    minutes=11,
    page=("troubleshooting.md#containercreating", "ContainerCreating"),
)
HUNG_DISK = Incident(
    name="A disk of a node hangs",
    command="doctor --node",
    prints="WRONG  disks: disk vdb of volume … does not report its serial; it might hang; …",
    alert="ExoblockLockTooOld",
    minutes=6,
    page=("runbooks.md#exoblocklocktooold", "ExoblockLockTooOld"),
)
ORPHAN = Incident(
    name="A volume was left behind",
    command="orphans",
    prints="volume without PersistentVolume  …",
    alert="ExoblockOrphans",
    minutes=1470,
    page=("runbooks.md#exoblockorphans", "ExoblockOrphans"),
)
FULL = Incident(
    name="A file system is full",
    command="kubectl logs POD",
    prints="No space left on device",
    alert="ExoblockVolumeNearlyFull",
    minutes=15,
    page=("troubleshooting.md#full", "Full"),
)

INCIDENTS = (
    WRONG_KEY, NO_RIGHT, QUOTA_FULL, NODE_DEAD, NOT_REGISTERED, DETACH, GROWTH, SNAPSHOT,
    WRONG_ZONE, HUNG_DISK, ORPHAN, FULL,
)  # fmt: skip


def text() -> str:
    """Return the page."""
    return _HEAD + "".join(map(_row, INCIDENTS))


def _row(incident: Incident) -> str:
    target, words = incident.page
    alert = f"[{incident.alert}](runbooks.md#{incident.alert.lower()}), {_time(incident.minutes)}"
    cells = (
        incident.name,
        f"`{incident.command}`",
        f"`{' '.join(incident.prints.split())}`",
        alert if incident.alert else "-",
        f"[{words}]({target})",
    )
    return f"| {' | '.join(cells)} |\n"


def _time(minutes: int) -> str:
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


if __name__ == "__main__":
    PAGE.write_text(text())
