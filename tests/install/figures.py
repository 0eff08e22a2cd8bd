"""What an installation takes, in figures: written to build/installation.json, and printed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.install import audit
from tests.install.containers import MIB
from tests.install.image import layers
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.flows import namespace_for

PAGE: Final = Path(__file__).parents[2] / "build" / "installation.json"

_SHOWN = 70  # characters of what made a layer


@dataclass(slots=True)
class Figures:
    """What was measured.

    Attributes:
        image_mib: Each layer, by what made it; compressed.
        seconds: From the start of `helm install`, with all images on the node already.
        memory_mib: By container, the larger of two replicas: its working set, idle and after the
            flows side by side, and the most that it had until then, with pages of files.
        rights: Each kind of request that the driver's accounts made, and how often.
    """

    image_mib: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    memory_mib: dict[str, dict[str, float]] = field(default_factory=dict)
    rights: list[dict[str, Any]] = field(default_factory=list)
    flows_seconds: float = 0.0

    def measure_image(self) -> None:
        """Take the size of each layer."""
        for made, size in layers():
            name = " ".join(made.removeprefix("/bin/sh -c ").split())[:_SHOWN] or "base"
            self.image_mib[name] = _rounded(self.image_mib.get(name, 0) + size / MIB)

    def install(self, installation: HelmInstallation) -> None:
        """Install the chart and run a first pod, and take the time, and the memory after that."""
        begin = time.monotonic()
        installation.install(wait=False)
        self.seconds["helm returns"] = _since(begin)
        with namespace_for("test_first_use", installation.cluster, installation.cloud) as namespace:
            claim = Claim.create(namespace)
            pod = Pod.create(namespace, mounts={"/data": claim})
            claim.wait_bound()
            self.seconds["first claim bound"] = _since(begin)
            pod.wait_running()
            self.seconds["first pod runs"] = _since(begin)
            installation.wait_ready()
            self.seconds["every pod of the driver ready"] = _since(begin)
        self.measure_memory(installation, "idle")

    def measure_memory(self, installation: HelmInstallation, when: str) -> None:
        """Take the memory of every container."""
        for each in installation.all_containers():
            name = f"{'node' if '-node-' in each.pod else 'controller'} {each.name}"
            row = self.memory_mib.setdefault(name, {})
            row[when] = max(row.get(when, 0.0), _rounded(each.working_set / MIB))
            row["most"] = max(row.get("most", 0.0), _rounded(each.peak / MIB))
            row["limit"] = _rounded(each.memory_limit / MIB)

    def measure_rights(self) -> None:
        """Count what was asked of Kubernetes so far; a namespace of a flow's own is `*`."""
        counted: Counter[tuple[str, ...]] = Counter()
        for asked, count in audit.requests().items():
            where = asked.namespace if asked.namespace in ("", "kube-system") else "*"
            outcome = "forbidden" if asked.forbidden else "allowed"
            key = (asked.account, asked.program, asked.resource, where, asked.verb, outcome)
            counted[key] += count
        names = ("account", "program", "resource", "namespace", "verb", "outcome")
        self.rights = [
            {**dict(zip(names, key, strict=True)), "count": count}
            for key, count in sorted(counted.items())
        ]

    def write(self) -> None:
        """Write all figures to the page and print them."""
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(json.dumps(asdict(self), indent=2) + "\n")
        print("\n".join(self._lines()), flush=True)

    def _lines(self) -> Iterator[str]:
        yield "\nImage, MiB compressed"
        yield from _table(
            [*self.image_mib.items(), ("all", _rounded(sum(self.image_mib.values())))]
        )
        yield "\nSeconds from the start of helm install, images on the node"
        yield from _table(self.seconds.items())
        yield "\nMemory, MiB: working set idle and after the flows; most with pages of files; limit"
        columns = ("idle", "after", "most", "limit")
        yield from _table([("", *columns)])
        yield from _table(
            (name, *(row.get(column, "-") for column in columns))
            for name, row in sorted(self.memory_mib.items())
        )
        yield "\nRequests to Kubernetes by the driver's accounts"
        yield from _rights(self.rights)
        yield f"\nAll flows: {self.flows_seconds:.0f} s. The same as JSON: {PAGE}"


def _rights(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each program and resource, with its verbs and their counts."""
    by_resource: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        where = f" in {row['namespace']}" if row["namespace"] else ""
        refused = "" if row["outcome"] == "allowed" else " FORBIDDEN"
        key = (row["account"], row["program"], f"{row['resource']}{where}")
        by_resource.setdefault(key, []).append(f"{row['verb']}{refused} {row['count']}")
    for (account, program, resource), verbs in by_resource.items():
        yield f"  {account:24} {program:20} {resource:56} {', '.join(verbs)}"


def _table(rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    for name, *values in rows:
        yield f"  {name!s:{_SHOWN}}" + "".join(f"{value:>9}" for value in values)


def _since(begin: float) -> float:
    return _rounded(time.monotonic() - begin)


def _rounded(value: float) -> float:
    return round(value, 1)
