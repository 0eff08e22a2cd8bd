"""Every metric of the driver, declared once on the registry that is passed in.

Labels come from small closed sets and never hold a volume's id (F7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# The buckets of component-base's csi_operations_seconds, so that kubernetes-csi's dashboards fit.
_RPC_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600)
_API_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
_COMMAND_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300)


class Metrics:
    """The driver's collectors, one attribute each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._updates: list[Callable[[], None]] = []
        self._oldest_holds: list[Callable[[], float]] = []
        self._with_value: set[Gauge] = set()
        self.rpc_seconds = Histogram(
            "csi_plugin_operations_seconds",
            "Duration of a CSI call.",
            ("driver_name", "method_name", "grpc_status_code"),
            buckets=_RPC_BUCKETS,
            registry=registry,
        )
        self.failing_oldest = Gauge(
            "csi_exoblock_failing_oldest_seconds",
            "How long the oldest call of a method has been asked for and failed each time.",
            ("method_name",),
            registry=registry,
        )
        self.unexpected_errors = Counter(
            "csi_exoblock_unexpected_errors_total",
            "Exceptions that no rule foresaw; each is logged with its trace.",
            ("method_name",),
            registry=registry,
        )
        self.background_errors = Counter(
            "csi_exoblock_background_errors_total",
            "Exceptions in background work, which then restarts; each is logged with its trace.",
            ("task",),
            registry=registry,
        )
        self.api_request_seconds = Histogram(
            "csi_exoblock_api_request_seconds",
            "Duration of a request to the cloud's API.",
            ("operation", "zone", "status"),
            buckets=_API_BUCKETS,
            registry=registry,
        )
        self.api_requests_in_flight = Gauge(
            "csi_exoblock_api_requests_in_flight",
            "Requests to the cloud's API that wait for their answer.",
            ("zone",),
            registry=registry,
        )
        self.api_throttled = Counter(
            "csi_exoblock_api_throttled_total",
            "Requests that the API refused for their rate (server), or that waited first (client).",
            ("operation", "by"),
            registry=registry,
        )
        self.api_up = Gauge(
            "csi_exoblock_api_up",
            "1 if the API answered the last request without a server error, otherwise 0.",
            ("zone",),
            registry=registry,
        )
        self.operation_wait_seconds = Histogram(
            "csi_exoblock_operation_wait_seconds",
            "Time from the answer that began an operation to the poll that saw its end.",
            ("operation", "outcome"),
            buckets=_RPC_BUCKETS,
            registry=registry,
        )
        self.host_command_seconds = Histogram(
            "csi_exoblock_host_command_seconds",
            "Duration of a command on the host.",
            ("command", "outcome"),
            buckets=_COMMAND_BUCKETS,
            registry=registry,
        )
        self.format_refused = Counter(
            "csi_exoblock_format_refused_total",
            "Disks that were not formatted because they might hold data.",
            ("reason",),
            registry=registry,
        )
        self.device_link_repaired = Counter(
            "csi_exoblock_device_link_repaired_total",
            "Disks found by their serial because the link was absent or wrong.",
            registry=None,
        )
        self.lock_oldest = Gauge(
            "csi_exoblock_lock_oldest_seconds",
            "Age of the oldest lock of a volume or name, 0 while there is none.",
            registry=None,
        )
        self.unhealthy_volumes = Gauge(
            "csi_exoblock_unhealthy_volumes",
            "Volumes with a fault, in the cloud or when this node was last asked.",
            ("status", "reason"),
            registry=registry,
        )
        self.detach_pending_oldest = Gauge(
            "csi_exoblock_detach_pending_oldest_seconds",
            "How long the oldest unfinished detach has been asked for, 0 while there is none.",
            registry=None,
        )
        self.resize_pending_volumes = Gauge(
            "csi_exoblock_resize_pending_volumes",
            "Volumes that wait for their next attach to grow.",
            registry=None,
        )
        self.resize_pending_oldest = Gauge(
            "csi_exoblock_resize_pending_oldest_seconds",
            "How long the oldest pending growth has been seen to wait, 0 while there is none.",
            registry=None,
        )
        self.quota_limit = Gauge(
            "csi_exoblock_quota_limit",
            "The organisation's limit of a resource; +Inf is unlimited.",
            ("resource",),
            registry=registry,
        )
        self.quota_usage = Gauge(
            "csi_exoblock_quota_usage",
            "How much of a resource the organisation has.",
            ("resource",),
            registry=registry,
        )
        self.orphans = Gauge(
            "csi_exoblock_orphans",
            "Volumes and snapshots of this cluster that Kubernetes doesn't know.",
            ("kind",),
            registry=registry,
        )
        self.orphan_oldest = Gauge(
            "csi_exoblock_orphan_oldest_seconds",
            "Age of the oldest orphan that isn't protected, 0 while there is none.",
            ("kind",),
            registry=registry,
        )
        self.attach_limit = Gauge(
            "csi_exoblock_attach_limit",
            "Volumes that the orchestrator may have attached here.",
            registry=None,
        )
        self.attached_volumes = Gauge(
            "csi_exoblock_attached_volumes",
            "Volumes that are attached here, by the driver or by others.",
            registry=None,
        )
        self.free_slots = Gauge(
            "csi_exoblock_free_slots",
            "Volumes that can still be attached here.",
            registry=None,
        )
        self.foreign_attachments = Gauge(
            "csi_exoblock_foreign_attachments",
            "Attached volumes that others attached; without Kubernetes, those that nothing uses.",
            registry=None,
        )
        self.registered = Gauge(
            "csi_exoblock_registered",
            "1 if the CSINode of this node lists the driver with its limit, otherwise 0.",
            registry=None,
        )
        self.log_lines_dropped = Counter(
            "csi_exoblock_log_lines_dropped_total",
            "Log lines that were dropped because nobody read them in time.",
            registry=registry,
        )
        self.build_info = Gauge(
            "csi_exoblock_build_info",
            "Always 1; the labels say what is running.",
            ("version", "commit"),
            registry=registry,
        )

    def watch_holds(self, oldest_seconds: Callable[[], float]) -> None:
        """Add holds to the metric that shows the age of this process's oldest hold.

        Args:
            oldest_seconds: Returns the age of the oldest of these holds, in seconds.
        """
        self._oldest_holds.append(oldest_seconds)
        if len(self._oldest_holds) == 1:
            self.show(self.lock_oldest, lambda: max(age() for age in self._oldest_holds))

    def show(self, metric: Gauge | Counter, read: Callable[[], float] | None = None) -> None:
        """Show a metric without labels from now on; a process shows only those it has values for.

        Args:
            read: Returns a gauge's value at each scrape; it must be fast.
        """
        if isinstance(metric, Gauge) and read is not None:
            metric.set_function(read)
        self._registry.register(metric)

    def show_value(self, metric: Gauge, value: float) -> None:
        """Set a gauge without labels, which is shown from its first value on."""
        metric.set(value)
        if metric not in self._with_value:
            self._with_value.add(metric)
            self.show(metric)

    def update_by(self, update: Callable[[], None]) -> None:
        """Call a function before each scrape; it must be fast."""
        self._updates.append(update)

    def text(self) -> str:
        """Return all metrics in Prometheus' text format."""
        for update in self._updates:
            update()
        return generate_latest(self._registry).decode()


class Tally:
    """A gauge whose values are counted again each time; a value that is not counted becomes 0.

    Two tallies can share a gauge if their labels differ: each changes only its own values.
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._known: set[tuple[str, ...]] = set()

    def show(self, counts: Mapping[tuple[str, ...], int]) -> None:
        """Set the gauge to these counts, by labels; labels that are missing get 0."""
        self._known |= counts.keys()
        for labels in self._known:
            self._gauge.labels(*labels).set(counts.get(labels, 0))
