"""The flags of the services, each with its environment variable; a flag overrides its variable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from csi_exoblock.config import DEFAULT_DRIVER_NAME, DEFAULT_SIZE_LIMITS, NodeSettings
from csi_exoblock.flags import types
from csi_exoblock.flags.durations import TimingFlag
from csi_exoblock.flags.types import Read
from csi_exoblock.timing import Timing

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_LEVELS = ("debug", "info", "warning", "error")
_ZONE = Read("zone", types.zone)
_GIB = Read("gib", types.gib)
PATH = Read("path", types.absolute_path)


def server(*, workers: int) -> Decorator:
    """Add the flags of every service.

    Args:
        workers: Default of `--grpc-workers`.
    """
    return combined(
        option(
            "--endpoint",
            Read("socket", types.socket_path),
            "unix:///csi/csi.sock",
            "CSI socket.",
            older="CSI_ENDPOINT",
        ),
        driver_name(),
        option(
            "--http-endpoint",
            Read("address", types.address),
            None,
            "Address for probes and metrics, such as :8080; by default none.",
        ),
        option(
            "--metrics-path", Read("path", types.http_path), "/metrics", "HTTP path of the metrics."
        ),
        option(
            "--metrics-cert-file",
            PATH,
            None,
            "Certificate for --http-endpoint; probes and metrics are then served over TLS.",
        ),
        option(
            "--metrics-key-file",
            PATH,
            None,
            "Private key of --metrics-cert-file; both are required together.",
        ),
        option(
            "--grpc-workers",
            click.IntRange(2, 10_000),
            workers,
            "Maximum number of calls served at once.",
        ),
        option("--log-format", click.Choice(["json", "text"]), "json", "Format of log lines."),
        option("--log-level", click.Choice(_LEVELS), "info", "Lowest level that is logged."),
    )


def pre_stop() -> Decorator:
    """Add the flags of the hook that runs before a node's container is stopped."""
    return combined(
        driver_name(),
        _registration_path(),
        option(
            "--daemon-set",
            Read("name", types.namespaced_name),
            "",
            "Plugin's DaemonSet as <namespace>/<name>; if it is deleted, the driver is removed "
            "from CSINode.",
        ),
    )


def timing(flags: Mapping[str, TimingFlag]) -> Decorator:
    """Add flags for fields of `Timing`, and for the scale of all of them."""
    usual = Timing()
    return combined(
        *(
            option(
                each.flag,
                Read("duration", types.duration if each.may_be_zero else types.some_time),
                f"{getattr(usual, name):g}s",
                each.text,
            )
            for name, each in flags.items()
        ),
        option(
            "--time-scale",
            Read("factor", types.scale),
            "1",
            "Factor for every duration of the driver, for tests.",
        ),
    )


def kubernetes() -> Decorator:
    """Add the flags of a command that can run in a pod."""
    return combined(
        option(
            "--service-account-path",
            PATH,
            "/var/run/secrets/kubernetes.io/serviceaccount",
            "Folder with the service account's token and ca.crt, for the Kubernetes API server.",
        ),
    )


def own_node() -> Decorator:
    """Add the flags of a command that asks Kubernetes about the Node that it runs on."""
    return combined(
        option(
            "--node-name",
            Read("name", types.node_name),
            "",
            "Name of the Node object of this host.",
            older="KUBE_NODE_NAME",
        ),
    )


def api() -> Decorator:
    """Add the flags of a command that calls the cloud's API."""
    return combined(
        option(
            "--api-endpoint",
            Read("url", types.url),
            "https://api-{zone}.exoscale.com/v2",
            "URL of the API; a URL without {zone} serves one zone and requires --default-zone.",
            older="EXOSCALE_API_ENDPOINT",
        ),
        option(
            "--allow-plain-http",
            click.BOOL,
            "false",
            "Allow http:// to another host; others on the network can read and change everything.",
        ),
        option(
            "--credentials-file",
            PATH,
            None,
            "JSON file with api_key and api_secret, or folder with files named EXOSCALE_API_KEY "
            "and EXOSCALE_API_SECRET; read again when it changes.",
            older="EXOSCALE_API_CREDENTIALS_FILE",
        ),
        option(
            "--ca-file",
            PATH,
            None,
            "Certificates of the authorities to trust for the API; by default the system's.",
        ),
        option(
            "--zones",
            Read("zones", types.zones),
            "",
            "Zones to work in, separated by commas; by default all.",
        ),
        option("--default-zone", _ZONE, None, "Zone for requests and classes that name no zone."),
        option(
            "--user-agent-extra",
            Read("text", types.user_agent),
            "",
            "Text added to the User-Agent of API requests.",
        ),
        option(
            "--api-max-qps",
            Read("rate", types.rate),
            None,
            "Maximum requests per second to one zone; by default the driver learns the rate.",
        ),
    )


def ownership() -> Decorator:
    """Add the flags that mark this cluster's volumes."""
    return combined(
        option(
            "--cluster-id",
            Read("id", types.cluster_id),
            None,
            "Id that marks this cluster's volumes; `none` for no id. Default in a pod: the UID of "
            "the namespace kube-system.",
        ),
        option(
            "--inherited-cluster-ids",
            Read("ids", types.cluster_ids),
            "",
            "Ids of clusters whose volumes and snapshots count as this cluster's.",
        ),
        option(
            "--label-prefix",
            Read("prefix", types.label_prefix),
            "exoblock/",
            "Prefix of the driver's own labels.",
        ),
        option(
            "--label-max-length",
            click.IntRange(32, 255),
            255,
            "Maximum length of a label's value; longer values are hashed.",
        ),
    )


def cloud() -> Decorator:
    """Add the flags of a command that creates and changes volumes."""
    least, most = DEFAULT_SIZE_LIMITS.min_gib, DEFAULT_SIZE_LIMITS.max_gib
    return combined(
        api(),
        ownership(),
        option(
            "--extra-labels",
            Read("labels", types.labels),
            "",
            "Labels for every new volume and snapshot: key=value,...",
        ),
        option("--min-volume-size-gib", _GIB, str(least), "Smallest volume size, in GiB."),
        option("--max-volume-size-gib", _GIB, str(most), "Largest volume size, in GiB."),
        option(
            "--deferred-expansion",
            click.BOOL,
            "true",
            "Expand a volume in use when it is attached the next time.",
        ),
        option(
            "--clone-by-snapshot",
            click.BOOL,
            "true",
            "Allow clones of a volume, made through a temporary snapshot.",
        ),
        option(
            "--capacity-from-quota",
            click.BOOL,
            "false",
            "Report the rest of the organisation's quota as the capacity.",
        ),
    )


def host() -> Decorator:
    """Add the flags of a command that reads this host: who it is, and where its disks are."""
    usual = NodeSettings()
    return combined(
        option(
            "--instance-id",
            click.UUID,
            None,
            "Id of this instance; by default read from --metadata-sources.",
        ),
        option(
            "--zone", _ZONE, None, "Zone of this instance; required together with --instance-id."
        ),
        option(
            "--metadata-sources",
            Read("sources", types.sources),
            ",".join(usual.metadata_sources),
            "Sources of the instance's id and zone, in the order in which they are asked.",
        ),
        option("--kubelet-path", PATH, usual.kubelet_path, "Kubelet's root folder on the host."),
        option("--device-dir", PATH, usual.device_dir, "Folder where udev links the disks."),
    )


def node() -> Decorator:
    """Add the flags of a command that works on a host."""
    usual = NodeSettings()
    return combined(
        host(),
        option(
            "--volume-attach-limit",
            click.IntRange(1),
            usual.attach_limit,
            "Maximum number of volumes attached to this instance.",
        ),
        option(
            "--reserved-volume-attachments",
            click.IntRange(0),
            usual.reserved_attachments,
            "Attachments kept free for volumes of others.",
        ),
        _registration_path(),
        option(
            "--require-zeroed-device",
            click.BOOL,
            str(usual.require_zeroed_device).lower(),
            "Format only a disk that reads as zeros.",
        ),
        option(
            "--taint-removal",
            click.BOOL,
            str(usual.taint_removal).lower(),
            "Remove the taint <driver name>/agent-not-ready from the Node once kubelet knows the "
            "driver.",
        ),
        option(
            "--max-concurrent-format",
            click.IntRange(1),
            usual.max_concurrent_format,
            "Maximum number of mkfs at once; one that takes over a minute no longer counts.",
        ),
        option(
            "--memory-limit",
            click.IntRange(1),
            None,
            "Memory limit of the container, in bytes: mkfs and e2fsck get three quarters of it "
            "each; by default all there is.",
        ),
    )


def driver_name() -> Decorator:
    """Add the driver's name."""
    return option(
        "--driver-name",
        Read("name", types.driver_name),
        DEFAULT_DRIVER_NAME,
        "Name of the driver.",
    )


def _registration_path() -> Decorator:
    return option(
        "--registration-path",
        PATH,
        None,
        "Socket to create in kubelet's plugins_registry; by default none.",
    )


def key_of(flag: str) -> str:
    """Return the name of the parameter in which click passes a flag's value."""
    return flag.removeprefix("--").replace("-", "_")


def option(
    flag: str, kind: click.ParamType[Any], usual: object, text: str, *, older: str | None = None
) -> Decorator:
    """Add a flag and its environment variable.

    Args:
        older: Another variable that means the same.
    """
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


def combined(*options: Decorator) -> Decorator:
    """Add several flags, which `--help` lists in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
