"""Breaks of the room csi: what requests say, what is wrong with them, and what is answered."""

from __future__ import annotations

from tests.mutants.breaks import Break

_FLAWS = "tests/csi/test_bad_input.py::test_a_flaw_is_named_and_nothing_happens"
_CLASSES = ("tests/csi/test_bad_input.py::test_a_class_parameter_that_is_wrong_is_named",)
_CREATE = "tests/controller/test_create_volume.py"
_NAMES = "tests/controller/test_names_and_labels.py"

BREAKS = (
    Break(
        name="host-flags-reach-the-kernel",
        file="csi/capabilities.py",
        before="asked = without_host_flags(tuple(mount.mount_flags), filesystem)",
        after="asked = tuple(mount.mount_flags)",
        rules="F8",
        tests=(
            "tests/node/test_takeover.py::test_mount_options_of_the_vendor_s_classes_are_left_out",
        ),
    ),
    Break(
        name="xfs-is-told-about-errors",
        file="options.py",
        before="filesystem in _EXT and flag in",
        after="flag in",
        rules="F13",
        tests=("tests/node/test_takeover.py::test_what_xfs_does_about_errors_is_no_mount_option",),
    ),
    Break(
        name="required-field-may-be-missing",
        file="csi/fields.py",
        before="        if not _is_present(request, name):",
        after="        if False:",
        rules="S4",
        tests=(f"{_FLAWS}[DeleteVolume-volume_id-missing]",),
    ),
    Break(
        name="text-may-be-of-any-size",
        file="csi/fields.py",
        before="    if size_bytes > limit:",
        after="    if False:",
        rules="S4",
        tests=(f"{_FLAWS}[CreateVolume-name-oversized]",),
    ),
    Break(
        name="map-may-be-of-any-size",
        file="csi/fields.py",
        before="    if size_bytes > MAP_BYTES:",
        after="    if False:",
        rules="S4",
        tests=_CLASSES,
    ),
    Break(
        name="name-may-hold-control-characters",
        file="csi/fields.py",
        before="    if _CONTROL.search(text):",
        after="    if False:",
        rules="S4",
        tests=(f"{_FLAWS}[CreateVolume-name-wrong]",),
    ),
    Break(
        name="path-may-climb",
        file="csi/fields.py",
        before='or ".." in path.parts',
        after="",
        rules="S16",
        tests=(f"{_FLAWS}[NodeStageVolume-staging_target_path-climbing]",),
    ),
    Break(
        name="relative-path-is-accepted",
        file="csi/fields.py",
        before="    if not path.is_absolute():\n        raise NotFound",
        after="    if False:\n        raise NotFound",
        rules="S16",
        tests=(f"{_FLAWS}[NodeGetVolumeStats-volume_path-relative]",),
    ),
    Break(
        name="volume-is-block-and-mount",
        file="csi/capabilities.py",
        before="    if len({type(access) for access in accesses}) > 1:",
        after="    if False:",
        rules="F15",
        tests=(f"{_FLAWS}[CreateVolume-volume_capabilities-both-kinds]",),
    ),
    Break(
        name="group-of-a-mount-is-ignored",
        file="csi/capabilities.py",
        before="    if mount.volume_mount_group:",
        after="    if False:",
        rules="F15",
        tests=(f"{_FLAWS}[CreateVolume-volume_capabilities-group]",),
    ),
    Break(
        name="restored-volume-may-be-formatted",
        file="csi/controller_requests.py",
        before="self._labelling, restored=has_source)",
        after="self._labelling, restored=False)",
        rules="D1",
        tests=(f"{_CREATE}::test_a_restore_carries_its_source_and_is_as_large_as_asked",),
    ),
    Break(
        name="attach-ignores-readonly",
        file="csi/controller_requests.py",
        before="        if request.readonly:",
        after="        if False:",
        rules="F15",
        tests=("tests/csi/test_bad_input.py::test_a_read_only_attach_is_refused",),
    ),
    Break(
        name="detach-without-a-node-does-nothing",
        file="csi/controller_requests.py",
        before="            return volume_id, None",
        after="            return None",
        rules="S1",
        tests=(
            "tests/controller/test_attachments.py"
            "::test_detach_without_a_node_detaches_from_wherever_it_is",
        ),
    ),
    Break(
        name="node-that-is-none-detaches-from-everywhere",
        file="csi/controller_requests.py",
        before="        return None if node_id is None else (volume_id, node_id)",
        after="        return volume_id, node_id",
        rules="S2",
        tests=(
            "tests/controller/test_attachments.py"
            "::test_a_node_that_cannot_be_detaches_the_volume_from_nowhere",
        ),
    ),
    Break(
        name="preferred-zone-comes-last",
        file="csi/controller_requests.py",
        before="(*requirement.preferred, *requirement.requisite)",
        after="(*requirement.requisite, *requirement.preferred)",
        rules="S12",
        tests=("tests/controller/test_zones.py::test_the_preferred_zone_comes_first",),
    ),
    Break(
        name="page-may-be-negative",
        file="csi/controller_requests.py",
        before="    if number < 0:",
        after="    if False:",
        rules="S18",
        tests=("tests/csi/test_bad_input.py::test_a_negative_page_is_refused",),
    ),
    Break(
        name="filter-that-matches-nothing-lists-all",
        file="csi/controller_requests.py",
        before=(
            "        if (request.source_volume_id and volume_id is None) or (\n"
            "            request.snapshot_id and snapshot_id is None\n"
            "        ):\n"
        ),
        after="        if False:\n",
        rules="S18",
        tests=("tests/controller/test_snapshots.py::test_lists_honour_both_filters",),
    ),
    Break(
        name="expansion-of-no-size-is-taken",
        file="csi/controller_requests.py",
        before="        if not size.required_bytes and not size.limit_bytes:",
        after="        if False:",
        rules="S7",
        tests=(f"{_FLAWS}[ControllerExpandVolume-capacity_range-empty]",),
    ),
    Break(
        name="node-does-not-check-options-again",
        file="csi/node_requests.py",
        before="        context.options.check(access.filesystem)",
        after="        pass",
        rules="F13",
        tests=(
            "tests/csi/test_bad_input.py::test_an_attribute_that_is_wrong_is_named_on_the_node",
        ),
    ),
    Break(
        name="name-of-256-characters-is-given",
        file="csi/templates.py",
        before="        if len(name) > _NAME_LENGTH:",
        after="        if len(name) > _NAME_LENGTH + 1:",
        rules="N10",
        tests=(
            "tests/controller/test_names_and_labels.py"
            "::test_a_template_fills_a_name_to_its_last_character",
        ),
    ),
    Break(
        name="name-of-255-characters-is-too-long",
        file="csi/templates.py",
        before="        if len(name) > _NAME_LENGTH:",
        after="        if len(name) >= _NAME_LENGTH:",
        rules="N10",
        tests=(
            "tests/controller/test_names_and_labels.py"
            "::test_a_template_fills_a_name_to_its_last_character",
        ),
    ),
    Break(
        name="label-of-selinux-is-refused-in-quotes",
        file="allowlists.py",
        before="""_matches(r'"[\\w.:,-]+"|[\\w.:-]+')""",
        after="""_matches(r"[\\w.:-]+")""",
        rules="S24",
        tests=("tests/base/test_options.py",),
    ),
    Break(
        name="flags-are-split-at-commas",
        file="options.py",
        before='    others = (flag for flag in reversed(flags) if flag not in ("ro", "rw"))',
        after='    split = ",".join(flags).split(",")\n'
        '    others = (flag for flag in reversed(split) if flag not in ("ro", "rw"))',
        rules="S24, S28",
        tests=("tests/base/test_options.py",),
    ),
)
