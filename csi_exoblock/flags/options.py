"""The flags of the services, each with its environment variable; the flag wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from csi_exoblock.config import (
    DEFAULT_DRIVER_NAME,
    DEFAULT_SIZE_LIMITS,
    NodeSettings,
    Timing,
)
from csi_exoblock.flags import types
from csi_exoblock.flags.durations import TimingFlag
from csi_exoblock.flags.types import Read

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_LEVELS = ("debug", "info", "warning", "error")
_ZONE = Read("zone", types.zone)
_GIB = Read("gib", types.gib)
_PATH = Read("path", types.absolute_path)


def server(*, workers: int) -> _Decorator:
    """Add the flags of every service.

    Args:
        workers: Default of `--grpc-workers`.
    """
    return _all(
        _option(
            "--endpoint",
            Read("socket", types.socket_path),
            "unix:///csi/csi.sock",
            "CSI socket.",
            older="CSI_ENDPOINT",
        ),
        _driver_name(),
        _option(
            "--http-endpoint",
            Read("address", types.address),
            None,
            "Address of probes and metrics, such as :8080.",
        ),
        _option(
            "--metrics-path", Read("path", types.http_path), "/metrics", "Where the metrics are."
        ),
        _option(
            "--metrics-cert-file",
            _PATH,
            None,
            "Certificate of that address, which then speaks TLS, to kubelet's probes too.",
        ),
        _option("--metrics-key-file", _PATH, None, "Its key; goes with --metrics-cert-file."),
        _option("--grpc-workers", click.IntRange(2, 10_000), workers, "Calls served at once."),
        _option("--log-format", click.Choice(["json", "text"]), "json", "Form of log lines."),
        _option("--log-level", click.Choice(_LEVELS), "info", "The least level that is logged."),
    )


def pre_stop() -> _Decorator:
    """Add the flags of the hook that runs before a node's container is stopped."""
    return _all(
        _driver_name(),
        _registration_path(),
        _option(
            "--daemon-set",
            Read("name", types.namespaced_name),
            "",
            "<namespace>/<name> of the plugin's DaemonSet: once it is deleted, kubelet is made to "
            "forget the driver.",
        ),
    )


def tool(*outputs: str) -> _Decorator:
    """Add the flags of a command that looks at cloud and cluster, and prints what it finds.

    Args:
        outputs: In which forms, the usual one first.
    """
    return _all(
        _driver_name(),
        _option("--output", click.Choice(outputs), outputs[0], "In which form to print it."),
        _option(
            "--kubeconfig",
            _PATH,
            None,
            "For kubectl, which is asked outside of a pod; else its own choice.",
        ),
        _option("--context", Read("name", types.context), "", "Context of the kubeconfig."),
    )


def watch() -> _Decorator:
    """Add the flag that repeats what a command shows."""
    return click.option("--watch", is_flag=True, help="Look again every few seconds, until Ctrl-C.")


def timing(flags: Mapping[str, TimingFlag]) -> _Decorator:
    """Add flags for fields of `Timing`, and for the scale of all of them."""
    usual = Timing()
    return _all(
        *(
            _option(
                each.flag,
                Read("duration", types.duration if each.may_be_zero else types.some_time),
                f"{getattr(usual, name):g}s",
                each.text,
            )
            for name, each in flags.items()
        ),
        _option("--time-scale", Read("factor", types.scale), "1", "Multiplies every wait."),
    )


def kubernetes() -> _Decorator:
    """Add the flags of whoever may run in a pod."""
    return _all(
        _option(
            "--service-account-path",
            _PATH,
            "/var/run/secrets/kubernetes.io/serviceaccount",
            "Folder with token and ca.crt, for the API server of the cluster whose pod this is.",
        ),
    )


def own_node() -> _Decorator:
    """Add the flags of whoever asks Kubernetes for the node that it is on."""
    return _all(
        _option(
            "--node-name",
            Read("name", types.node_name),
            "",
            "The Node that this is.",
            older="KUBE_NODE_NAME",
        ),
    )


def api() -> _Decorator:
    """Add the flags that lead to the API."""
    return _all(
        _option(
            "--api-endpoint",
            Read("url", types.url),
            "https://api-{zone}.exoscale.com/v2",
            "URL of the API; without {zone} it serves one zone and needs --default-zone.",
            older="EXOSCALE_API_ENDPOINT",
        ),
        _option(
            "--allow-plain-http",
            click.BOOL,
            "false",
            "Accept http:// for the API beyond this host: others can then read and change it all.",
        ),
        _option(
            "--credentials-file",
            _PATH,
            None,
            "JSON with api_key and api_secret, or a folder with files named like the variables; "
            "read again when it changes.",
            older="EXOSCALE_API_CREDENTIALS_FILE",
        ),
        _option(
            "--ca-file",
            _PATH,
            None,
            "Certificates that alone vouch for the API; the system's if none.",
        ),
        _option("--zones", Read("zones", types.zones), "", "Zones in scope; all if empty."),
        _option("--default-zone", _ZONE, None, "For requests and classes that name no zone."),
        _option(
            "--user-agent-extra",
            Read("text", types.user_agent),
            "",
            "Added to the User-Agent of requests.",
        ),
        _option(
            "--api-max-qps",
            Read("rate", types.rate),
            None,
            "Requests a second that no zone gets more of; the pace is learnt.",
        ),
    )


def ownership() -> _Decorator:
    """Add the flags that tell this cluster's volumes from those of others."""
    return _all(
        _option(
            "--cluster-id",
            Read("id", types.cluster_id),
            None,
            "Tells this cluster's volumes from those of others; `none` for none. By default, in a "
            "pod, the UID of the namespace kube-system.",
        ),
        _option(
            "--inherited-cluster-ids",
            Read("ids", types.cluster_ids),
            "",
            "Ids of clusters whose volumes and snapshots count as this cluster's.",
        ),
        _option(
            "--label-prefix",
            Read("prefix", types.label_prefix),
            "exoblock/",
            "What the driver's own labels begin with.",
        ),
        _option("--label-max-length", click.IntRange(32, 255), 255, "Longer values are hashed."),
    )


def cloud() -> _Decorator:
    """Add the flags of whoever calls the API to make and change volumes."""
    least, most = DEFAULT_SIZE_LIMITS.min_gib, DEFAULT_SIZE_LIMITS.max_gib
    return _all(
        api(),
        ownership(),
        _option(
            "--extra-labels",
            Read("labels", types.labels),
            "",
            "key=value,... for every volume and snapshot.",
        ),
        _option("--min-volume-size-gib", _GIB, str(least), "Smallest volume."),
        _option("--max-volume-size-gib", _GIB, str(most), "Largest volume."),
        _option(
            "--deferred-expansion",
            click.BOOL,
            "true",
            "Grow a volume in use before it is attached the next time.",
        ),
        _option(
            "--clone-by-snapshot",
            click.BOOL,
            "true",
            "Clone a volume by a temporary snapshot.",
        ),
        _option(
            "--capacity-from-quota",
            click.BOOL,
            "false",
            "Report as capacity what the organisation's quota leaves.",
        ),
    )


def node() -> _Decorator:
    """Add the flags of whoever works on a host."""
    usual = NodeSettings()
    return _all(
        _option("--instance-id", click.UUID, None, "This instance, if not to be asked for."),
        _option("--zone", _ZONE, None, "Its zone; goes with --instance-id."),
        _option(
            "--metadata-sources",
            Read("sources", types.sources),
            ",".join(usual.metadata_sources),
            "Where else the instance's identity comes from, in order.",
        ),
        _option(
            "--volume-attach-limit",
            click.IntRange(1),
            usual.attach_limit,
            "Volumes that this instance may have.",
        ),
        _option(
            "--reserved-volume-attachments",
            click.IntRange(0),
            usual.reserved_attachments,
            "Kept free for volumes that are not the driver's.",
        ),
        _option("--kubelet-path", _PATH, usual.kubelet_path, "Kubelet's folder on the host."),
        _registration_path(),
        _option("--device-dir", _PATH, usual.device_dir, "Where udev links the disks."),
        _option(
            "--require-zeroed-device",
            click.BOOL,
            str(usual.require_zeroed_device).lower(),
            "Format a disk only if it reads as zeros.",
        ),
        _option(
            "--taint-removal",
            click.BOOL,
            str(usual.taint_removal).lower(),
            "Take the taint <driver name>/agent-not-ready from the Node once kubelet knows the "
            "driver.",
        ),
        _option(
            "--max-concurrent-format",
            click.IntRange(1),
            usual.max_concurrent_format,
            "Runs of mkfs and fsck at once.",
        ),
    )


def _driver_name() -> _Decorator:
    return _option(
        "--driver-name",
        Read("name", types.driver_name),
        DEFAULT_DRIVER_NAME,
        "Name of the driver.",
    )


def _registration_path() -> _Decorator:
    return _option("--registration-path", _PATH, None, "Socket in kubelet's plugins_registry.")


def key_of(flag: str) -> str:
    """Return the name under which a flag's value arrives."""
    return flag.removeprefix("--").replace("-", "_")


def _option(
    flag: str, kind: click.ParamType[Any], usual: object, text: str, *, older: str | None = None
) -> _Decorator:
    variable = f"CSI_EXOBLOCK_{key_of(flag).upper()}"
    return click.option(
        flag,
        type=kind,
        default=usual,
        envvar=[variable, *filter(None, [older])],
        help=text,
        show_default=usual not in (None, ""),
        show_envvar=True,
    )


def _all(*options: _Decorator) -> _Decorator:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
