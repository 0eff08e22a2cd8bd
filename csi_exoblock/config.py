"""Settings, checked before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from csi_exoblock.capacity import SizeLimits
from csi_exoblock.credentials import Credentials
from csi_exoblock.model import NodeId, ZoneName, topology_key
from csi_exoblock.timing import Timing

DEFAULT_DRIVER_NAME = "exoblock.csi.exoscale.com"
DEFAULT_SIZE_LIMITS = SizeLimits(min_gib=1, max_gib=10240)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The settings of every service: where it listens and how it reports.

    Attributes:
        socket_path: The CSI socket.
        http_address: Host (empty for every address) and port of probes and metrics, `None` for no
            HTTP endpoint.
        http_identity: Files with certificate and key for TLS, `None` for plain HTTP.
    """

    driver_name: str = DEFAULT_DRIVER_NAME
    socket_path: Path = Path("/csi/csi.sock")
    http_address: tuple[str, int] | None = None
    http_identity: tuple[Path, Path] | None = None
    metrics_path: str = "/metrics"
    grpc_workers: int = 390
    timing: Timing = field(default_factory=Timing)

    @property
    def topology_key(self) -> str:
        """The only key of a topology segment that the driver reads and writes (S12)."""
        return topology_key(self.driver_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """The proxy for requests over TLS (F2).

    Attributes:
        url: Without user and password, so that no library can quote them in an error (F18).
    """

    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """How to reach the cloud.

    Attributes:
        endpoint: URL of a zone's API with `{zone}` in it; a URL without it serves one zone only.
        credentials: The key as it was read at start.
        credentials_file: The file that will hold later keys, `None` for a fixed key (F1).
        proxy: The proxy for requests over TLS, `None` for none (F2).
        no_proxy: The hosts reached without the proxy, in the format of the variable `NO_PROXY`.
        ca_file: The certificates of the only trusted authorities; `None` for the system's.
        zones: Zones in scope; empty means all that the API lists.
        max_qps: The most requests per second to one zone, infinite for no limit.
    """

    endpoint: str = "https://api-{zone}.exoscale.com/v2"
    credentials: Credentials
    credentials_file: Path | None = None
    proxy: ProxySettings | None = None
    no_proxy: str = ""
    ca_file: Path | None = None
    zones: tuple[ZoneName, ...] = ()
    default_zone: ZoneName | None = None
    max_qps: float = math.inf
    user_agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """The API server of the cluster in whose pod this process runs.

    Attributes:
        host: A name or an address; an IPv6 address has no brackets.
        service_account_path: The folder with `token` and `ca.crt`.
        node_name: The Node on which the pod runs, `None` if it is not known.
    """

    host: str
    port: int
    service_account_path: Path
    node_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """The settings of the controller service.

    Attributes:
        cluster_id: The id that marks this cluster's volumes, as other clusters can share the
            organisation (D11, C4). Empty for no id, `None` for the cluster's own if it has one.
        inherited_cluster_ids: The ids of clusters whose volumes now belong to this one (D12).
        label_max_length: Longer label values are hashed.
        deferred_expansion: Whether the expansion of a volume in use waits for its next attach (N1).
        clone_by_snapshot: Whether a volume may be created from another volume (N6).
        capacity_from_quota: Whether GetCapacity reports what is left of the organisation's quota
            (N4).
        extra_labels: Labels for every volume and snapshot that the driver creates.
    """

    driver_name: str = DEFAULT_DRIVER_NAME
    cluster_id: str | None = None
    inherited_cluster_ids: tuple[str, ...] = ()
    label_prefix: str = "exoblock/"
    label_max_length: int = 255
    extra_labels: Mapping[str, str] = field(default_factory=dict)
    size_limits: SizeLimits = DEFAULT_SIZE_LIMITS
    deferred_expansion: bool = True
    clone_by_snapshot: bool = True
    capacity_from_quota: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """The settings of the node service.

    Attributes:
        identity: The instance's id and zone if flags give them, otherwise `None`.
        metadata_sources: The other sources of the identity, asked in this order.
        attach_limit: How many volumes the organisation's quota lets an instance attach.
        reserved_attachments: How many of them are kept free for volumes of others.
        taint_removal: Whether the driver removes the start-up taint.
        memory_limit: How many bytes the driver and its commands may use together, if that is known.
    """

    identity: NodeId | None = None
    metadata_sources: tuple[str, ...] = ("kubernetes", "cdrom", "server")
    attach_limit: int = 5
    reserved_attachments: int = 0
    taint_removal: bool = True
    device_dir: Path = Path("/dev/disk/by-id")
    kubelet_path: Path = Path("/var/lib/kubelet")
    registration_path: Path | None = None
    require_zeroed_device: bool = True
    max_concurrent_format: int = 1
    memory_limit: int | None = None
