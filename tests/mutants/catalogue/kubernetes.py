"""Breaks of the room that asks Kubernetes."""

from __future__ import annotations

from tests.mutants.breaks import Break

_IDENTITY = "tests/apiserver/test_identity.py"
_ODD = f"{_IDENTITY}::test_an_answer_that_makes_no_sense_is_no_end"

BREAKS = (
    Break(
        name="api-server-is-trusted-unseen",
        file="kubernetes/server.py",
        before="        context.load_verify_locations(",
        after="        context.check_hostname = False\n        context.verify_mode = ssl.CERT_NONE\n"
        "        context.load_verify_locations(",
        rules="S10",
        tests=(f"{_IDENTITY}::test_the_authority_is_read_again_when_it_is_renewed",),
    ),
    Break(
        name="refusals-are-said-each-time",
        file="kubernetes/server.py",
        before="            if last is not None and now - last < self._timing.kubernetes_complaint:",
        after="            if last is not None and last > now:",
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
        tests=(_ODD,),
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
)
