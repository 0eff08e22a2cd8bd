"""Turn flags and environment into settings; raise UsageError if they contradict each other."""

from __future__ import annotations

import dataclasses
import math
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from csi_exoblock.capacity import SizeLimits
from csi_exoblock.config import (
    ApiSettings,
    ControllerSettings,
    KubernetesSettings,
    NodeSettings,
    ProxySettings,
    ServerSettings,
)
from csi_exoblock.credentials import (
    KEY_VARIABLE,
    SECRET_VARIABLE,
    Credentials,
    credentials_of,
    read_credentials,
)
from csi_exoblock.flags import types
from csi_exoblock.flags.durations import (
    CLOUD_TIMING,
    NODE_TIMING,
    ORPHANS_TIMING,
    PRE_STOP_TIMING,
    SERVER_TIMING,
)
from csi_exoblock.flags.options import key_of
from csi_exoblock.model import NodeId
from csi_exoblock.timing import Timing

OWNERSHIP = ("cluster_id", "inherited_cluster_ids", "label_prefix", "label_max_length")
"""The flags that tell this cluster's volumes from others', by the names of click's parameters."""

Given = Mapping[str, Any]
"""The flags' values, by the names of click's parameters."""


def timing_of(given: Given) -> Timing:
    """Return the durations that flags set, and the defaults of all others."""
    flags = {**SERVER_TIMING, **CLOUD_TIMING, **NODE_TIMING, **PRE_STOP_TIMING, **ORPHANS_TIMING}
    keys = {name: key_of(each.flag) for name, each in flags.items()}
    chosen = {name: given[key] for name, key in keys.items() if key in given}
    return Timing(**chosen).scaled(given["time_scale"])


def server_settings(given: Given) -> ServerSettings:
    """Return the settings of every service.

    Raises:
        click.UsageError: Certificate and key of the HTTP endpoint don't belong together.
    """
    return ServerSettings(
        driver_name=given["driver_name"],
        socket_path=given["endpoint"],
        http_address=given["http_endpoint"],
        http_identity=_identity(given["metrics_cert_file"], given["metrics_key_file"]),
        metrics_path=given["metrics_path"],
        grpc_workers=given["grpc_workers"],
        timing=timing_of(given),
    )


def kubernetes_settings(
    given: Given, *, environment: Mapping[str, str]
) -> KubernetesSettings | None:
    """Return how to reach Kubernetes, `None` outside of a cluster.

    Args:
        environment: Holds the API server's address, which kubelet sets in every container.

    Raises:
        click.UsageError: The API server's port is no port.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST", "").strip("[]")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not (host and port):
        return None
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):
        raise click.UsageError(f"KUBERNETES_SERVICE_PORT is no port: {port[:100]!r}")
    return KubernetesSettings(
        host=host,
        port=int(port),
        service_account_path=given["service_account_path"],
        node_name=given.get("node_name"),
    )


def api_settings(given: Given, *, environment: Mapping[str, str], user_agent: str) -> ApiSettings:
    """Return how to reach the cloud.

    There is no flag for the key, because other users can read a process's arguments.

    Args:
        environment: Holds the proxy, and the key unless a file does.

    Raises:
        click.UsageError: There is no key, a file can't be used, the proxy's URL is malformed, the
            endpoint serves one zone and no flag names it, the endpoint is not encrypted, or the
            default zone is not one of the zones.
    """
    _require_private(given["api_endpoint"], allow_plain_http=given["allow_plain_http"])
    if "{zone}" not in given["api_endpoint"] and given["default_zone"] is None:
        raise click.UsageError("--api-endpoint without {zone} needs --default-zone")
    if given["zones"] and given["default_zone"] not in (None, *given["zones"]):
        raise click.UsageError("--default-zone is none of --zones")
    return ApiSettings(
        endpoint=given["api_endpoint"],
        credentials=_credentials(given["credentials_file"], environment),
        credentials_file=given["credentials_file"],
        proxy=_proxy(_variable("HTTPS_PROXY", environment)),
        no_proxy=_variable("NO_PROXY", environment),
        ca_file=_authorities(given["ca_file"]),
        zones=given["zones"],
        default_zone=given["default_zone"],
        max_qps=given["api_max_qps"] or math.inf,
        user_agent=" ".join(filter(None, [user_agent, given["user_agent_extra"]])),
    )


def controller_settings(given: Given) -> ControllerSettings:
    """Return the settings of the controller service.

    Raises:
        click.UsageError: The smallest size exceeds the largest, or an extra label has the prefix of
            the driver's own labels.
    """
    limits = SizeLimits(min_gib=given["min_volume_size_gib"], max_gib=given["max_volume_size_gib"])
    if limits.min_gib > limits.max_gib:
        raise click.UsageError("--min-volume-size-gib exceeds --max-volume-size-gib")
    prefix = given["label_prefix"]
    if own := [key for key in given["extra_labels"] if key.lower().startswith(prefix.lower())]:
        raise click.UsageError(f"--extra-labels: {own[0]}: labels {prefix}... are the driver's own")
    return ControllerSettings(
        driver_name=given["driver_name"],
        cluster_id=given["cluster_id"],
        inherited_cluster_ids=given["inherited_cluster_ids"],
        label_prefix=prefix,
        label_max_length=given["label_max_length"],
        extra_labels=given["extra_labels"],
        size_limits=limits,
        deferred_expansion=given["deferred_expansion"],
        clone_by_snapshot=given["clone_by_snapshot"],
        capacity_from_quota=given["capacity_from_quota"],
    )


def ownership_settings(given: Given) -> ControllerSettings:
    """Return what tells this cluster's volumes from others', for commands that only read."""
    return ControllerSettings(
        driver_name=given["driver_name"], **{key: given[key] for key in OWNERSHIP}
    )


def host_settings(given: Given) -> NodeSettings:
    """Return the settings of a command that only reads this host.

    Raises:
        click.UsageError: Only one of instance id and zone is given.
    """
    if (given["instance_id"] is None) != (given["zone"] is None):
        raise click.UsageError("--instance-id and --zone go together")
    known = given["instance_id"] is not None
    return NodeSettings(
        identity=NodeId(given["zone"], given["instance_id"]) if known else None,
        metadata_sources=given["metadata_sources"],
        device_dir=given["device_dir"],
        kubelet_path=given["kubelet_path"],
    )


def node_settings(given: Given) -> NodeSettings:
    """Return the settings of the node service.

    Raises:
        click.UsageError: Only one of instance id and zone is given, or every attachment is
            reserved.
    """
    if given["reserved_volume_attachments"] >= given["volume_attach_limit"]:
        raise click.UsageError("--reserved-volume-attachments leaves no --volume-attach-limit")
    return dataclasses.replace(
        host_settings(given),
        attach_limit=given["volume_attach_limit"],
        reserved_attachments=given["reserved_volume_attachments"],
        taint_removal=given["taint_removal"],
        registration_path=given["registration_path"],
        require_zeroed_device=given["require_zeroed_device"],
        max_concurrent_format=given["max_concurrent_format"],
        memory_limit=given["memory_limit"],
    )


def _identity(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise click.UsageError("--metrics-cert-file and --metrics-key-file go together")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:
        raise click.UsageError(
            f"--metrics-cert-file {certificate}, --metrics-key-file {key}: "
            f"{error.strerror or error}"
        ) from None
    return certificate, key


def _credentials(file: Path | None, environment: Mapping[str, str]) -> Credentials:
    if file is not None:
        try:
            return read_credentials(file)
        except ValueError as error:
            raise click.UsageError(f"--credentials-file: {error}") from None
    key, secret = (environment.get(name, "") for name in (KEY_VARIABLE, SECRET_VARIABLE))
    if not (key and secret):
        raise click.UsageError(
            f"there must be {KEY_VARIABLE} and {SECRET_VARIABLE} in the environment, "
            "or a --credentials-file"
        )
    try:
        return credentials_of(key, secret)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _variable(name: str, environment: Mapping[str, str]) -> str:
    """Return a variable; by convention its name in lower case counts first."""
    return environment.get(name.lower()) or environment.get(name, "")


def _proxy(text: str) -> ProxySettings | None:
    """Read the proxy's URL, with or without a scheme, and with or without user and password.

    User and password can contain any character, percent-encoded or not: the last `@` ends them.
    """
    if not text:
        return None
    try:
        return types.proxy(text)
    except ValueError as error:
        raise click.UsageError(f"HTTPS_PROXY {error}") from None


def _require_private(endpoint: str, *, allow_plain_http: bool) -> None:
    """Raise UsageError unless requests to the endpoint are encrypted or stay on this host (F18)."""
    if not (allow_plain_http or types.is_private(endpoint)):
        raise click.UsageError(
            "--api-endpoint is http:// and no loopback address: requests and answers would be open "
            "to others; use https://, or add --allow-plain-http"
        )


def _authorities(file: Path | None) -> Path | None:
    if file is not None:
        try:
            ssl.create_default_context(cafile=file)
        except OSError as error:
            raise click.UsageError(f"--ca-file {file}: {error.strerror or error}") from None
    return file
