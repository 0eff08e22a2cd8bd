"""Settings, validated before anything starts, and every duration that the driver knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Self

from csi_exoblock.capacity import SizeLimits
from csi_exoblock.credentials import Credentials
from csi_exoblock.model import NodeId, ZoneName

DEFAULT_DRIVER_NAME = "exoblock.csi.exoscale.com"
DEFAULT_SIZE_LIMITS = SizeLimits(min_gib=1, max_gib=10240)


def seconds(default: float, reason: str) -> float:
    """Declare a duration: its default in seconds, and why it is so long."""
    return field(default=default, metadata={"reason": reason})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Every wait, poll, timeout and age of the driver, in seconds; durations live nowhere else."""

    # the cloud
    api_timeout: float = seconds(
        15.0, "one HTTP request, connect and read; the API's p99 is far below"
    )
    api_retry_initial: float = seconds(0.2, "first pause before a failed GET is repeated")
    api_retry_max: float = seconds(3.0, "a GET's pauses double up to this")
    credentials_wait: float = seconds(
        1.0, "a key may be revoked so long before its file shows the next one (F1)"
    )
    credentials_poll: float = seconds(0.05, "reading a small file costs a fraction of that")
    pace_recovery: float = seconds(
        20.0, "by then a zone that refused a request is asked as fast as before it did (S20)"
    )
    pace_sample: float = seconds(
        1.0, "what a zone takes is counted over this long: most grant what one second may bring"
    )
    pace_crowd: float = seconds(
        0.05, "a request under way for longer no longer keeps others waiting: it may hang"
    )
    pace_slip: float = seconds(0.05, "a thread that wakes late may make up for so much")
    pace_closed_max: float = seconds(
        300.0, "a zone that gets too many requests is left alone no longer, whatever it asks (S20)"
    )
    pace_closed_broken: float = seconds(
        30.0, "nor one that is out of order: it may be back much sooner than it thought (S20)"
    )
    clock_error: float = seconds(
        60.0, "an API's clock this far from the host's may be why it refuses a signature"
    )
    lists_apart: float = seconds(
        0.02, "shared lists begin no sooner after each other: more calls share each (S20)"
    )
    lists_apart_max: float = seconds(
        2.0, "and no later, however few requests the zone takes: each create waits for one"
    )
    poll_initial: float = seconds(
        0.2, "least time before an operation is polled first; beyond it that is learnt per kind"
    )
    poll_harmless: float = seconds(
        2.0, "beyond this an operation is not waited for unseen because a few took as long (S20)"
    )
    poll_again: float = seconds(0.02, "least pause between two polls, a few requests long")
    poll_max: float = seconds(3.0, "the pauses between polls grow up to this")
    poll_together: float = seconds(
        0.05, "an operation that is due waits this long for others to share a list with (S20)"
    )
    poll_doubt: float = seconds(
        15.0, "what lists show under way for so long after it was due is asked for by itself"
    )
    operation_stalled: float = seconds(
        90.0, "an operation pending for so long is judged by its resource instead (S3)"
    )
    create_timeout: float = seconds(
        120.0, "below the provisioner's 180 s, so that our message is the one seen"
    )
    attach_timeout: float = seconds(120.0, "below the attacher's 180 s (S3)")
    detach_timeout: float = seconds(120.0, "below the attacher's 180 s (S3)")
    settle: float = seconds(
        5.0,
        "by then a list shows a volume after its POST, and a lost write its effect (C1, S5)",
    )
    abandoned_after: float = seconds(
        3600.0, "what a call left under way that nobody repeats; lists have shown it by then (C1)"
    )
    startup_unsettled: float = seconds(
        10.0, "a process that died before us may have sent a POST this recently (C1)"
    )
    other_zones_age: float = seconds(
        60.0, "other zones' lists may be this old in a create: own creates are remembered (C3, S20)"
    )
    other_zones_wait: float = seconds(2.0, "a dead zone may hold up a create elsewhere this long")
    page_age: float = seconds(300.0, "whoever pages through a list asks for the next page by then")
    zones_age: float = seconds(3600.0, "zones are added once a year")
    zones_apart: float = seconds(
        1.0, "an id may name a zone that does not exist; each call about it reads the zones again"
    )
    readiness_initial: float = seconds(0.2, "a cloud that does not answer is asked again after")
    readiness_max: float = seconds(15.0, "a cloud that is silent at start is asked this often")

    pending_growth_ttl: float = seconds(
        900.0, "longer than the resizer's longest pause: an older request was given up (N1)"
    )
    pending_growth_refresh: float = seconds(
        300.0, "the resizer asks every few minutes; each time a write would be one too many (N1)"
    )

    detach_given_up: float = seconds(
        900.0, "the attacher asks at least every minute; a detach that nobody asks for is over (F7)"
    )
    survey_interval: float = seconds(
        300.0, "quotas and pending growth change slowly; two calls then tell of them (N3)"
    )
    orphans_interval: float = seconds(
        900.0, "what is left alone is left for days; a search lists everything (C4)"
    )
    orphans_timeout: float = seconds(
        120.0, "a search lists every zone, and PersistentVolumes by the thousand (C4)"
    )
    orphan_age: float = seconds(
        600.0, "a volume is made before its PersistentVolume, and deleted before it too (C4)"
    )
    sweep_interval: float = seconds(3600.0, "temporary snapshots cost little in an hour (N6)")
    clone_snapshot_age: float = seconds(
        3600.0, "a clone takes minutes; what is older was left by a process that died (N6)"
    )

    # the host
    command_timeout: float = seconds(
        30.0, "a command that only asks or mounts; long work has no limit (D10)"
    )
    device_wait: float = seconds(
        60.0, "a disk shows up within seconds; kubelet waits two minutes (S6)"
    )
    serial_timeout: float = seconds(
        2.0, "a disk tells its serial in a millisecond; one that hangs is waited for once (S26)"
    )
    disk_answer: float = seconds(
        30.0,
        "a disk is read in a moment; one that still doesn't answer keeps one thread waiting (S26)",
    )
    device_poll: float = seconds(0.2, "reading a few sysfs files costs under a millisecond")
    device_in_use: float = seconds(
        30.0, "a process that leaves late gets this long before an unmount is refused (D6)"
    )
    statfs_timeout: float = seconds(
        2.0, "kubelet asks one volume after another and waits for each (S16, N7)"
    )
    health_timeout: float = seconds(
        1.5, "leaves kubelet, which waits 2 s for each volume in turn, its answer in time (N7)"
    )
    users_search: float = seconds(
        60.0,
        "a search takes a fraction of a second, on a host with thousands of processes more (D4)",
    )
    memory_look: float = seconds(
        5.0, "reading what a process has mapped takes milliseconds, unless it hangs (S26)"
    )
    health_finding_age: float = seconds(
        600.0, "kubelet asks every minute or so; a volume that it asks about no more has left (N7)"
    )
    write_back: float = seconds(
        30.0, "cached data reaches a working disk by then; the write goes on beyond it (D6)"
    )
    new_volume_window: float = seconds(
        86400.0,
        "a pod that waits for its first node waits hours at most; then data is likely (N19)",
    )
    clocks_apart: float = seconds(
        3600.0, "a node's clock may be so far behind the cloud's; more is no clock (N19)"
    )
    metadata_timeout: float = seconds(
        3.0, "each source of the node's identity, all of its answer: link-local or a file (S10)"
    )
    identity_retry: float = seconds(
        5.0, "the sources are asked again this often until one answers (S10)"
    )

    # Kubernetes
    kubernetes_timeout: float = seconds(
        10.0, "one request to the API server, all of it; it answers within milliseconds"
    )
    taint_initial: float = seconds(
        1.0, "kubelet registers a driver within seconds, and pods wait for the taint to go (S11)"
    )
    taint_max: float = seconds(15.0, "an API server that is away, or refuses, is asked this often")
    taint_return: float = seconds(
        300.0, "a Node that is made again has the taint again, which is rare (S11)"
    )
    pre_stop_timeout: float = seconds(
        90.0, "below the pod's grace period, so that the plugin itself can still end well (S22)"
    )
    pre_stop_patience: float = seconds(
        20.0, "two hung requests; without an API server nothing is detached, so why wait (S22)"
    )
    pre_stop_initial: float = seconds(
        1.0, "an unmount and a detach take seconds; all attachments are listed each time (S22)"
    )
    pre_stop_max: float = seconds(5.0, "nor is a node that is empty kept longer than this (S22)")
    attachments_wait: float = seconds(
        3.0, "kubelet asks for the limit when it registers the driver, and waits (S9)"
    )
    attachments_look: float = seconds(
        60.0, "kubelet reads the limit again this often, where it is told to (S9)"
    )
    attachments_settle: float = seconds(
        10.0, "by then a Node lists a volume that was attached (S9)"
    )
    kubernetes_complaint: float = seconds(
        60.0, "what it refuses is said this often: until somebody mends the rights (S11)"
    )

    kubectl_timeout: float = seconds(
        60.0, "one kubectl, with a login that may ask somebody for a second factor (N11)"
    )

    # the process
    background_restart: float = seconds(
        5.0,
        "what failed once, such as a full disk, can last: a line this often fills no log (S27)",
    )
    shutdown_timeout: float = seconds(30.0, "running calls finish before SIGTERM ends the process")
    shutdown_cancel: float = seconds(
        2.0, "calls that are cancelled then notice at once; what hangs in the kernel never does"
    )
    registration_check: float = seconds(
        5.0, "a socket that vanished is back before anybody has to wait for it (S27)"
    )
    livez_timeout: float = seconds(5.0, "a Probe that takes longer counts as a miss (N14)")
    livez_interval: float = seconds(10.0, "kubelet's own default period (N14)")
    http_patience: float = seconds(
        5.0, "a request over HTTP and its answer, all of it; kubelet waits for 1 s (F18)"
    )
    http_pause: float = seconds(
        0.1, "the endpoint then looks again whether it has a descriptor or a place (F18)"
    )
    log_patience: float = seconds(
        1.0, "a line that is not written by then has no reader, and nobody waits for the next"
    )

    # the demo
    demo_process: float = seconds(
        60.0, "a process of the demo starts in one, and cleans up in a few"
    )
    demo_unmount: float = seconds(
        10.0, "the simulator holds a file system for a second or two while it copies a snapshot"
    )
    demo_poll: float = seconds(0.05, "short beside the second that the driver takes to start")

    def scaled(self, factor: float) -> Self:
        """Return the same timing with every duration multiplied, for tests that live faster."""
        return replace(
            self, **{each.name: getattr(self, each.name) * factor for each in fields(self)}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What every service needs: where it listens and how it reports.

    Attributes:
        socket_path: The CSI socket.
        http_address: Host (perhaps empty: all) and port of probes and metrics, `None` for none.
        http_identity: Files with certificate and key; with them it speaks TLS.
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
        """The one key of a topology segment that we read and write (S12)."""
        return f"topology.{self.driver_name}/zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """The proxy of requests over TLS (F2).

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
        endpoint: URL of a zone's API with `{zone}` in it, or without: then it serves one zone only.
        credentials: The key as it was read at start.
        credentials_file: Where its successors will be, `None` for a key that never changes (F1).
        proxy: The way for requests over TLS, `None` for the direct one (F2).
        no_proxy: What is reached without it, as the variable of this name says it.
        ca_file: Who alone vouches for the API's servers; the system's authorities if `None`.
        zones: Zones in scope; empty means all that the API lists.
        max_qps: Requests a second that no zone gets more of, infinite for no limit.
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
        host: A name or an address, of IPv6 without brackets.
        service_account_path: The folder with `token` and `ca.crt`.
        node_name: The Node on which the pod runs, `None` where nobody said it.
    """

    host: str
    port: int
    service_account_path: Path
    node_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """What the controller service may decide by itself.

    Attributes:
        cluster_id: Tells our volumes from those of other clusters in the organisation (D11, C4);
            empty for none, `None` for the cluster's own, where there is one.
        inherited_cluster_ids: Of clusters whose volumes are this cluster's now (D12).
        deferred_expansion: Whether a volume in use grows before its next attach (N1).
        clone_by_snapshot: Whether a volume may be made from another one (N6).
        capacity_from_quota: Whether the quota, which is the organisation's, says the capacity (N4).
        extra_labels: Put on every volume and snapshot that we make.
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
    """How the node service finds itself and its disks.

    Attributes:
        identity: The instance's id and zone where flags say them.
        metadata_sources: Which other sources are asked, in this order.
        attach_limit: Volumes that the organisation's quota lets an instance attach.
        reserved_attachments: How many of them are kept free for others.
        taint_removal: Whether the start-up taint is the driver's to remove.
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
