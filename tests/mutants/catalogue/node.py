"""Breaks of the node: how a volume comes to its pods, and leaves."""

from __future__ import annotations

from tests.mutants.breaks import Break

_LIFE = "tests/node/test_life_on_a_node.py"
_DEADLINES = "tests/node/test_deadlines.py"
_FAILURES = "tests/node/test_failures_on_the_way.py"
_FROZEN = "tests/node/test_frozen.py"
_FROZEN_GROWTH = "tests/node/test_frozen_growth.py"
_FLAGS = "tests/node/test_mount_flags.py"
_NOISE = "tests/node/test_noise.py"
_WRITTEN = "tests/node/test_written_back.py"

_PROTECTED = "tests/node/test_write_protection.py"
_HUNG = "tests/node/test_hung_disks.py"
_HUNG_PROCESSES = "tests/node/test_hung_processes.py"

BREAKS = (
    Break(
        name="protection-of-others-is-lifted",
        file="node/publishing.py",
        before="        if protected != read_only:\n            change",
        after="        if protected or read_only:\n            change",
        rules="D7, F15",
        tests=(f"{_PROTECTED}::test_a_protection_that_somebody_else_has_set_stays",),
    ),
    Break(
        name="protection-stays-after-the-last-pod",
        file="node/publishing.py",
        before="                self._protections.lift(volume_id, deadline)\n",
        after="                pass\n",
        rules="D7",
        tests=(
            f"{_PROTECTED}"
            "::test_the_protection_of_a_raw_read_only_publish_goes_with_its_last_target",
        ),
    ),
    Break(
        name="raw-data-passes-for-an-interrupted-mkfs",
        file="node/publishing.py",
        before="                self._formatter.give_up(volume_id)\n",
        after="",
        rules="D1, D10",
        tests=(
            "tests/node/test_long_work.py"
            "::test_what_a_pod_wrote_raw_is_not_taken_for_what_mkfs_left",
        ),
    ),
    Break(
        name="mount-that-outlives-the-driver-holds-nothing",
        file="host/mounts.py",
        before="inherited=(held, lock), spared",
        after="inherited=(lock,), spared",
        rules="D4",
        tests=(
            "tests/node/test_ways_to_hold_a_disk.py"
            "::test_a_mount_that_outlived_its_driver_holds_the_disk",
        ),
    ),
    Break(
        name="what-was-unmounted-before-may-be-raw",
        file="node/release.py",
        before="            if layers:\n                self.note_file_system(volume_id, device)\n",
        after="            self.forget(volume_id)\n"
        "            if layers:\n                self.note_file_system(volume_id, device)\n",
        rules="S26",
        tests=(
            "tests/node/test_hung_processes.py"
            "::test_what_an_unstage_that_failed_has_unmounted_is_no_raw_device",
        ),
    ),
    Break(
        name="staged-otherwise-is-final",
        file="node/staging.py",
        before="_FINAL = (ForeignContent, InvalidRequest, Mismatch, NotFound, WrongState)",
        after="_FINAL = (ForeignContent, WrongState)",
        rules="D5",
        tests=(
            "tests/node/test_life_on_a_node.py"
            "::test_staged_otherwise_than_asked_is_refused_but_not_for_good",
        ),
    ),
    Break(
        name="staged-in-another-zone-is-final",
        file="csi/node.py",
        before="        except (InvalidRequest, NotFound) as error:",
        after="        except InvalidRequest as error:",
        rules="D5",
        tests=(
            "tests/node/test_foreign_paths.py"
            "::test_a_driver_that_takes_itself_for_another_leaves_no_staged_volume_mounted",
        ),
    ),
    Break(
        name="staged-outside-kubelets-folder-is-final",
        file="node/staging.py",
        before="            try:\n                self._territory.check_path(staging_path)\n",
        after="            self._territory.check_path(staging_path)\n            try:\n",
        rules="D5",
        tests=(
            "tests/node/test_foreign_paths.py"
            "::test_a_driver_that_takes_itself_for_another_leaves_no_staged_volume_mounted",
        ),
    ),
    Break(
        name="suspect-in-use-is-a-stranger",
        file="node/release.py",
        before="        if users or self._disk_calls.is_in_use(suspect, deadline):",
        after="        if users and self._disk_calls.is_in_use(suspect, deadline):",
        rules="D4",
        tests=(f"{_HUNG}::test_a_disk_that_may_be_the_volumes_own_and_is_in_use_keeps_it",),
    ),
    Break(
        name="id-with-another-zone-is-served",
        file="csi/node.py",
        before="        if volume_id.zone != zone:",
        after="        if not volume_id.zone:",
        rules="D1, D2",
        tests=("tests/node/test_foreign_paths.py::test_an_id_with_another_zone_stages_nothing",),
    ),
    Break(
        name="unstage-unmounts-below-a-pod",
        file="node/release.py",
        before="self._refuse_mounts(volume_id, numbers, superblocks, apart_from=real_path(path))",
        after="real_path(path)",
        rules="D4",
        tests=(f"{_LIFE}::test_unstage_is_refused_while_a_target_is_bound",),
    ),
    Break(
        name="mounts-are-not-checked-after-the-unmount",
        file="node/release.py",
        before="        self._refuse_mounts(volume_id, numbers, superblocks, apart_from=None)\n",
        after="",
        rules="D4",
        tests=(_LIFE,),
        equivalent="a mount that appears meanwhile is seen only between two steps of the call; "
        "the schedules of faults check there",
    ),
    Break(
        name="last-writes-stay-in-the-cache",
        file="node/release.py",
        before="            self._sync(volume_id, device)\n            self._wait_until_free("
        "volume_id, device, deadline)\n"
        "            self._sync(volume_id, device)",
        after="            self._wait_until_free(volume_id, device, deadline)",
        rules="D14",
        tests=(f"{_WRITTEN}::test_what_a_late_writer_lost_is_told_when_it_is_unstaged",),
    ),
    Break(
        name="mount-that-ends-during-the-search-is-missed",
        file="node/release.py",
        before=" or users_now() or (claimed := is_claimed()):",
        after=" or users_now():",
        rules="D4",
        tests=(
            "tests/node/test_ways_to_hold_a_disk.py"
            "::test_a_mount_that_ends_during_the_search_for_holders_is_no_surprise",
        ),
    ),
    Break(
        name="frozen-volume-waits-for-a-process-on-another-disk",
        file="host/thawing.py",
        before="self._processes.using(sought, skip_hung=skip_hung)",
        after="self._processes.using(sought)",
        rules="S26, D13",
        tests=(
            f"{_HUNG_PROCESSES}::test_a_volume_that_was_left_frozen_leaves_beside_a_process_that_hangs",
        ),
    ),
    Break(
        name="stage-of-what-is-frozen-waits-for-a-process-on-another-disk",
        file="node/frozen.py",
        before="            users = self._holders.of_device(numbers, skip_hung=True)",
        after="            users = self._holders.of_device(numbers)",
        rules="S26, D13",
        tests=(
            f"{_HUNG_PROCESSES}::test_a_volume_that_was_left_frozen_is_staged_beside_a_process_that_hangs",
        ),
    ),
    Break(
        name="unstage-leaves-it-frozen",
        file="node/release.py",
        before="                    and not users\n                    and self._frozen",
        after="                    and not users\n                    and not numbers\n"
        "                    and self._frozen",
        rules="D13",
        tests=(f"{_FROZEN}::test_a_volume_that_was_left_frozen_is_unstaged_and_staged_again",),
    ),
    Break(
        name="growth-keeps-a-frozen-volume",
        file="node/staging.py",
        before="            self._frozen.let_commands_end(volume_id, staging_path, deadline)\n",
        after="",
        rules="D13",
        tests=(
            f"{_FROZEN_GROWTH}::test_a_growth_that_an_earlier_driver_began_keeps_nothing_either",
        ),
    ),
    Break(
        name="unstage-thaws-what-is-not-the-volumes",
        file="node/staging.py",
        before="            self._territory.check_mounts(volume_id, staging_path, deadline)\n",
        after="",
        rules="S28",
        tests=(f"{_FROZEN_GROWTH}::test_another_volume_that_somebody_mounted_there_stays_frozen",),
    ),
    Break(
        name="freezer-beside-a-growth-is-robbed",
        file="node/frozen.py",
        before="                    self._refuse_others(volume_id, mount, commands)\n",
        after="",
        rules="D13",
        tests=(f"{_FROZEN_GROWTH}::test_a_freezer_at_work_beside_a_growth_is_left_alone",),
    ),
    Break(
        name="stage-leaves-it-frozen",
        file="node/staging.py",
        before="        self._frozen.recover(volume_id, device, deadline)\n",
        after="",
        rules="D13",
        tests=(f"{_FROZEN}::test_a_disk_that_an_earlier_driver_left_frozen_is_staged",),
    ),
    Break(
        name="command-of-an-earlier-driver-is-waited-for",
        file="node/frozen.py",
        before="            if commands := self._holders.commands_with(numbers):",
        after="            if commands := ():",
        rules="D10, S4",
        tests=(
            f"{_FROZEN}"
            "::test_a_disk_at_which_a_command_of_an_earlier_driver_works_is_not_waited_for",
        ),
    ),
    Break(
        name="who-has-claimed-a-disk-stays-unknown",
        file="node/frozen.py",
        before='        raise HostError(\n            f"volume {volume_id}: its disk',
        after='        raise OperationPending(\n            f"volume {volume_id}: its disk',
        rules="F11, D15",
        tests=(
            f"{_FROZEN}::test_a_disk_that_somebody_else_has_mounted_is_refused_with_who_has_it",
        ),
    ),
    Break(
        name="claim-of-a-moment-is-final",
        file="node/frozen.py",
        before="            if patience.remaining():\n                deadline.wait",
        after="            if not numbers:\n                deadline.wait",
        rules="D15",
        tests=(f"{_FROZEN}::test_a_disk_that_is_claimed_for_a_moment_is_waited_for",),
    ),
    Break(
        name="final-error-leaves-a-mount",
        file="node/staging.py",
        before="        if self._mounts.at(path) and not is_foreign:",
        after="        if self._mounts.at(path) and is_foreign:",
        rules="D5",
        tests=(
            "tests/node/test_failures_on_the_way.py"
            "::test_a_dead_file_system_that_is_in_use_does_not_end_a_stage_for_good",
        ),
    ),
    Break(
        name="mounted-volume-is-not-remembered",
        file="node/staging.py",
        before="        if not wants_read_only(access):\n            self._history",
        after="        if wants_read_only(access):\n            self._history",
        rules="N19",
        tests=(f"{_NOISE}::test_what_was_formatted_elsewhere_and_mounted_here_is_never_formatted",),
    ),
    Break(
        name="raw-volume-is-not-remembered",
        file="node/publishing.py",
        before="                self._history.remember(volume_id, context.age)\n",
        after="",
        rules="N19",
        tests=(f"{_NOISE}::test_what_was_published_raw_is_never_formatted",),
    ),
    Break(
        name="damaged-file-system-is-mounted-unchecked",
        file="node/mounting.py",
        before="        if check and writing:",
        after="        if check and not writing:",
        rules="D8",
        tests=("tests/node/test_checks.py::test_only_what_e2fsck_calls_sound_is_mounted",),
    ),
    Break(
        name="mount-is-not-proven",
        file="node/mounting.py",
        before="        if mounted != device.number or mounted not in self._devices.numbers(now):",
        after="        if now is None:",
        rules="D2",
        tests=(
            f"{_LIFE}::test_a_disk_that_was_swapped_while_it_was_mounted_is_let_go",
            "tests/node/test_failures_on_the_way.py::test_a_mount_that_lies_is_not_believed",
        ),
    ),
    Break(
        name="restored-xfs-does-not-mount",
        file="node/mounting.py",
        before='own = ("nouuid",)',
        after="own = ()",
        rules="D9",
        tests=(f"{_LIFE}::test_a_restored_volume_mounts_beside_its_source",),
    ),
    Break(
        name="image-may-stop-the-host",
        file="node/mounting.py",
        before='own = ("errors=remount-ro",)',
        after="own = ()",
        rules="D7, F17",
        tests=(
            "tests/node/test_hostile_checks.py"
            "::test_an_error_never_stops_the_host_nor_is_it_written_over",
        ),
    ),
    Break(
        name="single-writer-has-company",
        file="node/publishing.py",
        before="if access.mode is not AccessMode.SINGLE_NODE_SINGLE_WRITER:",
        after="if access.mode:",
        rules="F15",
        tests=(f"{_LIFE}::test_a_single_writer_has_one_target",),
    ),
    Break(
        name="reader-may-run-programs",
        file="node/publishing.py",
        before='flags = staged.flags | {"ro"} if read_only else staged.flags',
        after='flags = frozenset({"ro"}) if read_only else staged.flags',
        rules="S28",
        tests=(f"{_FLAGS}::test_a_target_has_every_flag_of_its_staging_mount",),
    ),
    Break(
        name="flags-are-not-proven",
        file="node/publishing.py",
        before="elif flags is not None and shown.flags != flags:",
        after="elif flags is not None and shown.flags is None:",
        rules="S28",
        tests=(f"{_FLAGS}::test_a_mount_that_drops_a_flag_is_not_handed_to_a_pod",),
    ),
    Break(
        name="swapped-raw-disk-is-handed-out",
        file="node/publishing.py",
        before="elif not self._devices.is_volume(device, volume_id.uuid):",
        after="elif device is None:",
        rules="D2",
        tests=(f"{_LIFE}::test_a_raw_disk_that_was_swapped_while_it_was_published_is_taken_away",),
    ),
    Break(
        name="mounted-disk-is-handed-out-raw",
        file="node/publishing.py",
        before="        self._refuse_file_system(volume_id, device)\n        others",
        after="        others",
        rules="F15",
        tests=(f"{_LIFE}::test_a_device_whose_file_system_is_mounted_is_not_handed_out_raw",),
    ),
    Break(
        name="raw-writes-stay-in-the-cache",
        file="node/publishing.py",
        before="if layer.is_block and layer.device is not None:",
        after="if layer.is_block and layer.device is None:",
        rules="D14",
        tests=(f"{_WRITTEN}::test_a_raw_volume_is_written_back_when_it_is_unpublished",),
    ),
    Break(
        name="disk-in-use-is-refused-at-once",
        file="node/release.py",
        before="            if not patience.remaining():\n                deadline.check()\n"
        "                users = users_now()",
        after="            if device:\n                deadline.check()\n"
        "                users = users_now()",
        rules="D6",
        tests=(f"{_FAILURES}::test_a_disk_that_is_let_go_late_is_waited_for",),
    ),
    Break(
        name="unstage-goes-on-without-its-caller",
        file="csi/node.py",
        before="self._staging.unstage(wanted.volume_id, wanted.path, deadline_of(context))",
        after="self._staging.unstage(wanted.volume_id, wanted.path, "
        "deadline_of(context).__class__(86400.0))",
        rules="S5, D6",
        tests=(
            f"{_DEADLINES}::test_an_unstage_of_a_disk_that_is_in_use_ends_in_time",
            f"{_DEADLINES}::test_an_unstage_of_a_mount_that_is_in_use_ends_in_time",
        ),
    ),
    Break(
        name="unpublish-goes-on-without-its-caller",
        file="csi/node.py",
        before="self._publishing.unpublish(wanted.volume_id, wanted.path, deadline_of(context))",
        after="self._publishing.unpublish(wanted.volume_id, wanted.path, "
        "deadline_of(context).__class__(86400.0))",
        rules="S5, D6",
        tests=(f"{_DEADLINES}::test_an_unpublish_of_a_target_that_is_in_use_ends_in_time",),
    ),
    Break(
        name="stage-goes-on-without-its-caller",
        file="node/staging.py",
        before="        device = disk = self._devices.find(volume_id.uuid, deadline)",
        after="        device = disk = self._devices.find(volume_id.uuid, type(deadline)(86400.0))",
        rules="S5, S6",
        tests=(f"{_DEADLINES}::test_a_stage_whose_disk_does_not_come_ends_in_time",),
    ),
    Break(
        name="repeated-publish-adds-a-mount-of-a-raw-device",
        file="node/publishing.py",
        before="        if mount is not None:\n            return\n"
        "        self._refuse_second_writer(",
        after="        self._refuse_second_writer(",
        rules="S14",
        tests=(f"{_LIFE}::test_repeated_calls_add_no_mount_of_a_raw_device",),
    ),
    Break(
        name="pod-of-a-disk-that-left-reaches-the-next",
        file="host/mountinfo.py",
        before='root.endswith("//deleted")',
        after='root.endswith("//removed")',
        rules="D2",
        tests=(f"{_LIFE}::test_a_raw_volume_isn_t_handed_out_while_another_pod_would_reach_it",),
    ),
    Break(
        name="disk-that-lost-its-serial-is-absent",
        file="node/release.py",
        before="            device = self._nameless(volume_id, layers)",
        after="            device = None",
        rules="D4",
        tests=(
            "tests/node/test_hung_disks.py"
            "::test_a_disk_that_has_lost_its_serial_is_proven_free_if_it_was_mounted",
        ),
    ),
    Break(
        name="disk-that-lost-its-serial-is-forgotten-once-unmounted",
        file="node/release.py",
        before="(*mounted, before.number if before else None)",
        after="mounted",
        rules="D4",
        tests=(
            "tests/node/test_hung_disks.py"
            "::test_a_disk_that_has_lost_its_serial_is_proven_free_if_it_was_mounted",
        ),
    ),
    Break(
        name="repeated-stage-mounts-again",
        file="node/staging.py",
        before="        if broken is None:\n            return True",
        after="        if broken is None:\n            return False",
        rules="S14, S15",
        tests=(
            "tests/node/test_process.py::test_a_killed_driver_leaves_mounts_that_its_successor_knows",
        ),
    ),
    Break(
        name="partition-beside-a-frozen-one-is-mounted",
        file="node/frozen.py",
        before="            if self._disk_calls.is_in_use(part, deadline)\n            and self",
        after="            if self",
        rules="D2, D13",
        tests=(f"{_FROZEN}::test_the_partition_beside_one_that_was_left_frozen_is_never_mounted",),
    ),
    Break(
        name="ext-that-can-t-grow-mounted-never-grows",
        file="node/mounting.py",
        before="            if access.filesystem not in EXT:\n                raise",
        after="            if access.filesystem:\n                raise",
        rules="S8",
        tests=(
            "tests/node/test_life_on_a_node.py"
            "::test_an_ext4_whose_disk_nobody_may_open_while_it_is_mounted_grows_before",
        ),
    ),
    Break(
        name="volume-that-was-never-mounted-may-be-raw",
        file="node/staging.py",
        before="        self._release.note_file_system(volume_id, disk)\n",
        after="",
        rules="S26",
        tests=(
            "tests/node/test_hung_processes.py"
            "::test_what_a_stage_that_failed_never_mounted_is_no_raw_device",
        ),
    ),
    Break(
        name="volume-that-came-back-is-never-published",
        file="node/repair.py",
        before="        self._release.clear_vanished(volume_id, device, path, deadline)\n",
        after="",
        rules="D7, S6",
        tests=(
            "tests/chaos/node/test_node_kill_points.py"
            "::test_a_pod_gets_a_volume_that_has_come_back_as_another_device",
        ),
    ),
    Break(
        name="volume-of-another-driver-counts-as-own",
        file="node/attach_limit.py",
        before="        self._own &= attached\n",
        after="        self._own &= attached\n"
        "        self._own |= attached - self._occupancy.unused()\n",
        rules="S9 F8",
        tests=("tests/node/test_attach_limit.py",),
    ),
    Break(
        name="repair-waits-for-the-number-that-the-disk-had",
        file="node/repair.py",
        before="        return self._repairs.unfinished(volume_id) == path and not",
        after="        noted = self._repairs._notes.read(volume_id)\n"
        "        disk = self._devices.present(volume_id.uuid)\n"
        "        if noted is None or noted[0] not in self._devices.numbers(disk):\n"
        "            return False\n"
        "        return self._repairs.unfinished(volume_id) == path and not",
        rules="D7",
        tests=(
            "tests/node/test_dead_file_systems.py"
            "::test_a_repair_goes_on_with_a_disk_that_comes_back_under_another_number",
        ),
    ),
    Break(
        name="growth-that-fails-takes-a-volume-from-its-pods",
        file="node/mounting.py",
        before="            if self._is_published(device, path):\n                log.warning",
        after="            if not path:\n                log.warning",
        rules="D15, S8",
        tests=(_LIFE + "::test_a_growth_that_fails_takes_no_volume_from_its_pods",),
    ),
)
