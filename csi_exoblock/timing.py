"""Every duration of the driver, in seconds, by the room that waits; each with its reason.

A room takes the class of its name, and so can read its own durations only, and those of the rooms
below it. A process has one `Timing`, which is all of them. They have no slots, because a class
can't inherit from two that have.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self


@dataclass(frozen=True, kw_only=True)
class CloudTiming:
    """The API of the cloud: requests, their pace, polls of operations, and the list of zones."""

    # One HTTP request, connect and read; the API's p99 is far below.
    api_timeout: float = 15.0
    # First pause before a failed GET is repeated.
    api_retry_initial: float = 0.2
    # A GET's pauses double up to this.
    api_retry_max: float = 3.0
    # A key can be revoked this long before its file shows the next one (F1).
    credentials_wait: float = 1.0
    # Reading a small file takes a fraction of that.
    credentials_poll: float = 0.05
    # This long after a refusal a zone gets as many requests as before it (S20).
    pace_recovery: float = 20.0
    # Accepted requests are counted over this time: most rate limits are per second.
    pace_sample: float = 1.0
    # A request under way for longer might hang, so it no longer holds up others.
    pace_crowd: float = 0.05
    # A thread that wakes late makes up for at most this delay.
    pace_slip: float = 0.05
    # The longest pause that a zone with too many requests can ask for (S20).
    pace_closed_max: float = 300.0
    # The longest pause that a broken zone can ask for: it often recovers sooner (S20).
    pace_closed_broken: float = 30.0
    # A write that waits longer for its turn needs another read: others change volumes too (D3).
    read_holds: float = 1.0
    # Clocks of host and API this far apart can be why the API refuses a signature.
    clock_error: float = 60.0
    # Least time from one shared list to the next, so that more calls share each (S20).
    lists_apart: float = 0.02
    # Most time between them, even if the zone is slow: each create waits for a list.
    lists_apart_max: float = 2.0
    # Least age of an operation at its first poll; a later one is learnt for its kind.
    poll_initial: float = 0.2
    # Least pause between two polls: as long as a few requests.
    poll_again: float = 0.02
    # The pauses between polls grow up to this; so late, at most, an incident's end is seen (S20).
    poll_max: float = 3.0
    # An operation that is due waits this long for others, to share a list (S20).
    poll_together: float = 0.05
    # If lists show an operation pending this long after it was due, it is polled itself.
    poll_doubt: float = 15.0
    # An operation pending for this long is judged by its resource instead (S3).
    operation_stalled: float = 90.0
    # Zones are added once a year.
    zones_age: float = 3600.0
    # Calls with an id of an unknown zone read the list of zones at most this often.
    zones_apart: float = 1.0


@dataclass(frozen=True, kw_only=True)
class KubernetesTiming:
    """The API server of the cluster in whose pod the process runs."""

    # One whole request to the API server, which answers within milliseconds.
    kubernetes_timeout: float = 10.0
    # A refusal is logged this often, until somebody corrects the rights (S11).
    kubernetes_complaint: float = 60.0


@dataclass(frozen=True, kw_only=True)
class ControllerTiming(CloudTiming, KubernetesTiming):
    """The controller's calls, what it remembers between them, and its background work."""

    # Below the provisioner's 180 s, so that users see the driver's own message.
    create_timeout: float = 120.0
    # Below the attacher's 180 s, as is the next (S3).
    attach_timeout: float = 120.0
    detach_timeout: float = 120.0
    # After this a list shows a created volume, and a lost write shows its effect (C1, S5).
    settle: float = 5.0
    # Work that a call left is forgotten if nobody repeats the call; lists show it (C1).
    abandoned_after: float = 3600.0
    # A process that died before this one can have sent a POST this recently (C1).
    startup_unsettled: float = 10.0
    # A create uses other zones' lists up to this age: it remembers own creates (C3, S20).
    other_zones_age: float = 60.0
    # A lease lasts this long; served no create for longer, another process can have led.
    leader_away: float = 15.0
    # A dead zone delays a create elsewhere no longer.
    other_zones_wait: float = 2.0
    # A caller that pages through a list asks again by then.
    page_age: float = 300.0
    # First pause before a silent cloud is asked again.
    readiness_initial: float = 0.2
    # The pauses grow up to this.
    readiness_max: float = 15.0
    # Longer than the resizer's longest pause, so an older request was given up (N1).
    pending_growth_ttl: float = 900.0
    # The resizer asks every few minutes; a write each time would be too many (N1).
    pending_growth_refresh: float = 300.0
    # An update takes less; one that hangs must not hold the detach or attach that comes next (N1).
    note_update: float = 5.0
    # A removal can take two updates, each judged by reading; only then the expand is granted (N1).
    note_withdrawal: float = 20.0
    # The attacher asks at least every minute; a detach not asked for is over (F7).
    detach_given_up: float = 900.0
    # Quotas and pending growth change slowly; reading them takes two calls (N3).
    collection_interval: float = 300.0
    # An orphan stays for days, and a search lists everything (C4).
    orphans_interval: float = 900.0
    # A search lists every zone, and PersistentVolumes by the thousand (C4).
    orphans_timeout: float = 120.0
    # Temporary snapshots cost little in an hour (N6).
    sweep_interval: float = 3600.0
    # Deleting a snapshot takes seconds; one that hangs must not hold the clone that is made (N6).
    clone_tidying: float = 20.0
    # A clone takes minutes; an older snapshot was left by a process that died (N6).
    clone_snapshot_age: float = 3600.0


@dataclass(frozen=True, kw_only=True)
class HostTiming:
    """The host of a node: commands, disks, mounts, and the sources of its identity."""

    # A command that only reads or mounts; long work has no limit (D10).
    command_timeout: float = 30.0
    # mkfs takes seconds; one that hangs keeps others from their turn (S26).
    format_turn: float = 60.0
    # A disk appears within seconds; kubelet waits two minutes (S6).
    device_wait: float = 60.0
    # Reading a serial takes a millisecond; a disk that hangs is waited for once (S26).
    serial_timeout: float = 2.0
    # A read takes a moment; a disk that does not answer by then blocks one thread (S26).
    disk_answer: float = 30.0
    # A scan takes milliseconds; while a disk that hangs is being removed it never ends (S26).
    pci_scan: float = 5.0
    # Reading a few sysfs files takes under a millisecond.
    device_poll: float = 0.2
    # An unmount waits this long for processes that still use the mount (D6).
    device_in_use: float = 30.0
    # Kubelet asks one volume after another and waits for each (S16, N7).
    statfs_timeout: float = 2.0
    # A mount or umount that an earlier driver process began ends in milliseconds, or hangs.
    mount_lock: float = 2.0
    # A new process shares a lock for a millisecond, until it runs its own program.
    mount_lock_poll: float = 0.01
    # A search takes a fraction of a second, with thousands of processes longer (D4).
    users_search: float = 60.0
    # A process's memory map or a loop device's file is asked in milliseconds (S26).
    memory_answer: float = 5.0
    # Each further process that hangs, in the same search; a pod can have dozens (S26).
    memory_answer_later: float = 0.5
    # Cached data reaches a working disk by then; a slower write goes on (D6).
    write_back: float = 30.0
    # A pod waits hours at most for its first node; an older volume can have data (N19).
    new_volume_window: float = 86400.0
    # The cloud's own times are closer; more is a broken clock (N19).
    clocks_apart: float = 3600.0
    # One source of the node's identity, its whole answer: link-local or a file (S10).
    metadata_timeout: float = 3.0
    # The sources are asked again this often until one answers (S10).
    identity_retry: float = 5.0


@dataclass(frozen=True, kw_only=True)
class NodeTiming(HostTiming):
    """What the node reports to kubelet and to Kubernetes."""

    # Leaves kubelet, which waits 2 s for each volume in turn, its answer in time (N7).
    health_timeout: float = 1.5
    # Kubelet asks every minute or so; a volume not asked about has left (N7).
    health_report_age: float = 600.0
    # Kubelet registers a driver within seconds, and pods wait for the taint to go (S11).
    registered_initial: float = 1.0
    # An API server that is down or refuses is asked this often.
    registered_max: float = 15.0
    # A Node that is created again has the taint again (S11), and kubelet can forget the driver
    # (F7); both are rare.
    registered_again: float = 300.0
    # Kubelet registers within seconds; later it has lost the driver (S27).
    registered_lost: float = 60.0
    # Kubelet asks for the limit when it registers the driver, and waits (S9).
    attachments_wait: float = 3.0
    # Kubelet reads the limit again this often, if it is configured to (S9).
    attachments_refresh: float = 60.0
    # By then a Node lists an attached volume (S9).
    attachments_grace: float = 10.0


@dataclass(frozen=True, kw_only=True)
class ProcessTiming:
    """The process: its background work, its end, its HTTP endpoint and its log."""

    # A fault such as a full disk can last; one line this often does not fill a log (S27).
    background_restart: float = 5.0
    # Running calls finish before SIGTERM ends the process.
    shutdown_timeout: float = 30.0
    # Cancelled calls notice at once; a call that hangs in the kernel never does.
    shutdown_cancel: float = 2.0
    # A socket that vanished is back before kubelet misses it (S27).
    registration_check: float = 5.0
    # What kubelet refused it often takes seconds later; the pauses grow up to this (S27).
    registration_again_max: float = 120.0
    # A call ends soon after its caller has gone, unless it hangs (N14).
    call_overdue: float = 60.0
    # A Probe that takes longer counts as a miss (N14).
    livez_timeout: float = 5.0
    # Kubelet's own default period (N14).
    livez_interval: float = 10.0
    # One whole HTTP request with its answer; kubelet waits for 1 s (F18).
    http_patience: float = 5.0
    # The endpoint then checks again for a free descriptor or place (F18).
    http_pause: float = 0.1
    # Sidecars and kubelet ask again within five minutes for what they still want (N3).
    failure_forgotten: float = 900.0
    # A line not written by then has no reader, so calls stop waiting for the log.
    log_patience: float = 1.0


@dataclass(frozen=True, kw_only=True)
class CommandTiming:
    """The operator's commands, and the hook that runs before the node's container ends."""

    # Below the pod's grace period, so that the plugin itself can still end well (S22).
    pre_stop_timeout: float = 90.0
    # Two hung requests; without an API server nothing is detached, so waiting ends (S22).
    pre_stop_patience: float = 20.0
    # An unmount and a detach take seconds; each check lists all attachments (S22).
    pre_stop_initial: float = 1.0
    # An empty node is kept at most this much longer (S22).
    pre_stop_max: float = 5.0
    # One request through kubectl, with a login that asks nobody (N11).
    kubectl_timeout: float = 60.0
    # A login that asks somebody to open a page, and for a second factor (N11).
    kubectl_login: float = 300.0
    # `status` lists every zone, and claims and PersistentVolumes by the thousand (N20).
    status_timeout: float = 120.0
    # What --watch shows costs a list of every zone (N20).
    status_interval: float = 5.0
    # A list takes well under a second (N11).
    doctor_slow: float = 5.0
    # mkfs takes seconds, and a check minutes (N11).
    doctor_job_age: float = 3600.0
    # The driver is ready in seconds; a node pulls the images and starts it within a minute (N11).
    doctor_pod_start: float = 120.0
    # A snapshot controller makes a content within seconds, once the claim is bound (N11).
    doctor_snapshot_age: float = 300.0
    # What made a container restart longer ago is over, or makes it restart again (N11).
    doctor_restart_age: float = 3600.0
    # A driver whose process ended sooner has served no sidecar.
    doctor_short_run: float = 10.0
    # A volume is created and deleted before its PersistentVolume is (C4).
    orphan_age: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Timing(ControllerTiming, NodeTiming, ProcessTiming, CommandTiming):
    """Every wait, poll interval, timeout and age of the driver."""

    def scaled(self, factor: float) -> Self:
        """Return this timing with every duration multiplied, so that tests run faster."""
        return replace(
            self, **{each.name: getattr(self, each.name) * factor for each in fields(self)}
        )
