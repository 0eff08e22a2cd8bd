"""The flags of the services, each with its environment variable; a flag overrides its variable."""

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
            "Address for probes and metrics, such as :8080; by default none.",
        ),
        _option(
            "--metrics-path", Read("path", types.http_path), "/metrics", "HTTP path of the metrics."
        ),
        _option(
            "--metrics-cert-file",
            _PATH,
            None,
            "Certificate for --http-endpoint; probes and metrics are then served over TLS.",
        ),
        _option(
            "--metrics-key-file",
            _PATH,
            None,
            "Private key of --metrics-cert-file; both are required together.",
        ),
        _option(
            "--grpc-workers",
            click.IntRange(2, 10_000),
            workers,
            "Maximum number of calls served at once.",
        ),
        _option("--log-format", click.Choice(["json", "text"]), "json", "Format of log lines."),
        _option("--log-level", click.Choice(_LEVELS), "info", "Lowest level that is logged."),
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
    """Add the flags of a command that compares cloud and cluster and prints the differences.

    Args:
        outputs: The formats of its output, the default first.
    """
    return _all(
        _driver_name(),
        _option("--output", click.Choice(outputs), outputs[0], "Output format."),
        _option(
            "--kubeconfig",
            _PATH,
            None,
            "Kubeconfig for kubectl, which is used outside of a pod; by default kubectl's own.",
        ),
        _option("--context", Read("name", types.context), "", "Context in the kubeconfig."),
    )


def watch() -> _Decorator:
    """Add the flag that repeats what a command shows."""
    return click.option("--watch", is_flag=True, help="Look again every few seconds, until Ctrl-C.")


def verbose() -> _Decorator:
    """Add the flag that shows what is well too."""
    return click.option("--verbose", is_flag=True, help="Show what is well too.")


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
        _option(
            "--time-scale",
            Read("factor", types.scale),
            "1",
            "Factor for every duration of the driver, for tests.",
        ),
    )


def kubernetes() -> _Decorator:
    """Add the flags of a command that can run in a pod."""
    return _all(
        _option(
            "--service-account-path",
            _PATH,
            "/var/run/secrets/kubernetes.io/serviceaccount",
            "Folder with the service account's token and ca.crt, for the Kubernetes API server.",
        ),
    )


def own_node() -> _Decorator:
    """Add the flags of a command that asks Kubernetes about the Node that it runs on."""
    return _all(
        _option(
            "--node-name",
            Read("name", types.node_name),
            "",
            "Name of the Node object of this host.",
            older="KUBE_NODE_NAME",
        ),
    )


def api() -> _Decorator:
    """Add the flags of a command that calls the cloud's API."""
    return _all(
        _option(
            "--api-endpoint",
            Read("url", types.url),
            "https://api-{zone}.exoscale.com/v2",
            "URL of the API; a URL without {zone} serves one zone and requires --default-zone.",
            older="EXOSCALE_API_ENDPOINT",
        ),
        _option(
            "--allow-plain-http",
            click.BOOL,
            "false",
            "Allow http:// to another host; others on the network can read and change everything.",
        ),
        _option(
            "--credentials-file",
            _PATH,
            None,
            "JSON file with api_key and api_secret, or folder with files named EXOSCALE_API_KEY "
            "and EXOSCALE_API_SECRET; read again when it changes.",
            older="EXOSCALE_API_CREDENTIALS_FILE",
        ),
        _option(
            "--ca-file",
            _PATH,
            None,
            "Certificates of the authorities to trust for the API; by default the system's.",
        ),
        _option(
            "--zones",
            Read("zones", types.zones),
            "",
            "Zones to work in, separated by commas; by default all.",
        ),
        _option("--default-zone", _ZONE, None, "Zone for requests and classes that name no zone."),
        _option(
            "--user-agent-extra",
            Read("text", types.user_agent),
            "",
            "Text added to the User-Agent of API requests.",
        ),
        _option(
            "--api-max-qps",
            Read("rate", types.rate),
            None,
            "Maximum requests per second to one zone; by default the driver learns the rate.",
        ),
    )


def ownership() -> _Decorator:
    """Add the flags that mark this cluster's volumes."""
    return _all(
        _option(
            "--cluster-id",
            Read("id", types.cluster_id),
            None,
            "Id that marks this cluster's volumes; `none` for no id. Default in a pod: the UID of "
            "the namespace kube-system.",
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
            "Prefix of the driver's own labels.",
        ),
        _option(
            "--label-max-length",
            click.IntRange(32, 255),
            255,
            "Maximum length of a label's value; longer values are hashed.",
        ),
    )


def cloud() -> _Decorator:
    """Add the flags of a command that creates and changes volumes."""
    least, most = DEFAULT_SIZE_LIMITS.min_gib, DEFAULT_SIZE_LIMITS.max_gib
    return _all(
        api(),
        ownership(),
        _option(
            "--extra-labels",
            Read("labels", types.labels),
            "",
            "Labels for every new volume and snapshot: key=value,...",
        ),
        _option("--min-volume-size-gib", _GIB, str(least), "Smallest volume size, in GiB."),
        _option("--max-volume-size-gib", _GIB, str(most), "Largest volume size, in GiB."),
        _option(
            "--deferred-expansion",
            click.BOOL,
            "true",
            "Expand a volume in use when it is attached the next time.",
        ),
        _option(
            "--clone-by-snapshot",
            click.BOOL,
            "true",
            "Allow clones of a volume, made through a temporary snapshot.",
        ),
        _option(
            "--capacity-from-quota",
            click.BOOL,
            "false",
            "Report the rest of the organisation's quota as the capacity.",
        ),
    )


def node() -> _Decorator:
    """Add the flags of a command that works on a host."""
    usual = NodeSettings()
    return _all(
        _option(
            "--instance-id",
            click.UUID,
            None,
            "Id of this instance; by default read from --metadata-sources.",
        ),
        _option(
            "--zone", _ZONE, None, "Zone of this instance; required together with --instance-id."
        ),
        _option(
            "--metadata-sources",
            Read("sources", types.sources),
            ",".join(usual.metadata_sources),
            "Sources of the instance's id and zone, in the order in which they are asked.",
        ),
        _option(
            "--volume-attach-limit",
            click.IntRange(1),
            usual.attach_limit,
            "Maximum number of volumes attached to this instance.",
        ),
        _option(
            "--reserved-volume-attachments",
            click.IntRange(0),
            usual.reserved_attachments,
            "Attachments kept free for volumes of others.",
        ),
        _option("--kubelet-path", _PATH, usual.kubelet_path, "Kubelet's root folder on the host."),
        _registration_path(),
        _option("--device-dir", _PATH, usual.device_dir, "Folder where udev links the disks."),
        _option(
            "--require-zeroed-device",
            click.BOOL,
            str(usual.require_zeroed_device).lower(),
            "Format only a disk that reads as zeros.",
        ),
        _option(
            "--taint-removal",
            click.BOOL,
            str(usual.taint_removal).lower(),
            "Remove the taint <driver name>/agent-not-ready from the Node once kubelet knows the "
            "driver.",
        ),
        _option(
            "--max-concurrent-format",
            click.IntRange(1),
            usual.max_concurrent_format,
            "Maximum number of mkfs and fsck runs at once.",
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
    return _option(
        "--registration-path",
        _PATH,
        None,
        "Socket to create in kubelet's plugins_registry; by default none.",
    )


def key_of(flag: str) -> str:
    """Return the name of the parameter in which click passes a flag's value."""
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
