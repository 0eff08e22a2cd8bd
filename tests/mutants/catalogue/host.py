"""Breaks of the host: the proofs before mkfs, who holds a disk, what reaches a disk."""

from __future__ import annotations

from tests.mutants.breaks import Break

_EXCLUSIVE = ("tests/host/test_exclusive.py",)
_HELD = "tests/node/test_ways_to_hold_a_disk.py"
_RAW = f"{_HELD}::test_a_raw_device_that_is_open_through_another_node_is_held"
_TRACES = "tests/node/test_foreign_traces.py"
_NOISE = "tests/node/test_noise.py"
_DEVICES = "tests/host/test_devices.py"
_PROFILES = "tests/node/test_profiles.py"
_WORKERS = ("tests/host/test_workers.py",)

_ASKED = "tests/host/test_disk_calls.py"

_HOLDERS = "tests/host/test_holders.py"

BREAKS = (
    Break(
        name="hung-mkfs-keeps-its-turn",
        file="host/jobs.py",
        before="for turn, end in self._ends.items() if end > now}",
        after="for turn, end in self._ends.items() if end > 0}",
        rules="S26",
        tests=("tests/host/test_jobs.py::test_a_job_that_hangs_keeps_no_other_from_its_turn",),
    ),
    Break(
        name="killed-command-is-not-reaped",
        file="host/commands.py",
        before="        begin_thread(process.wait, ",
        after="        begin_thread(process.poll, ",
        rules="S26",
        tests=("tests/node/test_hanging_content.py",),
    ),
    Break(
        name="hung-loop-is-made-of-no-disk",
        file="host/holders.py",
        before="            if hung and not users and not skip_hung:",
        after="            if hung and not users and skip_hung is None:",
        rules="D4",
        tests=(f"{_HOLDERS}::test_a_loop_device_that_hangs_may_be_made_of_a_raw_disk",),
    ),
    Break(
        name="private-mount-of-the-driver-is-another-user",
        file="host/holders.py",
        before="                is_it = process == own and target == apart_from",
        after="                is_it = False",
        rules="D13",
        tests=(_HOLDERS, "tests/node/test_frozen_growth.py"),
    ),
    Break(
        name="mount-counts-again-where-its-namespace-is-unreadable",
        file="host/holders.py",
        before="                told.add(line.mount_id)\n",
        after="",
        rules="D13",
        tests=(f"{_HOLDERS}::test_a_private_mount_of_the_driver_is_nobody_else",),
    ),
    Break(
        name="marker-of-a-later-version-counts",
        file="host/markers.py",
        before="    return content in {_content(volume_id, None), _content(volume_id, age)}",
        after="    return content.startswith(_content(volume_id, None))",
        rules="F5, D1",
        tests=(
            "tests/node/test_other_versions.py"
            "::test_a_marker_that_is_not_understood_allows_nothing",
        ),
    ),
    Break(
        name="marker-of-an-earlier-attachment-counts",
        file="host/markers.py",
        before='f" attached {age.attached_at.isoformat()}" if age else ""',
        after='""',
        rules="D1",
        tests=(
            "tests/node/test_long_work.py"
            "::test_what_a_pod_wrote_raw_on_another_node_is_not_taken_for_what_mkfs_left",
        ),
    ),
    Break(
        name="hung-loop-keeps-every-volume",
        file="host/holders.py",
        before="            if hung and not users and not skip_hung:",
        after="            if hung:",
        rules="S26",
        tests=(
            f"{_HOLDERS}::test_a_loop_device_that_hangs_holds_no_file_system_that_was_unmounted",
        ),
    ),
    Break(
        name="disk-that-fails-slowly-gets-its-time-again",
        file="host/serials.py",
        before="return self._begin(name, disk, seconds)",
        after="return self._begin(name, disk, self._timing.serial_timeout)",
        rules="S26",
        tests=("tests/host/test_devices.py::test_a_disk_that_fails_slowly_is_waited_for_once",),
    ),
    Break(
        name="quick-answers-of-a-disk-without-serial-add-up",
        file="host/serials.py",
        before="if self._took <= (quick := _QUICK * most_seconds):",
        after="if self._took <= 0 * (quick := _QUICK * most_seconds):",
        rules="S26",
        tests=("tests/host/test_devices.py::test_a_disk_without_a_serial_can_be_asked_for_ever",),
    ),
    Break(
        name="clock-decides-what-is-new",
        file="host/history.py",
        before='            (age.attached_at.timestamp(), "it was attached at"),\n',
        after="",
        rules="N19, D1",
        tests=(f"{_NOISE}::test_a_clock_that_is_behind_makes_no_old_volume_new",),
    ),
    Break(
        name="clock-decides-what-is-forgotten",
        file="host/history.py",
        before="        return latest - made >= 2",
        after="        return max(latest, time.time()) - made >= 2",
        rules="N19, D1",
        tests=(
            f"{_NOISE}::test_a_clock_that_is_ahead_makes_nothing_forgotten",
            f"{_NOISE}::test_what_was_used_while_the_clock_was_ahead_is_known_when_it_is_right_again",
        ),
    ),
    Break(
        name="earlier-answer-of-a-disk-will-do",
        file="host/disk_calls.py",
        before="carry_out, deadline, joins=False)",
        after="carry_out, deadline)",
        rules="D1, S26",
        tests=(f"{_ASKED}::test_a_disk_that_hangs_when_it_is_opened_is_left_behind",),
    ),
    Break(
        name="disk-is-opened-in-the-call",
        file="host/disk_calls.py",
        before='self._workers.run(f"disk {device.path}", carry_out, deadline, joins=False)',
        after="carry_out()",
        rules="S26",
        tests=(f"{_ASKED}::test_a_call_waits_no_longer_than_it_may",),
    ),
    Break(
        name="disk-is-left-open-by-a-late-answer",
        file="host/disk_calls.py",
        before="            if too_late:",
        after="            if not too_late:",
        rules="D4, S26",
        tests=(f"{_ASKED}::test_a_disk_that_is_opened_too_late_is_closed_again",),
    ),
    Break(
        name="proof-reads-the-page-cache",
        file="host/exclusive.py",
        before="os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC",
        after="os.O_EXCL | os.O_CLOEXEC",
        rules="D1",
        tests=_EXCLUSIVE,
    ),
    Break(
        name="disk-is-opened-beside-its-users",
        file="host/exclusive.py",
        before="os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC",
        after="os.O_DIRECT | os.O_CLOEXEC",
        rules="D1, D4",
        tests=_EXCLUSIVE,
    ),
    Break(
        name="number-is-not-checked-after-the-open",
        file="host/exclusive.py",
        before="or DeviceNumber.of(status.st_rdev) != device.number:",
        after="or device.number is None:",
        rules="D2",
        tests=_EXCLUSIVE,
    ),
    Break(
        name="half-a-read-is-enough",
        file="host/exclusive.py",
        before="    if count != length:",
        after="    if count == 0:",
        rules="D1",
        tests=_EXCLUSIVE,
    ),
    Break(
        name="end-of-the-disk-may-hold-data",
        file="host/signatures.py",
        before="return is_zero(self.head) and is_zero(self.tail)",
        after="return is_zero(self.head)",
        rules="D1",
        tests=("tests/host/test_signatures.py",),
    ),
    Break(
        name="end-of-the-disk-need-not-be-noise",
        file="host/signatures.py",
        before="for data in (self.head, self.tail)",
        after="for data in (self.head,)",
        rules="N19",
        tests=("tests/host/test_signatures.py",),
    ),
    Break(
        name="second-prober-decides-nothing",
        file="host/filesystems.py",
        before="        if kind or own:",
        after="        if kind:",
        rules="D1",
        tests=("tests/node/test_format.py::test_the_second_prober_alone_knows_what_is_not_blank",),
    ),
    Break(
        name="trace-beside-a-file-system-is-its-data",
        file="host/filesystems.py",
        before="        if trace.offset not in extent and",
        after="        if trace.offset < 0 and",
        rules="D15",
        tests=(f"{_TRACES}::test_a_trace_behind_a_file_system_makes_the_disk_another_s",),
    ),
    Break(
        name="external-journal-is-anybodys-disk",
        file="host/superblocks.py",
        before="    if has_journal and _number(",
        after="    if not has_journal and _number(",
        rules="D2",
        tests=(f"{_TRACES}::test_an_ext_whose_journal_is_on_another_volumes_disk_is_refused",),
    ),
    Break(
        name="one-of-many-btrfs-disks-is-whole",
        file="host/superblocks.py",
        before="    if devices > 1:",
        after="    if devices > 100:",
        rules="D15",
        tests=(f"{_TRACES}::test_a_btrfs_of_several_devices_is_refused",),
    ),
    Break(
        name="unfinished-xfs-is-finished",
        file="host/superblocks.py",
        before="unfinished=head[126] != 0",
        after="unfinished=False",
        rules="D10",
        tests=(
            "tests/node/test_long_work.py::test_an_unfinished_xfs_is_formatted_only_if_we_began_it",
        ),
    ),
    Break(
        name="content-is-not-checked-right-before-mkfs",
        file="host/formatting.py",
        before='self._check(volume_id, content, context.age)\n        logs.step("set',
        after='logs.step("set',
        rules="D1",
        tests=(
            "tests/node/test_long_work.py"
            "::test_what_was_written_while_mkfs_waited_for_its_turn_is_not_formatted",
        ),
    ),
    Break(
        name="restored-volume-is-formatted",
        file="host/formatting.py",
        before="if context.format is FormatPolicy.NEVER or context.partition is not None:",
        after="if context.partition is not None:",
        rules="D1, F9",
        tests=(f"{_NOISE}::test_noise_on_a_restored_or_imported_volume_is_never_formatted",),
    ),
    Break(
        name="mkfs-does-not-keep-its-disk",
        file="host/formatting.py",
        before="inherited=(marker.file, held)",
        after="inherited=(marker.file,)",
        rules="D2, D10",
        tests=(f"{_HELD}::test_an_mkfs_that_outlived_its_driver_holds_the_disk",),
    ),
    Break(
        name="marker-is-not-written",
        file="host/formatting.py",
        before="        marker.set()",
        after="        marker.is_set()",
        rules="D10",
        tests=(f"{_NOISE}::test_a_mkfs_that_was_killed_on_noise_is_begun_again",),
    ),
    Break(
        name="shut-down-file-system-is-usable",
        file="host/liveness.py",
        before="if _SHUT_DOWN in mount.super_options:",
        after="if not mount.super_options:",
        rules="D7",
        tests=("tests/host/test_liveness.py",),
    ),
    Break(
        name="emergency-read-only-is-writable",
        file="host/liveness.py",
        before="if _NO_MORE_WRITES in mount.super_options:",
        after="if not mount.super_options:",
        rules="D7",
        tests=("tests/host/test_liveness.py",),
    ),
    Break(
        name="each-process-that-hangs-is-waited-for",
        file="host/mappings.py",
        before="                patience = self._later_seconds\n",
        after="                patience = self._patience_seconds\n",
        rules="S26",
        tests=(
            "tests/node/test_hung_processes.py"
            "::test_many_processes_that_hang_are_not_waited_for_one_after_another",
        ),
    ),
    Break(
        name="name-of-a-device-holds-it",
        file="host/open_files.py",
        before=" and not _only_names(link)",
        after="",
        rules="D4",
        tests=(f"{_HELD}::test_a_name_that_opens_nothing_holds_nothing",),
    ),
    Break(
        name="mapping-holds-nothing",
        file="host/processes.py",
        before="            used[process].update(filter(sought.includes, numbers))\n",
        after="            used[process].update()\n",
        rules="D4",
        tests=(f"{_RAW}[map]",),
    ),
    Break(
        name="other-threads-hold-nothing",
        file="host/open_files.py",
        before="            yield table, _list(table)\n",
        after="",
        rules="D4",
        tests=(f"{_RAW}[thread]",),
    ),
    Break(
        name="loop-device-holds-nothing",
        file="host/holders.py",
        before="for name, on in backings.items() if not numbers.isdisjoint(on)",
        after="for name, on in backings.items() if numbers.isdisjoint(on) is None",
        rules="D4",
        tests=(f"{_HELD}::test_a_loop_device_on_a_raw_device_holds_it",),
    ),
    Break(
        name="lost-writes-are-not-reported",
        file="host/writeback.py",
        before="        if is_first:",
        after="        if is_first is None:",
        rules="D14",
        tests=(
            "tests/node/test_written_back.py"
            "::test_a_raw_volume_that_can_t_be_written_back_is_kept_once",
        ),
    ),
    Break(
        name="a-write-that-fails-late-is-told-to-nobody",
        file="host/writeback.py",
        before="                    self._untold[volume] = error\n",
        after="                    pass\n",
        rules="D14, D6",
        tests=(
            "tests/host/test_writeback.py"
            "::test_a_write_that_fails_after_its_call_has_gone_is_told_to_the_next",
        ),
    ),
    Break(
        name="a-write-under-way-counts-as-failed",
        file="host/writeback.py",
        before="                failure = error\n        if failure is not None:",
        after=(
            "                failure = error\n            except HostError as error:\n"
            "                failure = OSError(0, str(error))\n        if failure is not None:"
        ),
        rules="D14",
        tests=(
            "tests/host/test_writeback.py"
            "::test_a_write_that_takes_long_is_no_failure_however_often_it_is_asked_about",
        ),
    ),
    Break(
        name="too-many-open-files-lose-the-data",
        file="host/writeback.py",
        before="        if error.errno in lost:",
        after="        if lost:",
        rules="D14, D6",
        tests=("tests/host/test_writeback.py::test_what_can_t_be_opened_just_now_is_not_lost",),
    ),
    Break(
        name="whatever-resize2fs-complains-of-is-a-refusal",
        file="host/growing.py",
        before="        if _REFUSAL.search(ended.complaint):",
        after="        if ended.complaint:",
        rules="S8, F11",
        tests=(
            "tests/node/test_life_on_a_node.py"
            "::test_an_ext4_that_failed_to_grow_is_not_said_to_be_refused",
        ),
    ),
    Break(
        name="umount-that-outlives-the-driver-is-not-awaited",
        file="host/mounts.py",
        before="allowed=(0, _MOUNT_FAILED), inherited=(lock,)",
        after="allowed=(0, _MOUNT_FAILED)",
        rules="D14, S15",
        tests=(
            "tests/node/test_failures_on_the_way.py"
            "::test_an_umount_that_outlived_its_driver_takes_no_volume_from_a_pod",
        ),
    ),
    Break(
        name="node-of-a-pod-is-the-drivers",
        file="host/mounts.py",
        before='        home = line.filesystem == "devtmpfs" or line.number == self._nodes\n',
        after='        home = line.filesystem in ("devtmpfs", "tmpfs")\n',
        rules="S28",
        tests=(
            "tests/node/test_foreign_paths.py::test_a_node_that_a_pod_has_made_keeps_no_volume",
        ),
    ),
    Break(
        name="strictatime-is-lost",
        file="host/mounts.py",
        before='    strict = flags and flags.isdisjoint({"noatime", "relatime"})\n',
        after="    strict = False\n",
        rules="S28",
        tests=(
            "tests/node/test_mount_flags.py::test_a_target_has_every_flag_of_its_staging_mount",
        ),
    ),
    Break(
        name="note-that-stays-keeps-its-volume",
        file="host/notes.py",
        before="            self._void.add(volume_id)\n",
        after="            raise\n",
        rules="S27",
        tests=(
            "tests/node/test_two_drivers.py"
            "::test_a_disk_of_kubelet_that_broke_keeps_no_volume_whose_repair_was_noted",
        ),
    ),
    Break(
        name="unmount-is-lazy",
        file="host/mounts.py",
        before='*("umount", str(',
        after='*("umount", "--lazy", str(',
        rules="D6",
        tests=("tests/node/test_life_on_a_node.py::test_unstage_names_who_has_the_mount_busy",),
    ),
    Break(
        name="process-that-is-being-started-holds-every-disk",
        file="host/starts.py",
        before="        start.wait()",
        after="        start.is_set()",
        rules="S26",
        tests=("tests/host/test_exclusive.py::test_a_process_that_is_being_started_holds_no_disk",),
    ),
    Break(
        name="target-goes-lazily",
        file="host/mount_calls.py",
        before="_UMOUNT_NOFOLLOW = 8\n",
        after="_UMOUNT_NOFOLLOW = 8 | 2\n",
        rules="D6",
        tests=("tests/node/test_life_on_a_node.py::test_unpublish_names_who_has_the_target_busy",),
    ),
    Break(
        name="target-goes-by-a-process-that-can-come-late",
        file="host/mounts.py",
        before="        if not self._is_shown_elsewhere(top):\n",
        after="        if path:\n",
        rules="D14, S15",
        tests=(
            "tests/node/test_failures_on_the_way.py"
            "::test_no_process_that_could_come_late_takes_a_target_away",
        ),
    ),
    Break(
        name="only-the-topmost-mount-goes",
        file="host/mounts.py",
        before="and len(layers) < len(before):\n                continue",
        after="and len(layers) < len(before):\n                return",
        rules="S14, D4",
        tests=(
            "tests/node/test_life_on_a_node.py::test_every_layer_goes_and_the_target_with_it",
            "tests/node/test_life_on_a_node.py::test_unstage_takes_every_layer",
        ),
    ),
    Break(
        name="umount-is-believed",
        file="host/mounts.py",
        before=" and len(layers) < len(before):\n                continue",
        after=":\n                layers = before[:-1]\n                continue",
        rules="D4",
        tests=("tests/node/test_failures_on_the_way.py::test_an_umount_that_lies_is_not_believed",),
    ),
    Break(
        name="disk-that-comes-late-is-missing",
        file="host/devices.py",
        before="        while device is None and patience.remaining():",
        after="        while device is None and not patience:",
        rules="S6",
        tests=(f"{_DEVICES}::test_a_disk_that_comes_late_is_waited_for",),
    ),
    Break(
        name="stranger-that-hangs-ends-the-wait",
        file="host/devices.py",
        before="            if self._linked(serial_of(volume_uuid)) in suspects:",
        after="            if suspects:",
        rules="S6, S26",
        tests=(
            f"{_DEVICES}::test_a_disk_that_comes_late_is_waited_for_beside_a_stranger_that_hangs",
        ),
    ),
    Break(
        name="own-disk-that-hangs-is-waited-for",
        file="host/devices.py",
        before="            if self._linked(serial_of(volume_uuid)) in suspects:",
        after="            if suspects is None:",
        rules="S26",
        tests=(f"{_DEVICES}::test_a_disk_that_hangs_and_is_the_volumes_own_is_not_waited_for",),
    ),
    Break(
        name="bus-is-not-scanned",
        file="host/devices.py",
        before="            self._scan()\n",
        after="",
        rules="S6",
        tests=(f"{_DEVICES}::test_the_bus_is_scanned_before_giving_up",),
    ),
    Break(
        name="serials-that-are-there-are-not-named",
        file="host/devices.py",
        before='f"serials present: {present[:300]}; the node keeps looking"',
        after='"the node keeps looking"',
        rules="S6, F11",
        tests=(f"{_DEVICES}::test_a_disk_that_is_missing_is_reported_with_those_that_are_there",),
    ),
    Break(
        name="link-of-udev-decides",
        file="host/devices.py",
        before="        if linked is not None and self._has_no_serial(linked):",
        after="        if linked is not None:",
        rules="D2",
        tests=(_DEVICES,),
    ),
    Break(
        name="first-of-two-disks-with-one-serial-is-taken",
        file="host/devices.py",
        before="        if len(names) > 1:",
        after="        if len(names) > 9:",
        rules="D2",
        tests=(f"{_DEVICES}::test_two_disks_with_one_serial_are_both_refused",),
    ),
    Break(
        name="silent-disk-is-somebody-elses",
        file="host/devices.py",
        before="        return None, tuple(sorted(silent))",
        after="        return None, ()",
        rules="D4, S26",
        tests=(_DEVICES,),
    ),
    Break(
        name="container-without-propagation-is-taken",
        file="host/mounts.py",
        before='    if mount is not None and mount.target != Path("/"):',
        after='    if mount is not None and mount.target == Path("/nowhere"):',
        rules="S15",
        tests=(
            "tests/host/test_mounts.py"
            "::test_a_container_without_bidirectional_propagation_is_refused_at_start",
        ),
    ),
    Break(
        name="ext4-is-too-new-for-old-kernels",
        file="host/profiles.py",
        before="extra_isize,metadata_csum",
        after="extra_isize,metadata_csum,metadata_csum_seed",
        rules="S17",
        tests=(f"{_PROFILES}::test_ext_has_these_features_and_no_others",),
    ),
    Break(
        name="xfs-is-too-new-for-old-kernels",
        file="host/profiles.py",
        before='_XFS_OLD = "bigtime=0,',
        after='_XFS_OLD = "bigtime=1,',
        rules="S17",
        tests=(f"{_PROFILES}::test_xfs_has_this_geometry",),
    ),
    Break(
        name="kernel-is-not-quoted",
        file="host/mounts.py",
        before="{ended.complaint} {kernel.last_about(device)}",
        after="{ended.complaint}",
        rules="S17, F11",
        tests=(
            f"{_PROFILES}"
            "::test_a_file_system_that_the_kernel_refuses_is_explained_in_its_own_words",
        ),
    ),
    Break(
        name="sectors-of-512-bytes-are-made",
        file="host/profiles.py",
        before="_SECTOR_BYTES = 4096",
        after="_SECTOR_BYTES = 512",
        rules="S25, N9",
        tests=(f"{_PROFILES}::test_xfs_has_this_geometry",),
    ),
    Break(
        name="hung-calls-have-no-limit",
        file="host/workers.py",
        before="_MOST_CALLS = 16",
        after="_MOST_CALLS = 64",
        rules="S26, S16",
        tests=_WORKERS,
    ),
    Break(
        name="kubelets-questions-take-the-place-of-a-volume-that-leaves",
        file="host/workers.py",
        before="_KEPT_FREE = 4",
        after="_KEPT_FREE = 0",
        rules="S26",
        tests=_WORKERS,
    ),
    Break(
        name="one-hung-disk-takes-every-place-of-those-who-wait",
        file="host/workers.py",
        before="_MOST_WAITING_FOR_ONE = 8",
        after="_MOST_WAITING_FOR_ONE = 16",
        rules="S26",
        tests=_WORKERS,
    ),
    Break(
        name="check-that-stopped-for-a-moment-leaves-it-small",
        file="host/checking.py",
        before="if fully and _UNKNOWN_FEATURES not in ended.complaint:",
        after="if False:",
        rules="S8",
        tests=(
            "tests/node/test_life_on_a_node.py::"
            "test_a_check_that_stopped_for_a_moment_does_not_leave_a_file_system_small",
        ),
    ),
    Break(
        name="host-without-files-makes-a-disk-absent",
        file="host/exhaustion.py",
        before="    if error.errno in _OF_THE_HOST:",
        after="    if not error.errno:",
        rules="D4, S26",
        tests=("tests/host/test_exhaustion.py",),
    ),
    Break(
        name="btrfs-grows-on-its-first-device",
        file="host/growing.py",
        before='f"{btrfs_device_of(device)}:max"',
        after='"max"',
        rules="S8, F9",
        tests=("tests/node/test_life_on_a_node.py::test_a_btrfs_that_has_left_another_disk_grows",),
    ),
)
