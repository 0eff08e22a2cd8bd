"""Breaks of the host: the proofs before mkfs, who holds a disk, what reaches a disk."""

from __future__ import annotations

from tests.mutants.breaks import Break

_EXCLUSIVE = ("tests/host/test_exclusive.py",)
_HELD = "tests/node/test_ways_to_hold_a_disk.py"
_RAW = f"{_HELD}::test_a_raw_device_that_is_open_through_another_node_is_held"
_TRACES = "tests/node/test_foreign_traces.py"
_NOISE = "tests/node/test_noise.py"

_ASKED = "tests/host/test_disk_calls.py"

BREAKS = (
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
        before="return _is_zero(self.head) and _is_zero(self.tail)",
        after="return _is_zero(self.head)",
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
        before='self.check(volume_id, content, context.created_at)\n        logs.step("stage: m',
        after='logs.step("stage: m',
        rules="D1",
        tests=(
            "tests/node/test_long_work.py"
            "::test_what_was_written_while_mkfs_waited_for_its_turn_is_not_formatted",
        ),
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
        name="name-of-a-device-holds-it",
        file="host/processes.py",
        before=" and not _only_names(link)",
        after="",
        rules="D4",
        tests=(f"{_HELD}::test_a_name_that_opens_nothing_holds_nothing",),
    ),
    Break(
        name="mapping-holds-nothing",
        file="host/processes.py",
        before=" or self._has_mapped(process, sought, mapped)",
        after="",
        rules="D4",
        tests=(f"{_RAW}[map]",),
    ),
    Break(
        name="other-threads-hold-nothing",
        file="host/processes.py",
        before='            yield f"{process}/task/{thread}/fd"\n',
        after="",
        rules="D4",
        tests=(f"{_RAW}[thread]",),
    ),
    Break(
        name="loop-device-holds-nothing",
        file="host/holders.py",
        before="            self._backing_loops,\n",
        after="",
        rules="D4",
        tests=(f"{_HELD}::test_a_loop_device_on_a_raw_device_holds_it",),
    ),
    Break(
        name="lost-writes-are-not-reported",
        file="host/writeback.py",
        before="        if self._note(volume, reason):",
        after="        if self._note(volume, reason) is None:",
        rules="D14",
        tests=(
            "tests/node/test_written_back.py"
            "::test_a_raw_volume_that_can_t_be_written_back_is_kept_once",
        ),
    ),
)
