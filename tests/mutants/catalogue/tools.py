"""Breaks of the commands that an operator types."""

from __future__ import annotations

from tests.mutants.breaks import Break

_ORPHANS = "tests/tools/test_orphans.py"

BREAKS = (
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
)
