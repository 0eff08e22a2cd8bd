"""Breaks of what the process shows: the HTTP endpoint, its probes, its metrics."""

from __future__ import annotations

from tests.mutants.breaks import Break

_HTTP = "tests/csi/test_http.py"
_LIMITS = "tests/csi/test_limits.py"
_PROBES = ("tests/base/test_probes.py",)
_CROWD = (f"{_HTTP}::test_hundreds_of_slow_clients_take_sixteen_places_and_keep_nobody_out",)

BREAKS = (
    Break(
        name="every-client-has-a-place",
        file="web.py",
        before="_MOST_CONNECTIONS = 16",
        after="_MOST_CONNECTIONS = 1000",
        rules="F18",
        tests=_CROWD,
    ),
    Break(
        name="slow-clients-keep-their-places",
        file="web.py",
        before="                del self._open[oldest]\n                oldest.end()",
        after="                del self._open[oldest]",
        rules="F18, N14",
        tests=_CROWD,
    ),
    Break(
        name="client-may-drip-for-ever",
        file="web.py",
        before="            self._socket.settimeout(self._seconds_left())\n"
        "            if not (chunk := self._socket.recv(_CHUNK_BYTES)):",
        after="            self._socket.settimeout(5.0)\n"
        "            if not (chunk := self._socket.recv(_CHUNK_BYTES)):",
        rules="F18",
        tests=(f"{_HTTP}::test_a_client_that_drips_is_shown_the_door",),
    ),
    Break(
        name="headers-may-be-endless",
        file="web.py",
        before=" and len(head) < _HEAD_BYTES:",
        after=":",
        rules="F18",
        tests=(f"{_HTTP}::test_endless_headers_are_refused",),
    ),
    Break(
        name="refusal-is-lost-with-what-was-not-read",
        file="web.py",
        before="        if answer.status in _TOO_LONG:\n            self._read_on()",
        after="        if answer.status is None:\n            self._read_on()",
        rules="F18",
        tests=(
            f"{_HTTP}::test_what_is_no_get_is_refused",
            f"{_HTTP}::test_endless_headers_are_refused",
        ),
    ),
    Break(
        name="whatever-is-asked-is-a-get",
        file="web.py",
        before='        if words[0] != "GET":',
        after='        if words[0] == "":',
        rules="F18",
        tests=(f"{_HTTP}::test_what_is_no_get_is_refused",),
    ),
    Break(
        name="query-is-part-of-the-path",
        file="web.py",
        before='words[1].partition("?")[0]',
        after="words[1]",
        rules="F7",
        tests=(f"{_HTTP}::test_the_metrics_are_where_they_are_wanted",),
    ),
    Break(
        name="handshake-may-take-for-ever",
        file="web.py",
        before="        secured.settimeout(self._seconds_left())\n",
        after="        secured.settimeout(None)\n",
        rules="F18",
        tests=(f"{_HTTP}::test_a_client_that_says_nothing_holds_up_nobody",),
    ),
    Break(
        name="endpoint-dies-without-descriptors",
        file="web.py",
        before="            except OSError as error:  # out of descriptors",
        after="            except KeyError as error:  # out of descriptors",
        rules="S26",
        tests=(f"{_LIMITS}::test_a_host_without_descriptors_recovers",),
    ),
    Break(
        name="misses-add-up",
        file="probes.py",
        before="        self._misses = 0 if self._probe() else self._misses + 1",
        after="        self._misses += not self._probe()",
        rules="N14",
        tests=_PROBES,
    ),
    Break(
        name="two-misses-are-the-end",
        file="probes.py",
        before="_MISSES = 3",
        after="_MISSES = 2",
        rules="N14",
        tests=_PROBES,
    ),
    Break(
        name="alive-is-ready",
        file="probes.py",
        before="            trouble = self._trouble()",
        after="            trouble = 'stuck' * (not self._liveness.is_alive())",
        rules="N14",
        tests=(f"{_HTTP}::test_probes_tell_alive_from_ready",),
    ),
    Break(
        name="nobody-is-told-why-it-is-not-ready",
        file="probes.py",
        before="        if alive and trouble:",
        after="        if trouble and not alive:",
        rules="N14, F11",
        tests=(f"{_HTTP}::test_a_node_says_to_kubelet_which_source_of_its_identity_fails",),
    ),
    Break(
        name="stuck-process-only-waits",
        file="probes.py",
        before="        if alive and trouble:",
        after="        if trouble:",
        rules="N14",
        tests=(f"{_HTTP}::test_a_stuck_process_is_not_alive_whatever_it_waits_for",),
    ),
    Break(
        name="zones-prove-the-key",
        file="controller/readiness.py",
        before="            zones = self._cloud.zones(Deadline(self._timing.api_timeout))\n",
        after="            zones = self._cloud.zones(Deadline(9))\n            self._ready.set()\n",
        rules="N14",
        tests=(f"{_HTTP}::test_zones_that_the_cloud_tells_to_everybody_prove_no_key",),
    ),
    Break(
        name="zone-that-hangs-holds-up-the-others",
        file="controller/zone_lists.py",
        before="            return list(pool.map(read, zones))",
        after="            return list(map(read, zones))",
        rules="N14, S12",
        tests=(f"{_HTTP}::test_a_zone_that_hangs_from_the_start_holds_up_nobody",),
    ),
    Break(
        name="metrics-are-not-where-they-are-wanted",
        file="probes.py",
        before="        if path == self._metrics_path:",
        after='        if path == "/metrics":',
        rules="F7",
        tests=(f"{_HTTP}::test_the_metrics_are_where_they_are_wanted",),
    ),
    Break(
        name="youngest-lock-hides-the-oldest",
        file="metrics.py",
        before="max(age() for age in self._oldest_holds)",
        after="min(age() for age in self._oldest_holds)",
        rules="F7, S5",
        tests=("tests/base/test_metrics.py",),
    ),
    Break(
        name="what-is-well-again-stays-counted",
        file="metrics.py",
        before="        self._known |= counts.keys()",
        after="        self._known = set(counts)",
        rules="F7, N7",
        tests=("tests/node/test_metrics.py::test_a_volume_is_unwell_until_it_is_found_well",),
    ),
    Break(
        name="metrics-are-as-old-as-their-process",
        file="metrics.py",
        before="            update()\n",
        after="            del update\n",
        rules="F7, N3",
        tests=("tests/node/test_metrics.py",),
    ),
    Break(
        name="bad-certificate-ends-the-probes",
        file="web.py",
        before="                self._complaint.say(str(error))\n",
        after="                raise\n",
        rules="N14",
        tests=("tests/csi/test_http.py::test_a_certificate_that_can_t_be_used_changes_nothing",),
    ),
)
