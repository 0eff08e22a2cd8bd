"""Breaks of the commands that an operator types."""

from __future__ import annotations

from tests.mutants.breaks import Break

_ORPHANS = "tests/tools/test_orphans.py"

_STATUS = "tests/tools/test_status.py"

_IMPORT = "tests/tools/test_import.py"
_DOCTOR = "tests/tools/test_doctor.py"
_DOCTOR_NODE = "tests/tools/test_doctor_node.py"
_DOCTOR_PODS = "tests/tools/test_doctor_pods.py"
_BUNDLE = "tests/tools/test_bundle.py"
_KUBECTL = "tests/tools/test_kubectl.py"
_TABLES = "tests/tools/test_tables.py"

BREAKS = (
    Break(
        name="moved-volumes-are-not-checked-to-be-kept",
        file="tools/importing.py",
        before="f'test \"$(kubectl get",
        after="f': \"$(kubectl get",
        rules="F9",
        tests=(f"{_IMPORT}::test_nothing_is_deleted_unless_the_volume_is_kept",),
    ),
    Break(
        name="imported-volumes-may-be-formatted",
        file="tools/importing.py",
        before='attributes={"format": "never", **partition}',
        after='attributes={"format": "ifBlank", **partition}',
        rules="D1, F9",
        tests=(f"{_IMPORT}::test_what_is_printed_is_never_formatted",),
    ),
    Break(
        name="missing-right-is-taken-for-permitted",
        file="tools/doctor_cloud.py",
        before="            except (NotFound, ApiRejected):",
        after="            except (NotFound, ApiRejected, ApiDenied):",
        rules="N11",
        tests=(f"{_DOCTOR}::test_missing_right_is_named",),
    ),
    Break(
        name="pod-asks-kubernetes-for-everything",
        file="tools/reach.py",
        before="        if not self.is_in_pod:\n            return None\n",
        after="        if self.driver_name:\n            return None\n",
        rules="S23",
        tests=(
            f"{_DOCTOR}::test_in_a_pod_kubernetes_is_not_asked_for_what_its_account_may_not_read",
        ),
    ),
    Break(
        name="old-sidecars-pass",
        file="tools/doctor_sidecars.py",
        before="if version and (int(version[1]), int(version[2])) < TESTED[name]:",
        after="if version and int(version[1]) < TESTED[name][0]:",
        rules="N11",
        tests=(f"{_DOCTOR_PODS}::test_old_sidecar_is_found",),
    ),
    Break(
        name="silent-leaders-lead",
        file="tools/doctor_pods.py",
        before="        if self._now - renewed > 2 * lease.duration_seconds:",
        after="        if renewed > self._now:",
        rules="N11, F16",
        tests=(f"{_DOCTOR_PODS}::test_sidecar_without_a_leader_is_found",),
    ),
    Break(
        name="missing-rights-of-accounts-pass",
        file="tools/doctor_rights.py",
        before="if not reviews.may(workload.account, right, deadline):",
        after="if not reviews.may_i(right, deadline):",
        rules="N11, S23",
        tests=(f"{_DOCTOR_PODS}::test_missing_right_of_an_account_is_found",),
    ),
    Break(
        name="sources-of-the-identity-may-disagree",
        file="tools/doctor_host.py",
        before="        elif len({*known.values()}) > 1:",
        after="        elif not known.values():",
        rules="N11, S10",
        tests=(f"{_DOCTOR_NODE}::test_sources_that_disagree_are_found",),
    ),
    Break(
        name="volumes-of-kubernetes-are-unknown-disks",
        file="tools/doctor_disks.py",
        before="return {*attached} - in_use - {*_serials(self._host.node.volumes())}",
        after="return {*attached} - in_use",
        rules="N11, S9",
        tests=(f"{_DOCTOR_NODE}::test_disk_that_kubernetes_does_not_know_is_found",),
    ),
    Break(
        name="links-to-other-disks-pass",
        file="tools/doctor_disks.py",
        before="if names.get(serial, name) != name or",
        after="if names.get(serial) is None and",
        rules="N11, D2",
        tests=(f"{_DOCTOR_NODE}::test_link_to_another_disk_is_found",),
    ),
    Break(
        name="unread-zones-volumes-are-gone",
        file="tools/status.py",
        before='        if volume.handle.partition("/")[0] not in facts.unread:\n',
        after="        if True:\n",
        rules="N20",
        tests=(f"{_STATUS}::test_zone_that_can_not_be_read_is_told_and_its_volumes_are_not_gone",),
    ),
    Break(
        name="two-places-of-a-volume-are-not-compared",
        file="tools/status.py",
        before="    elif instance and nodes and node not in nodes:",
        after="    elif False:",
        rules="N20",
        tests=(f"{_STATUS}::test_cloud_and_kubernetes_disagree_where_it_is",),
    ),
    Break(
        name="another-clusters-volumes-are-orphans",
        file="controller/orphans.py",
        before="        ours = [each for each in volumes if self._labels.are_ours(each.labels)]",
        after="        ours = list(volumes)",
        rules="C4",
        tests=(f"{_ORPHANS}::test_another_clusters_volume_is_never_shown",),
    ),
    Break(
        name="volumes-of-another-driver-are-orphans",
        file="controller/orphans.py",
        before="if str(volume.id) in known.volumes or str(volume.id) in known.others:",
        after="if str(volume.id) in known.volumes:",
        rules="C4, F8",
        tests=(f"{_ORPHANS}::test_volume_that_is_another_drivers_by_now_is_none",),
    ),
    Break(
        name="what-is-in-the-making-is-an-orphan",
        file="tools/orphans.py",
        before=">= reach.timing.orphan_age",
        after=">= 0",
        rules="C4",
        tests=(f"{_ORPHANS}::test_what_may_be_in_the_making_is_not_shown",),
    ),
    Break(
        name="unread-zone-is-not-told",
        file="controller/orphans.py",
        before="                unread[zone] = str(error)",
        after="                volumes[zone] = []",
        rules="C4",
        tests=(f"{_ORPHANS}::test_zone_that_can_not_be_read_is_named",),
    ),
    Break(
        name="archive-keeps-known-secrets",
        file="tools/bundle_redaction.py",
        before="            text = text.replace(each, REDACTED)",
        after="            pass",
        rules="F12",
        tests=(f"{_BUNDLE}::test_token_of_the_pod_is_not_in_the_archive",),
    ),
    Break(
        name="archive-keeps-what-looks-like-a-secret",
        file="tools/bundle_redaction.py",
        before="for pattern in _PATTERNS:",
        after="for pattern in _PATTERNS[:-1]:",
        rules="F12",
        tests=(f"{_BUNDLE}::test_no_secret_is_in_the_archive",),
    ),
    Break(
        name="archive-keeps-labels-of-users",
        file="tools/bundle_cluster.py",
        before='if key != "labels"}',
        after="if key}",
        rules="F12",
        tests=(f"{_BUNDLE}::test_no_secret_is_in_the_archive",),
    ),
    Break(
        name="log-begins-in-the-middle-of-a-secret",
        file="tools/bundle_archive.py",
        before='    return content[-_FILE_BYTES:].partition(b"\\n")[2]',
        after="    return content[-_FILE_BYTES:]",
        rules="F12",
        tests=(f"{_BUNDLE}::test_of_a_long_log_the_last_lines_are_kept",),
    ),
    Break(
        name="archive-overwrites-a-file-that-appears",
        file="tools/bundle_archive.py",
        before="        require_new(path)\n        # The name",
        after="        path.unlink(missing_ok=True)\n        # The name",
        rules="F12",
        tests=(f"{_BUNDLE}::test_file_that_appears_meanwhile_is_left_alone",),
    ),
    Break(
        name="archive-asks-for-what-the-account-may-not-read",
        file="tools/bundle_cluster.py",
        before="if right := self._reach.missing_right(needs):",
        after="if right := self._reach.missing_right(()):",
        rules="F12, S23",
        tests=(
            f"{_BUNDLE}::test_a_pod_without_rights_collects_the_rest_and_asks_for_nothing_more",
        ),
    ),
    Break(
        name="kubectl-outlives-its-command",
        file="tools/kubectl.py",
        before='kill "$server"',
        after=":",
        rules="N11",
        tests=(f"{_KUBECTL}::test_kubectl_ends_with_a_command_that_is_killed",),
    ),
    Break(
        name="what-many-checks-need-is-read-many-times",
        file="tools/read_once.py",
        before="            self._answers[key] = self._source.get(path, deadline, query=query)\n"
        "        return self._answers[key]",
        after="            pass\n        return self._source.get(path, deadline, query=query)",
        rules="N11",
        tests=(f"{_DOCTOR}::test_kubernetes_is_asked_once_for_each_kind",),
    ),
    Break(
        name="tables-obey-what-is-in-them",
        file="tools/drawing.py",
        before="(Text(printable(cell) or",
        after="((printable(cell) or",
        rules="F17, N20",
        tests=(f"{_TABLES}::test_foreign_text_is_shown_and_not_obeyed",),
    ),
    Break(
        name="tables-are-drawn-in-a-pipe",
        file="tools/terminal.py",
        before="    if not stream.isatty():",
        after="    if stream.closed:",
        rules="N20",
        tests=(f"{_TABLES}::test_output_in_a_pipe_is_plain_and_costs_nothing",),
    ),
    Break(
        name="slow-zones-are-well",
        file="tools/doctor_cloud.py",
        before="if seconds > self._timing.doctor_slow:",
        after="if seconds > 2 * self._timing.doctor_slow:",
        rules="N11",
        tests=(f"{_DOCTOR}::test_slow_zone_is_found",),
    ),
    Break(
        name="mounts-whose-disk-left-are-well",
        file="tools/doctor_disks.py",
        before="mount.device is None or not self._host.devices.is_there(mount.device)",
        after="mount.device is None",
        rules="N11",
        tests=(f"{_DOCTOR_NODE}::test_mount_whose_disk_has_left_is_found",),
    ),
    Break(
        name="one-cause-is-told-many-times",
        file="tools/doctor.py",
        before="        if first == check.name:",
        after="        if first:",
        rules="N11",
        tests=(f"{_DOCTOR}::test_api_that_fails_is_told_once_and_asked_once[API down]",),
    ),
)
