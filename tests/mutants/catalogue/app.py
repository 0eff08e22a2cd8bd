"""Breaks of the rooms app and flags: how a process is put together, told what to do, and ends."""

from __future__ import annotations

from tests.mutants.breaks import Break

_PROCESS = "tests/csi/test_process.py"
_BAD_VALUE = (f"{_PROCESS}::test_a_bad_value_ends_the_process_with_one_line_and_code_2",)
_FLAGS = ("tests/csi/test_flags.py",)
_NODE_METRICS = "tests/node/test_metrics.py"

BREAKS = (
    Break(
        name="running-calls-have-no-time-to-finish",
        file="app/process.py",
        before="    server.stop(deadline.remaining())",
        after="    server.stop(0)",
        rules="S22",
        tests=(f"{_PROCESS}::test_sigterm_lets_running_calls_finish",),
    ),
    Break(
        name="dead-server-ends-well",
        file="app/process.py",
        before="    return 0 if was_asked else 1",
        after="    return 0",
        rules="S27",
        tests=("tests/csi/test_limits.py::test_a_server_that_has_died_ends_its_process",),
    ),
    Break(
        name="one-service-is-enough-to-be-ready",
        file="app/process.py",
        before="filter(None, (part.trouble() for part in parts))",
        after="[parts[0].trouble()]",
        rules="N14",
        tests=("tests/csi/test_identity.py",),
    ),
    Break(
        name="signal-is-noted-by-a-flag",
        file="app/ending.py",
        before="        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)\n",
        after="",
        rules="S22",
        tests=(f"{_PROCESS}::test_no_signal_is_missed_however_early_it_comes",),
    ),
    Break(
        name="end-waits-for-no-mkfs",
        file="app/part.py",
        before="        self.drain(deadline)",
        after="        pass",
        rules="D10, S22",
        tests=(
            "tests/node/test_process.py"
            "::test_sigterm_waits_for_work_that_no_call_waits_for_any_more",
        ),
    ),
    Break(
        name="background-work-is-not-begun",
        file="app/part.py",
        before="            each.start()",
        after="            pass",
        rules="S27",
        tests=(f"{_PROCESS}::test_a_flag_wins_over_the_environment",),
    ),
    Break(
        name="reserved-attachments-are-offered",
        file="node/attach_limit.py",
        before="settings.attach_limit - settings.reserved_attachments",
        after="settings.attach_limit",
        rules="S9",
        tests=(f"{_NODE_METRICS}::test_slots_are_counted_and_those_that_others_take",),
    ),
    Break(
        name="kubelet-is-told-the-containers-path",
        file="app/node.py",
        before="    if server.socket_path.is_relative_to(settings.kubelet_path):",
        after="    if True:",
        rules="N18, F4",
        tests=(
            "tests/csi/test_registration.py"
            "::test_kubelet_is_told_its_own_path_of_a_socket_in_a_container",
        ),
    ),
    Break(
        name="metrics-that-nobody-sees-are-collected",
        file="app/controller.py",
        before="    if not server.http_address:  # nobody reads these metrics\n        return\n",
        after="",
        rules="S20",
        tests=(
            "tests/controller/test_metrics.py"
            "::test_nothing_is_read_for_metrics_that_nobody_can_see",
        ),
    ),
    Break(
        name="default-zone-may-be-out-of-scope",
        file="flags/settings.py",
        before='    if given["zones"] and given["default_zone"] not in (None, *given["zones"]):',
        after="    if False:",
        rules="S12",
        tests=_BAD_VALUE,
    ),
    Break(
        name="variables-win-over-the-file-of-the-key",
        file="flags/settings.py",
        before="    if file is not None:\n        try:\n            return read_credentials(file)",
        after="    if file is not None and not environment:\n"
        "        try:\n            return read_credentials(file)",
        rules="F1",
        tests=(
            f"{_PROCESS}::test_a_bad_credentials_file_ends_the_process_with_one_line_and_code_2",
        ),
    ),
    Break(
        name="scale-of-time-is-ignored",
        file="flags/settings.py",
        before='return Timing(**chosen).scaled(given["time_scale"])',
        after="return Timing(**chosen)",
        rules="S5",
        tests=_FLAGS,
    ),
    Break(
        name="durations-of-flags-are-ignored",
        file="flags/settings.py",
        before='return Timing(**chosen).scaled(given["time_scale"])',
        after='return Timing().scaled(given["time_scale"])',
        rules="S5",
        tests=_FLAGS,
    ),
    Break(
        name="rate-of-the-flag-is-ignored",
        file="flags/settings.py",
        before='max_qps=given["api_max_qps"] or math.inf',
        after="max_qps=math.inf",
        rules="S20",
        tests=_FLAGS,
    ),
    Break(
        name="label-of-the-driver-may-be-given-in-capitals",
        file="flags/settings.py",
        before="if key.lower().startswith(prefix.lower())]:",
        after="if key.startswith(prefix)]:",
        rules="C4",
        tests=_BAD_VALUE,
    ),
    Break(
        name="certificate-without-its-key-means-no-tls",
        file="flags/settings.py",
        before="    if certificate is None or key is None:\n        raise",
        after="    if certificate is None or key is None:\n        return None\n        raise",
        rules="F7",
        tests=_BAD_VALUE,
    ),
    Break(
        name="minutes-are-hours",
        file="flags/types.py",
        before='"m": 60.0',
        after='"m": 3600.0',
        rules="S5",
        tests=_FLAGS,
    ),
    Break(
        name="only-the-first-part-of-a-duration-counts",
        file="flags/types.py",
        before="for number, unit in _PART.findall(text))",
        after="for number, unit in _PART.findall(text)[:1])",
        rules="S5",
        tests=_FLAGS,
    ),
)
