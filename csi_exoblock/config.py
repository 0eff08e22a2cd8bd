"""Settings, checked before anything starts, and every duration of the driver."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Self

from csi_exoblock.capacity import SizeLimits
from csi_exoblock.credentials import Credentials
from csi_exoblock.model import NodeId, ZoneName, topology_key

DEFAULT_DRIVER_NAME = "exoblock.csi.exoscale.com"
DEFAULT_SIZE_LIMITS = SizeLimits(min_gib=1, max_gib=10240)


def seconds(default: float, reason: str) -> float:
    """Declare a duration: its default in seconds, and the reason for its length."""
    return field(default=default, metadata={"reason": reason})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Every wait, poll interval, timeout and age of the driver, in seconds."""

    # the cloud
    api_timeout: float = seconds(
        15.0, "one HTTP request, connect and read; the API's p99 is far below"
    )
    api_retry_initial: float = seconds(0.2, "first pause before a failed GET is repeated")
    api_retry_max: float = seconds(3.0, "a GET's pauses double up to this")
    credentials_wait: float = seconds(
        1.0, "a key can be revoked this long before its file shows the next one (F1)"
    )
    credentials_poll: float = seconds(0.05, "reading a small file takes a fraction of that")
    pace_recovery: float = seconds(
        20.0, "this long after a refusal a zone gets as many requests as before it (S20)"
    )
    pace_sample: float = seconds(
        1.0, "accepted requests are counted over this time: most rate limits are per second"
    )
    pace_crowd: float = seconds(
        0.05, "a request under way for longer might hang, so it no longer holds up others"
    )
    pace_slip: float = seconds(0.05, "a thread that wakes late makes up for at most this delay")
    pace_closed_max: float = seconds(
        300.0, "the longest pause that a zone with too many requests can ask for (S20)"
    )
    pace_closed_broken: float = seconds(
        30.0, "the longest pause that a broken zone can ask for: it often recovers sooner (S20)"
    )
    clock_error: float = seconds(
        60.0, "clocks of host and API this far apart can be why the API refuses a signature"
    )
    lists_apart: float = seconds(
        0.02, "least time from one shared list to the next, so that more calls share each (S20)"
    )
    lists_apart_max: float = seconds(
        2.0, "most time between them, even if the zone is slow: each create waits for a list"
    )
    poll_initial: float = seconds(
        0.2, "least age of an operation at its first poll; a later one is learnt for its kind"
    )
    poll_harmless: float = seconds(
        2.0, "beyond this a few slow operations do not delay the first poll of the next (S20)"
    )
    poll_again: float = seconds(0.02, "least pause between two polls: as long as a few requests")
    poll_max: float = seconds(3.0, "the pauses between polls grow up to this")
    poll_together: float = seconds(
        0.05, "an operation that is due waits this long for others, to share a list (S20)"
    )
    poll_doubt: float = seconds(
        15.0, "if lists show an operation pending this long after it was due, it is polled itself"
    )
    operation_stalled: float = seconds(
        90.0, "an operation pending for this long is judged by its resource instead (S3)"
    )
    create_timeout: float = seconds(
        120.0, "below the provisioner's 180 s, so that users see the driver's own message"
    )
    attach_timeout: float = seconds(120.0, "below the attacher's 180 s (S3)")
    detach_timeout: float = seconds(120.0, "below the attacher's 180 s (S3)")
    settle: float = seconds(
        5.0,
        "after this a list shows a created volume, and a lost write shows its effect (C1, S5)",
    )
    abandoned_after: float = seconds(
        3600.0, "work that a call left is forgotten if nobody repeats the call; lists show it (C1)"
    )
    startup_unsettled: float = seconds(
        10.0, "a process that died before this one can have sent a POST this recently (C1)"
    )
    other_zones_age: float = seconds(
        60.0, "a create uses other zones' lists up to this age: it remembers own creates (C3, S20)"
    )
    leader_away: float = seconds(
        15.0, "a lease lasts this long; served no create for longer, another process can have led"
    )
    other_zones_wait: float = seconds(2.0, "a dead zone delays a create elsewhere no longer")
    page_age: float = seconds(300.0, "a caller that pages through a list asks again by then")
    zones_age: float = seconds(3600.0, "zones are added once a year")
    zones_apart: float = seconds(
        1.0, "calls with an id of an unknown zone read the list of zones at most this often"
    )
    readiness_initial: float = seconds(0.2, "first pause before a silent cloud is asked again")
    readiness_max: float = seconds(15.0, "the pauses grow up to this")

    pending_growth_ttl: float = seconds(
        900.0, "longer than the resizer's longest pause, so an older request was given up (N1)"
    )
    pending_growth_refresh: float = seconds(
        300.0, "the resizer asks every few minutes; a write each time would be too many (N1)"
    )

    note_removal: float = seconds(
        5.0, "an update takes less; one that hangs must not hold the attach that comes next (N1)"
    )
    detach_given_up: float = seconds(
        900.0, "the attacher asks at least every minute; a detach not asked for is over (F7)"
    )
    collection_interval: float = seconds(
        300.0, "quotas and pending growth change slowly; reading them takes two calls (N3)"
    )
    orphans_interval: float = seconds(
        900.0, "an orphan stays for days, and a search lists everything (C4)"
    )
    orphans_timeout: float = seconds(
        120.0, "a search lists every zone, and PersistentVolumes by the thousand (C4)"
    )
    status_timeout: float = seconds(
        120.0, "it lists every zone, and claims and PersistentVolumes by the thousand (N20)"
    )
    doctor_slow: float = seconds(5.0, "a list takes well under a second (N11)")
    doctor_job_age: float = seconds(3600.0, "mkfs takes seconds, and a check minutes (N11)")
    doctor_restart_age: float = seconds(
        3600.0, "what made a container restart longer ago is over, or makes it restart again (N11)"
    )
    status_interval: float = seconds(5.0, "what --watch shows costs a list of every zone (N20)")
    orphan_age: float = seconds(
        600.0, "a volume is created and deleted before its PersistentVolume is (C4)"
    )
    sweep_interval: float = seconds(3600.0, "temporary snapshots cost little in an hour (N6)")
    clone_snapshot_age: float = seconds(
        3600.0, "a clone takes minutes; an older snapshot was left by a process that died (N6)"
    )

    # the host
    command_timeout: float = seconds(
        30.0, "a command that only reads or mounts; long work has no limit (D10)"
    )
    format_turn: float = seconds(60.0, "a mkfs takes seconds, one that hangs keeps others (S26)")
    device_wait: float = seconds(
        60.0, "a disk appears within seconds; kubelet waits two minutes (S6)"
    )
    serial_timeout: float = seconds(
        2.0, "reading a serial takes a millisecond; a disk that hangs is waited for once (S26)"
    )
    disk_answer: float = seconds(
        30.0, "a read takes a moment; a disk that does not answer by then blocks one thread (S26)"
    )
    device_poll: float = seconds(0.2, "reading a few sysfs files takes under a millisecond")
    device_in_use: float = seconds(
        30.0, "an unmount waits this long for processes that still use the mount (D6)"
    )
    statfs_timeout: float = seconds(
        2.0, "kubelet asks one volume after another and waits for each (S16, N7)"
    )
    health_timeout: float = seconds(
        1.5, "leaves kubelet, which waits 2 s for each volume in turn, its answer in time (N7)"
    )
    users_search: float = seconds(
        60.0, "a search takes a fraction of a second, with thousands of processes longer (D4)"
    )
    memory_answer: float = seconds(
        5.0, "a process's memory map or a loop device's file is asked in milliseconds (S26)"
    )
    health_report_age: float = seconds(
        600.0, "kubelet asks every minute or so; a volume not asked about has left (N7)"
    )
    write_back: float = seconds(
        30.0, "cached data reaches a working disk by then; a slower write goes on (D6)"
    )
    new_volume_window: float = seconds(
        86400.0, "a pod waits hours at most for its first node; an older volume can have data (N19)"
    )
    clocks_apart: float = seconds(
        3600.0, "the cloud's own times are closer; more is a broken clock (N19)"
    )
    metadata_timeout: float = seconds(
        3.0, "one source of the node's identity, its whole answer: link-local or a file (S10)"
    )
    identity_retry: float = seconds(
        5.0, "the sources are asked again this often until one answers (S10)"
    )

    # Kubernetes
    kubernetes_timeout: float = seconds(
        10.0, "one whole request to the API server, which answers within milliseconds"
    )
    taint_initial: float = seconds(
        1.0, "kubelet registers a driver within seconds, and pods wait for the taint to go (S11)"
    )
    taint_max: float = seconds(15.0, "an API server that is down or refuses is asked this often")
    taint_return: float = seconds(
        300.0, "a Node that is created again has the taint again, which is rare (S11)"
    )
    pre_stop_timeout: float = seconds(
        90.0, "below the pod's grace period, so that the plugin itself can still end well (S22)"
    )
    pre_stop_patience: float = seconds(
        20.0, "two hung requests; without an API server nothing is detached, so waiting ends (S22)"
    )
    pre_stop_initial: float = seconds(
        1.0, "an unmount and a detach take seconds; each check lists all attachments (S22)"
    )
    pre_stop_max: float = seconds(5.0, "an empty node is kept at most this much longer (S22)")
    attachments_wait: float = seconds(
        3.0, "kubelet asks for the limit when it registers the driver, and waits (S9)"
    )
    attachments_refresh: float = seconds(
        60.0, "kubelet reads the limit again this often, if it is configured to (S9)"
    )
    attachments_grace: float = seconds(10.0, "by then a Node lists an attached volume (S9)")
    kubernetes_complaint: float = seconds(
        60.0, "a refusal is logged this often, until somebody corrects the rights (S11)"
    )

    kubectl_timeout: float = seconds(
        60.0, "one kubectl, with a login that may ask somebody for a second factor (N11)"
    )

    # the process
    background_restart: float = seconds(
        5.0, "a fault such as a full disk can last; one line this often does not fill a log (S27)"
    )
    shutdown_timeout: float = seconds(30.0, "running calls finish before SIGTERM ends the process")
    shutdown_cancel: float = seconds(
        2.0, "cancelled calls notice at once; a call that hangs in the kernel never does"
    )
    registration_check: float = seconds(
        5.0, "a socket that vanished is back before kubelet misses it (S27)"
    )
    livez_timeout: float = seconds(5.0, "a Probe that takes longer counts as a miss (N14)")
    livez_interval: float = seconds(10.0, "kubelet's own default period (N14)")
    http_patience: float = seconds(
        5.0, "one whole HTTP request with its answer; kubelet waits for 1 s (F18)"
    )
    http_pause: float = seconds(
        0.1, "the endpoint then checks again for a free descriptor or place (F18)"
    )
    log_patience: float = seconds(
        1.0, "a line not written by then has no reader, so calls stop waiting for the log"
    )

    def scaled(self, factor: float) -> Self:
        """Return this timing with every duration multiplied, so that tests run faster."""
        return replace(
            self, **{each.name: getattr(self, each.name) * factor for each in fields(self)}
        )


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
    grpc_workers: int = 200
    timing: Timing = Timing()

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
