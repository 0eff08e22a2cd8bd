"""Breaks of the room that asks Kubernetes."""

from __future__ import annotations

from tests.mutants.breaks import Break

_IDENTITY = "tests/apiserver/test_identity.py"
_CLUSTER = "tests/apiserver/test_cluster_id.py"
_TAINT = "tests/apiserver/test_startup_taint.py"
_PRE_STOP = "tests/apiserver/test_pre_stop.py"
_UNINSTALLED = "test_a_plugin_that_is_uninstalled_leaves_no_socket_until_it_is_installed_again"
_LIMIT = "tests/node/test_attach_limit.py"
_CLIENT = "tests/apiserver/test_client.py"
_ODD = f"{_IDENTITY}::test_an_answer_that_makes_no_sense_is_no_end"

BREAKS = (
    Break(
        name="api-server-is-trusted-unseen",
        file="kubernetes/server.py",
        before="        context.load_verify_locations(",
        after="        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n"
        "        context.load_verify_locations(",
        rules="S10",
        tests=(f"{_IDENTITY}::test_the_authority_is_read_again_when_it_is_renewed",),
    ),
    Break(
        name="refusals-are-said-each-time",
        file="kubernetes/server.py",
        before="now - last < self._timing.kubernetes_complaint:",
        after="now < last:",
        rules="S11",
        tests=(f"{_IDENTITY}::test_a_refusal_is_said_once_a_minute",),
    ),
    Break(
        name="api-server-may-drip-for-ever",
        file="kubernetes/connection.py",
        before="        self._sock.settimeout(_left(self._deadline))\n"
        "        count = self._sock.recv_into(buffer)",
        after="        count = self._sock.recv_into(buffer)",
        rules="S10",
        tests=(f"{_CLIENT}::test_an_answer_that_drips_ends_at_the_deadline",),
    ),
    Break(
        name="socket-is-closed-before-the-body-is-read",
        file="kubernetes/connection.py",
        before='        """Keep the socket open: the answer\'s body is still read from it."""',
        after="        self._sock.close()",
        rules="S10",
        tests=(f"{_CLIENT}::test_an_object_larger_than_any_buffer_is_read",),
    ),
    Break(
        name="answer-that-ended-early-is-whole",
        file="kubernetes/connection.py",
        before="    if response.length:",
        after="    if response.length and not body:",
        rules="S10",
        tests=(_ODD,),
        equivalent="half an object is no JSON, so the next line of defence refuses it",
    ),
    Break(
        name="zone-is-read-from-the-region-first",
        file="host/node_object.py",
        before="labels.get(_ZONE) or labels.get(_REGION)",
        after="labels.get(_REGION) or labels.get(_ZONE)",
        rules="S10",
        tests=(f"{_IDENTITY}::test_the_zone_counts_before_the_region",),
    ),
    Break(
        name="taint-goes-before-the-driver-is-registered",
        file="node/registered.py",
        before="            if not is_registered:",
        after="            if is_registered is None:",
        rules="S11",
        tests=(f"{_TAINT}::test_the_taint_stays_until_csinode_lists_the_driver_and_its_limit",),
    ),
    Break(
        name="registration-is-shown-once",
        file="metrics.py",
        before="        metric.set(value)\n        if metric not in self._with_value:\n",
        after="        if metric not in self._with_value:\n            metric.set(value)\n",
        rules="F7",
        tests=(f"{_TAINT}::test_metric_shows_whether_csinode_lists_the_driver",),
    ),
    Break(
        name="taint-goes-before-the-limit-is-known",
        file="kubernetes/fields.py",
        before="return value if isinstance(value, int) and not isinstance(value, bool) else None",
        after="return value if isinstance(value, int) else 0",
        rules="S11",
        tests=(f"{_TAINT}::test_the_taint_stays_until_csinode_lists_the_driver_and_its_limit",),
    ),
    Break(
        name="taint-that-comes-back-stays",
        file="node/registered.py",
        before="        again = self._timing.registered_again",
        after="        again = 86400.0",
        rules="S11",
        tests=(f"{_TAINT}::test_a_taint_that_comes_back_goes_again",),
    ),
    Break(
        name="taints-of-others-are-removed",
        file="kubernetes/client.py",
        before='if each.get("key") != key]',
        after='if each.get("key") == "other"]',
        rules="S11",
        tests=(f"{_TAINT}::test_no_other_taint_is_touched",),
    ),
    Break(
        name="taint-that-was-just-set-is-lost",
        file="kubernetes/client.py",
        before='            {"op": "test", "path": "/spec/taints", "value": list(node.taints)},\n',
        after="",
        rules="S11",
        tests=(f"{_TAINT}::test_a_taint_that_is_set_meanwhile_is_kept",),
    ),
    Break(
        name="node-that-stays-waits-too",
        file="tools/pre_stop.py",
        before="        return node.is_leaving",
        after="        return node.is_leaving or bool(node.name)",
        rules="S22",
        tests=(f"{_PRE_STOP}::test_a_node_that_stays_waits_for_nothing",),
    ),
    Break(
        name="volumes-of-other-drivers-are-waited-for",
        file="tools/pre_stop.py",
        before="if (each.node_name, each.driver_name) == (self._node_name, self._driver_name)",
        after="if each.node_name == self._node_name",
        rules="S22",
        tests=(f"{_PRE_STOP}::test_a_node_that_leaves_waits_for_its_own_volumes_alone",),
    ),
    Break(
        name="hook-waits-as-long-for-a-dead-api-server",
        file="tools/pre_stop.py",
        before="deadline.within(self._timing.pre_stop_patience)",
        after="deadline",
        rules="S22",
        tests=(f"{_PRE_STOP}::test_an_api_server_that_is_away_does_not_hold_up_the_end_for_long",),
    ),
    Break(
        name="plugin-that-was-uninstalled-comes-back",
        file="csi/registration.py",
        before="        if self._farewell.was_said():",
        after="        if self._farewell is None:",
        rules="S22",
        tests=(f"{_PRE_STOP}::{_UNINSTALLED}",),
    ),
    Break(
        name="plugin-that-is-installed-again-stays-away",
        file="csi/registration.py",
        before="        self._farewell.forget()\n",
        after="",
        rules="S22",
        tests=(f"{_PRE_STOP}::{_UNINSTALLED}",),
    ),
    Break(
        name="list-that-expired-is-an-error",
        file="kubernetes/pages.py",
        before="        except KubernetesExpired:\n            continue",
        after="        except KubernetesExpired:\n            break",
        rules="S22",
        tests=(f"{_PRE_STOP}::test_a_list_that_expires_between_two_pages_begins_again",),
        equivalent="a list that expired begins again after the loop as well, only less often",
    ),
    Break(
        name="only-the-first-page-is-read",
        file="kubernetes/pages.py",
        before='if not (token := text(page, "metadata", "continue")):',
        after='if not (token := text({}, "metadata", "continue")):',
        rules="S22",
        tests=(f"{_PRE_STOP}::test_attachments_are_listed_page_by_page",),
    ),
    Break(
        name="foreign-volumes-take-no-slot",
        file="node/attach_limit.py",
        before="return max(1, self._most - self._foreign)",
        after="return max(1, self._most)",
        rules="S9",
        tests=(f"{_LIMIT}::test_foreign_volumes_are_subtracted_and_never_leave_nothing",),
    ),
    Break(
        name="limit-can-be-nothing",
        file="node/attach_limit.py",
        before="return max(1, self._most - self._foreign)",
        after="return max(0, self._most - self._foreign)",
        rules="S9",
        tests=(f"{_LIMIT}::test_foreign_volumes_are_subtracted_and_never_leave_nothing",),
    ),
    Break(
        name="foreign-volumes-take-two-slots",
        file="node/attach_limit.py",
        before="max(0, self._most - self._occupancy.attached())",
        after="max(0, self.limit() - self._occupancy.attached())",
        rules="N3",
        tests=("tests/node/test_free_slots.py",),
    ),
    Break(
        name="volume-that-leaves-is-foreign",
        file="node/attach_limit.py",
        before="        self._own &= attached\n",
        after="        self._own = frozenset()\n",
        rules="S9",
        tests=(f"{_LIMIT}::test_a_volume_that_leaves_is_not_foreign",),
    ),
    Break(
        name="volume-that-has-just-come-is-foreign",
        file="node/attach_limit.py",
        before="sum(age >= self._timing.attachments_grace for age in ages)",
        after="len(ages)",
        rules="S9",
        tests=(f"{_LIMIT}::test_a_volume_that_has_just_come_is_foreign_only_if_it_stays_unlisted",),
    ),
    Break(
        name="api-server-is-asked-though-all-is-known",
        file="node/attach_limit.py",
        before="        if not attached <= self._own:",
        after="        if attached:",
        rules="S9",
        tests=(f"{_LIMIT}::test_what_is_listed_needs_no_question",),
    ),
    Break(
        name="volumes-of-other-drivers-are-own",
        file="kubernetes/nodes.py",
        before="if driver == driver_name)",
        after="if driver)",
        rules="S9",
        tests=(f"{_LIMIT}::test_the_drivers_own_volumes_are_none_of_them",),
    ),
    Break(
        name="cluster-that-is-not-known-is-none",
        file="controller/cluster.py",
        before="        if self._id is None:\n            raise",
        after="        if self._id is None and not self._failure:\n            raise",
        rules="D12, C4",
        tests=(f"{_CLUSTER}::test_nothing_is_made_or_deleted_before_the_cluster_is_known",),
    ),
    Break(
        name="controller-is-ready-before-it-knows-its-cluster",
        file="app/controller.py",
        before="cluster.trouble() or readiness.trouble()",
        after="readiness.trouble()",
        rules="D12, N14",
        tests=(f"{_CLUSTER}::test_nothing_is_made_or_deleted_before_the_cluster_is_known",),
    ),
    Break(
        name="csinode-of-a-dead-node-removes-the-taint",
        file="app/own_node.py",
        before='return found.node_uid in ("", kubernetes.get_node(name, deadline).uid)',
        after="return True",
        rules="S11",
        tests=(
            "tests/apiserver/test_startup_taint.py"
            "::test_csinode_of_an_earlier_node_of_the_name_does_not_count",
        ),
    ),
    Break(
        name="lost-registration-is-only-shown",
        file="node/registered.py",
        before="            self._repeat()\n",
        after="",
        rules="S27",
        tests=(
            "tests/apiserver/test_startup_taint.py"
            "::test_driver_that_csinode_has_lost_is_registered_again",
        ),
    ),
)
