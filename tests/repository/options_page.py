"""Write docs/options.md from the flags: `python -m tests.repository.options_page`.

The flags say what they do (`csi_exoblock/flags/`); this module says when to change them.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence

import click

from csi_exoblock.__main__ import command

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "options.md"

_INTRODUCTION = """\
# Options

Every flag has an environment variable; a flag overrides its variable. A bad value ends the process
at start with one line and exit code 2. Durations are written `90s`, `2m`, `1m30s` or `250ms`.

`make docs` writes this page from the flags, and a test keeps it current.
`csi-exoblock COMMAND --help` prints the same.

There is no flag for the API key, because every process of a host can read command lines. The key
comes from `EXOSCALE_API_KEY` and `EXOSCALE_API_SECRET`, or from `--credentials-file`. Set
`HTTPS_PROXY` and `NO_PROXY` if the controller reaches the API through a proxy.
"""

_SECTIONS: Mapping[str, str] = {
    "controller and node": "Both services, and `all`, which runs them in one process.",
    "controller": "The controller: it needs the API key and no host access.",
    "node": "The node plugin: it needs root, no API key and no API.",
    "pre-stop": "The hook of the node's container, `preStop: exec`. Beside these flags it takes "
    "`--driver-name`, `--node-name`, `--registration-path` and `--service-account-path`.",
    "commands that read": "`doctor`, `import`, `orphans`, `status`. They take the controller's "
    "flags for cloud and Kubernetes as well, and `doctor --node` those of the node for the host; "
    "in the driver's container they know them already.",
    "simulator": "The cloud to develop and test against; needs `csi-exoblock[simulator]`.",
    "demo": "Simulator and driver together; needs `csi-exoblock[demo]`.",
}

TOOLS = ("doctor", "import", "orphans", "status")
"""Commands that read cloud and cluster."""

# When a user changes a flag; by the flag's name.
WHEN: Mapping[str, str] = {
    "--endpoint": "The sidecars use another path for the socket.",
    "--driver-name": "Before the first volume only, to take over the vendor's volumes: "
    "`csi.exoscale.com`.",
    "--http-endpoint": "You want probes and metrics; `:8080` in a pod.",
    "--metrics-path": "Your Prometheus reads another path.",
    "--metrics-cert-file": "Metrics must be encrypted on the network.",
    "--metrics-key-file": "With `--metrics-cert-file`.",
    "--grpc-workers": (
        "You gave the sidecars more workers: it must exceed their sum, in which those of the "
        "provisioner and the resizer count twice."
    ),
    "--log-format": "You read the log yourself: `text`.",
    "--log-level": "You look for a fault: `debug`.",
    "--shutdown-timeout": "The pod's grace period is shorter than this; keep it below that period.",
    "--time-scale": "Tests only.",
    "--api-endpoint": "The API is reached by another name, or you run the simulator.",
    "--allow-plain-http": "Never on a network that others can reach.",
    "--credentials-file": "The key is mounted as a file and should rotate without a restart.",
    "--ca-file": "A proxy or a private endpoint has a certificate of your own authority.",
    "--zones": "The key or the cluster is for some zones only.",
    "--default-zone": "Claims without topology, in a cluster of several zones.",
    "--user-agent-extra": "You want to find this cluster's requests in the cloud's log.",
    "--api-max-qps": "Others need a part of the organisation's rate limit.",
    "--cluster-id": "Always, where several clusters share an organisation.",
    "--inherited-cluster-ids": "The cluster was rebuilt, or took over volumes of another one.",
    "--extra-labels": "Volumes should carry a cost centre or an owner.",
    "--label-prefix": "The API or a policy refuses a slash in label keys: `exoblock-`.",
    "--label-max-length": "The API refuses long label values.",
    "--min-volume-size-gib": "Tiny claims should be rounded up further.",
    "--max-volume-size-gib": "No claim should get more than this, even if the quota allows it.",
    "--deferred-expansion": "A claim in use must not grow later by itself: `false`.",
    "--deferred-expansion-ttl": "You raised the resizer's `--retry-interval-max`; keep this above.",
    "--clone-by-snapshot": "Clones must not use up the quota of snapshots: `false`.",
    "--capacity-from-quota": "Only this cluster uses the quota, and the scheduler should see it.",
    "--api-timeout": "A slow proxy lies between the controller and the API.",
    "--create-timeout": "You changed the provisioner's `--timeout`; keep this below.",
    "--attach-timeout": "You changed the attacher's `--timeout`; keep this below.",
    "--detach-timeout": "You changed the attacher's `--timeout`; keep this below.",
    "--output": "A program reads it: `json`.",
    "--kubeconfig": "The cluster is in another kubeconfig than kubectl's own choice.",
    "--context": "The cluster is another context's.",
    "--watch": "You want to see how things get on.",
    "--bundle": "Somebody else should see what is wrong.",
    "--verbose": "You want to see the checks that passed too.",
    "--node": "In a pod of the node plugin, where a volume does not get attached or mounted.",
    "--from-driver": "You move from the vendor's driver: `csi.exoscale.com`.",
    "--namespace": "The claim belongs in another namespace.",
    "--name": "You want a name that tells the content.",
    "--fstype": "The volume has another file system, or none.",
    "--partition": "The volume has a partition table.",
    "--min-age": "You want to see the newest volumes and snapshots too: `0s`.",
    "--service-account-path": "The pod's token is projected to another path.",
    "--node-name": "In a pod: `spec.nodeName`, by the downward API.",
    "--instance-id": "The node cannot read its own identity.",
    "--zone": "With `--instance-id`.",
    "--metadata-sources": "A source is slow or not to be trusted here.",
    "--volume-attach-limit": "Your organisation's instances can have more volumes.",
    "--reserved-volume-attachments": "You attach volumes by hand and want slots kept for them.",
    "--kubelet-path": "k0s, MicroK8s and others: kubelet's folder is elsewhere.",
    "--registration-path": "In a pod: `<kubelet path>/plugins_registry/<driver name>-reg.sock`.",
    "--device-dir": "udev links disks elsewhere, or you run the simulator.",
    "--require-zeroed-device": "Never, unless new volumes are known not to read as zeros.",
    "--new-volume-window": "New volumes wait for longer; `0s`: only zeros count as blank.",
    "--daemon-set": "In a pod: without it, CSINode lists the driver after it was uninstalled.",
    "--pre-stop-timeout": "You changed the pod's grace period; keep this below.",
    "--taint-removal": "The node plugin has no right to change Nodes: `false`.",
    "--max-concurrent-format": "Nodes with much memory that start with many new volumes at once.",
    "--memory-limit": "In a pod: `limits.memory`, by the downward API.",
    "--device-wait-timeout": "Disks take long to appear; keep it below kubelet's two minutes.",
    "--device-in-use-timeout": "Pods leave processes behind that take longer to end.",
    "--listen": "Another port, or port 0 to pick one.",
    "--sim-zones": "You want to see more zones.",
    "--latency": "Operations should take as long as your cloud's.",
    "--vary": "Times should vary as your cloud's do.",
    "--local-instance": "The host should be another instance, several, or none.",
    "--state-dir": "With `--persist`, or to keep disks on another file system.",
    "--persist": "The cloud should outlive the process.",
    "--seed": "A run should be repeatable.",
    "--faults": "You want faults from the first request on.",
    "--mode": "You want the other answer to an open question.",
    "--list-modes": "To see which questions there are.",
    "--api-key": "The driver under test has another key.",
    "--api-secret": "With `--api-key`.",
}


def page() -> str:
    """Return the whole page."""
    return "\n".join([_INTRODUCTION, *(_section(*each) for each in options().items())])


def options() -> Mapping[str, Sequence[click.Option]]:
    """Return the flags by the section that they stand in."""
    context = click.Context(command)
    names = ("controller", "node", "pre-stop", "simulator", "demo")
    by_command = {name: _options_of(command.get_command(context, name)) for name in names}
    node_flags = {each.opts[0] for each in by_command["node"]}
    shared = [each for each in by_command["controller"] if each.opts[0] in node_flags]
    shared_flags = {each.opts[0] for each in shared}
    for name in ("controller", "node"):
        by_command[name] = [each for each in by_command[name] if each.opts[0] not in shared_flags]
    by_command["pre-stop"] = [
        each for each in by_command["pre-stop"] if each.opts[0] not in shared_flags | node_flags
    ]
    services = {each.opts[0] for each in by_command["controller"]} | shared_flags | node_flags
    reading = {
        each.opts[0]: each
        for name in TOOLS
        for each in _options_of(command.get_command(context, name))
        if each.opts[0] not in services
    }
    sections = {
        "controller and node": shared,
        **by_command,
        "commands that read": [*reading.values()],
    }
    return {name: sections[name] for name in _SECTIONS}


def _options_of(found: click.Command | None) -> list[click.Option]:
    return [each for each in (found.params if found else []) if isinstance(each, click.Option)]


def _section(name: str, flags: Sequence[click.Option]) -> str:
    head = f"## {name.capitalize()}\n\n{_SECTIONS[name]}\n"
    table = (
        "| Flag, environment | Default | What it does | Change it when |\n| --- | --- | --- | --- |"
    )
    return "\n".join([head, table, *(_row(each) for each in flags), ""])


def _row(flag: click.Option) -> str:
    names = ", ".join(f"`{each}`" for each in _names(flag))
    name = flag.opts[0]
    text = " ".join((flag.help or "").split()).replace("|", "\\|")
    return f"| {names} | {_default(flag)} | {text} | {WHEN.get(name, '')} |"


def _names(flag: click.Option) -> Iterator[str]:
    yield flag.opts[0]
    yield from [flag.envvar] if isinstance(flag.envvar, str) else flag.envvar or []


def _default(flag: click.Option) -> str:
    shown = flag.to_info_dict()["default"]
    if flag.opts[0] == "--grpc-workers":  # the only one that controller and node have of their own
        return f"`{shown}`, node `{_node_workers()}`"
    return "" if shown in (None, "", False) else f"`{shown}`"


def _node_workers() -> int:
    node = command.get_command(click.Context(command), "node")
    (found,) = (each for each in _options_of(node) if each.opts[0] == "--grpc-workers")
    return int(found.to_info_dict()["default"])


if __name__ == "__main__":
    PAGE.write_text(page())
