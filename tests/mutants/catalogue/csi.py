"""Breaks of the room csi: codes, the wrapper around every call, log lines, sockets."""

from __future__ import annotations

from tests.mutants.breaks import Break

_PROCESS = "tests/csi/test_process.py"
_HTTP = "tests/csi/test_http.py"
_STATUS = ("tests/csi/test_status.py",)
_CREATE = "tests/controller/test_create_volume.py"
_SERVER = "tests/csi/test_process.py"
_REGISTRATION = "tests/csi/test_registration.py"
_SECRETS = ("tests/csi/test_secrets.py",)

BREAKS = (
    Break(
        name="success-ends-no-failure",
        file="csi/failures.py",
        before="                self._failing.pop(key, None)\n",
        after="",
        rules="N3",
        tests=(
            "tests/controller/test_metrics.py"
            "::test_a_call_is_in_vain_from_its_first_failure_to_the_last",
        ),
    ),
    Break(
        name="failure-of-long-ago-counts",
        file="csi/failures.py",
        before="                if now - each.asked < self._forgotten_seconds\n",
        after="",
        rules="N3",
        tests=(
            "tests/controller/test_metrics.py::test_what_nobody_asks_for_any_more_is_not_in_vain",
        ),
    ),
    Break(
        name="any-zone-will-do-before-the-node-knows-its-own",
        file="csi/node.py",
        before="        if zone is None:\n            raise HostError(",
        after="        if zone is None:\n            return\n            raise HostError(",
        rules="D2",
        tests=(
            "tests/apiserver/test_identity.py"
            "::test_a_node_takes_no_volume_before_it_knows_its_zone",
        ),
    ),
    Break(
        name="unexpected-error-is-unknown",
        file="csi/status.py",
        before="    Exception: StatusCode.UNAVAILABLE,",
        after="    Exception: StatusCode.UNKNOWN,",
        rules="S4",
        tests=(
            f"{_PROCESS}::test_an_unexpected_error_is_unavailable_counted_and_leaves_its_trace",
        ),
    ),
    Break(
        name="call-that-is-not-offered-is-tried-for-ever",
        file="csi/status.py",
        before="    NotImplementedError: StatusCode.UNIMPLEMENTED,",
        after="    NotImplementedError: StatusCode.UNAVAILABLE,",
        rules="S4",
        tests=("tests/csi/test_bad_input.py::test_every_rpc_is_in_the_table_or_not_offered",),
    ),
    Break(
        name="other-size-of-one-name-is-bad-input",
        file="csi/status.py",
        before="errors.Mismatch: StatusCode.ALREADY_EXISTS",
        after="errors.Mismatch: StatusCode.INVALID_ARGUMENT",
        rules="S4, C1",
        tests=(f"{_CREATE}::test_create_with_same_name_and_other_size_is_refused",),
    ),
    Break(
        name="pod-stays-where-its-volume-is-not",
        file="csi/status.py",
        before="errors.WrongZone: StatusCode.RESOURCE_EXHAUSTED",
        after="errors.WrongZone: StatusCode.FAILED_PRECONDITION",
        rules="S12",
        tests=(
            "tests/controller/test_zones.py"
            "::test_a_claim_that_moved_to_another_zone_is_sent_to_its_volume",
        ),
    ),
    Break(
        name="held-name-is-final",
        file="csi/status.py",
        before="errors.OperationPending: StatusCode.ABORTED",
        after="errors.OperationPending: StatusCode.FAILED_PRECONDITION",
        rules="S4, S5",
        tests=(f"{_CREATE}::test_a_second_call_for_a_name_is_told_who_works_on_it",),
    ),
    Break(
        name="every-rejection-is-internal",
        file="csi/status.py",
        before="        return _REJECTIONS.get(error.http_status, CODES[errors.ApiRejected])",
        after="        return CODES[errors.ApiRejected]",
        rules="S4",
        tests=_STATUS,
    ),
    Break(
        name="conflict-at-the-api-is-bad-input",
        file="csi/status.py",
        before="    409: StatusCode.ABORTED,",
        after="    409: StatusCode.INVALID_ARGUMENT,",
        rules="S4",
        tests=_STATUS,
    ),
    Break(
        name="error-does-not-say-that-it-is-tried-again",
        file="csi/status.py",
        before='        text += "; Kubernetes will retry"',
        after="        pass",
        rules="F11",
        tests=_STATUS,
    ),
    Break(
        name="error-says-twice-that-it-is-tried-again",
        file="csi/status.py",
        before="and not _SAYS_SO.search(text)",
        after="",
        rules="F11",
        tests=_STATUS,
    ),
    Break(
        name="metrics-spell-codes-in-their-own-way",
        file="csi/status.py",
        before='code.name.title().replace("_", "")',
        after="code.name",
        rules="F7",
        tests=("tests/controller/test_metrics.py::test_a_call_is_counted_by_its_code",),
    ),
    Break(
        name="cancelled-call-works-on",
        file="csi/interceptor.py",
        before="    if not context.add_callback(deadline.cancel):",
        after="    if False:",
        rules="S5",
        tests=(
            f"{_CREATE}"
            "::test_a_call_that_is_cancelled_while_it_waits_for_its_operation_leaves_its_name",
            f"{_CREATE}::test_a_call_that_is_cancelled_while_its_name_is_doubted_leaves_it",
        ),
    ),
    Break(
        name="call-ignores-its-deadline",
        file="csi/interceptor.py",
        before="deadline = Deadline(context.time_remaining())",
        after="deadline = Deadline(3600.0)",
        rules="S5",
        tests=("tests/csi/test_deadlines.py",),
        equivalent="when the time of a call ends gRPC cancels it, which ends every wait",
    ),
    Break(
        name="deadline-does-not-say-where-it-struck",
        file="csi/interceptor.py",
        before='f"{error} (it was at: {call.step})"',
        after='f"{error}"',
        rules="F11",
        tests=("tests/csi/test_deadlines.py",),
    ),
    Break(
        name="unexpected-error-is-not-counted",
        file="csi/interceptor.py",
        before="        self._metrics.unexpected_errors.labels(method).inc()\n",
        after="",
        rules="F7",
        tests=(
            f"{_PROCESS}::test_an_unexpected_error_is_unavailable_counted_and_leaves_its_trace",
        ),
    ),
    Break(
        name="unexpected-error-leaves-no-trace",
        file="csi/interceptor.py",
        before='        log.error("unexpected error", exc_info=error)\n',
        after="",
        rules="F12",
        tests=(
            f"{_PROCESS}::test_an_unexpected_error_is_unavailable_counted_and_leaves_its_trace",
        ),
    ),
    Break(
        name="failed-reads-of-kubelet-are-not-logged",
        file="csi/interceptor.py",
        before="quiet = call.name in _QUIET and code is StatusCode.OK",
        after="quiet = call.name in _QUIET",
        rules="F12",
        tests=(
            "tests/node/test_statistics.py"
            "::test_what_kubelet_reads_every_minute_is_logged_only_if_it_fails",
        ),
    ),
    Break(
        name="failed-call-is-not-measured",
        file="csi/interceptor.py",
        before="                self._record(method, call, about, code, message)\n",
        after="",
        rules="F7",
        tests=("tests/controller/test_metrics.py::test_a_call_is_counted_by_its_code",),
    ),
    Break(
        name="log-lines-do-not-say-which-volume",
        file="csi/interceptor.py",
        before='with calls.enter(method.rpartition("/")[2], **about) as call:',
        after='with calls.enter(method.rpartition("/")[2]) as call:',
        rules="F12",
        tests=(f"{_PROCESS}::test_log_lines_are_json_with_rpc_and_ids",),
    ),
    Break(
        name="secrets-are-logged",
        file="csi/redaction.py",
        before="            message.ClearField(field.name)",
        after="            pass",
        rules="F12",
        tests=_SECRETS,
    ),
    Break(
        name="secrets-are-taken-from-the-call-itself",
        file="csi/redaction.py",
        before="    copy = type(message)()\n    copy.CopyFrom(message)\n",
        after="    copy = message\n",
        rules="F12",
        tests=_SECRETS,
    ),
    Break(
        name="stuck-pool-counts-as-alive",
        file="csi/liveness.py",
        before="        except grpc.RpcError:\n            return False",
        after="        except grpc.RpcError:\n            return True",
        rules="N14",
        tests=(f"{_HTTP}::test_a_pool_whose_threads_are_all_stuck_is_not_alive",),
    ),
    Break(
        name="driver-that-is-not-ready-is-dead",
        file="csi/liveness.py",
        before=(
            "                csi_pb2_grpc.IdentityStub(channel).Probe(\n"
            "                    csi_pb2.ProbeRequest(), timeout=self._timeout_seconds,"
            " wait_for_ready=True\n"
            "                )\n"
        ),
        after=(
            "                return csi_pb2_grpc.IdentityStub(channel).Probe(\n"
            "                    csi_pb2.ProbeRequest(), timeout=self._timeout_seconds,"
            " wait_for_ready=True\n"
            "                ).ready.value\n"
        ),
        rules="N14",
        tests=(f"{_HTTP}::test_a_node_that_does_not_know_itself_yet_is_alive_and_not_ready",),
    ),
    Break(
        name="probe-says-ready-at-once",
        file="csi/identity.py",
        before="ready=BoolValue(value=self._ready())",
        after="ready=BoolValue(value=True)",
        rules="N14",
        tests=("tests/csi/test_identity.py",),
    ),
    Break(
        name="volumes-grow-while-they-are-attached",
        file="csi/identity.py",
        before="VolumeExpansion.OFFLINE",
        after="VolumeExpansion.ONLINE",
        rules="S7",
        tests=("tests/csi/test_identity.py",),
    ),
    Break(
        name="stale-socket-ends-the-driver",
        file="csi/server.py",
        before="    path.unlink()",
        after='    raise OSError(errno.EADDRINUSE, "there is one", str(path))',
        rules="S22",
        tests=(f"{_SERVER}::test_a_stale_socket_is_replaced",),
    ),
    Break(
        name="living-driver-loses-its-socket",
        file="csi/server.py",
        before="    if is_served(path):",
        after="    if False:",
        rules="S22",
        tests=(f"{_SERVER}::test_a_live_socket_is_refused",),
    ),
    Break(
        name="file-in-the-place-of-the-socket-is-removed",
        file="csi/server.py",
        before="    if not stat.S_ISSOCK(mode):",
        after="    if False:",
        rules="S22",
        tests=(f"{_SERVER}::test_what_is_no_socket_is_left_alone",),
    ),
    Break(
        name="everybody-may-use-the-socket",
        file="csi/server.py",
        before="_UMASK = 0o117",
        after="_UMASK = 0o000",
        rules="F14",
        tests=(f"{_SERVER}::test_the_socket_is_for_owner_and_group_alone",),
    ),
    Break(
        name="umask-stays-changed",
        file="csi/server.py",
        before="        os.umask(before)",
        after="        pass",
        rules="F14",
        tests=(f"{_SERVER}::test_the_socket_is_for_owner_and_group_alone",),
    ),
    Break(
        name="idle-sidecar-is-thrown-out",
        file="csi/server.py",
        before='    ("grpc.http2.max_ping_strikes", 0),\n',
        after="",
        rules="S27",
        tests=(f"{_SERVER}::test_a_sidecar_that_pings_while_it_waits_stays_connected",),
    ),
    Break(
        name="running-calls-are-cut-at-the-end",
        file="csi/server.py",
        before="            stopped = self._server.stop(grace_seconds)",
        after="            stopped = self._server.stop(None)",
        rules="S22",
        tests=(f"{_PROCESS}::test_sigterm_lets_running_calls_finish",),
    ),
    Break(
        name="node-registers-before-it-knows-itself",
        file="csi/registration.py",
        before="            self._wait_until_known(self._waiting)",
        after="            pass",
        rules="S10, N18",
        tests=(f"{_REGISTRATION}::test_nothing_is_registered_before_the_node_knows_itself",),
    ),
    Break(
        name="registration-names-another-driver",
        file="csi/registration.py",
        before="            name=self._driver_name,",
        after='            name="csi.exoscale.com",',
        rules="N18",
        tests=(f"{_REGISTRATION}::test_kubelet_is_told_name_and_socket",),
    ),
    Break(
        name="end-removes-the-registration",
        file="csi/registration.py",
        before="        hidden.rename(self._path)",
        after="        self._path.symlink_to(hidden)",
        rules="S22, N18",
        tests=(f"{_REGISTRATION}::test_the_socket_outlives_sigterm_and_a_crash",),
    ),
    Break(
        name="refused-registration-is-silent",
        file="csi/registration.py",
        before='log.error("kubelet refused the registration", extra={"error": request.error})',
        after="pass",
        rules="N18",
        tests=(f"{_REGISTRATION}::test_a_refusal_is_logged_and_the_plugin_stays",),
    ),
    Break(
        name="message-is-longer-than-a-sidecar-stores",
        file="csi/status.py",
        before="_MESSAGE_BYTES = 999",
        after="_MESSAGE_BYTES = 1100",
        rules="F11",
        tests=_STATUS,
    ),
    Break(
        name="message-is-cut-within-a-letter",
        file="csi/status.py",
        before='decode(errors="ignore")',
        after='decode(errors="replace")',
        rules="F11",
        tests=_STATUS,
    ),
    Break(
        name="refused-registration-is-final",
        file="csi/registration.py",
        before="            self._again_at = time.monotonic() + next(self._pauses)",
        after="            self._again_at = math.inf",
        rules="S27, N18",
        tests=(f"{_REGISTRATION}::test_a_refused_registration_is_repeated",),
    ),
    Break(
        name="hung-calls-are-never-too-many",
        file="csi/liveness.py",
        before="        if self._is_stuck():",
        after="        if not self:",
        rules="N14",
        tests=(
            "tests/csi/test_http.py"
            "::test_a_process_whose_calls_all_hang_is_not_alive_though_probe_has_a_thread_of_its_own",
        ),
    ),
    Break(
        name="few-threads-keep-none-for-probe",
        file="csi/interceptor.py",
        before="workers - max(int(workers > 2), min(",
        after="workers - max(0, min(",
        rules="N14",
        tests=("tests/csi/test_http.py::test_few_threads_leave_probe_its_answer_too",),
    ),
    Break(
        name="calls-that-are-waited-for-count-as-hung",
        file="csi/room.py",
        before="each.left_at is not None and each.left_at <= oldest for each in places",
        after="True for each in places",
        rules="N14",
        tests=("tests/csi/test_room.py",),
    ),
)
