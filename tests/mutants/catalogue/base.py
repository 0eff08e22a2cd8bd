"""Breaks of the base: sizes, deadlines, holds, options, credentials, ids."""

from __future__ import annotations

from tests.mutants.breaks import Break

_CAPACITY = ("tests/base/test_capacity.py",)
_CONCURRENCY = ("tests/base/test_concurrency.py", "tests/base/test_holds.py")
_OPTIONS = ("tests/base/test_options.py",)
_CREDENTIALS = ("tests/base/test_credentials.py",)

BREAKS = (
    Break(
        name="sizes-are-rounded-down",
        file="capacity.py",
        before="return -(-size_bytes // BYTES_PER_GIB)",
        after="return size_bytes // BYTES_PER_GIB",
        rules="C5",
        tests=_CAPACITY,
    ),
    Break(
        name="limit-is-ignored",
        file="capacity.py",
        before="    if not wanted.allows(size_gib):",
        after="    if False and not wanted.allows(size_gib):",
        rules="C5",
        tests=_CAPACITY,
    ),
    Break(
        name="minimum-is-ignored",
        file="capacity.py",
        before="max(gib_ceil(wanted.required_bytes), limits.min_gib)",
        after="gib_ceil(wanted.required_bytes)",
        rules="C5",
        tests=_CAPACITY,
    ),
    Break(
        name="maximum-is-one-less",
        file="capacity.py",
        before="if size_gib > max_gib:",
        after="if size_gib >= max_gib:",
        rules="C5",
        tests=_CAPACITY,
    ),
    Break(
        name="run-under-way-is-joined",
        file="concurrency.py",
        before="            answer, self._next = self._next, None\n            self._running",
        after="            answer = self._next\n            self._running",
        rules="S20, C1",
        tests=_CONCURRENCY,
    ),
    Break(
        name="hold-outlives-an-exception",
        file="concurrency.py",
        before="            with self._lock:\n                del self._holders[thing]",
        after="            pass",
        rules="S5",
        tests=_CONCURRENCY,
    ),
    Break(
        name="held-thing-is-shared",
        file="concurrency.py",
        before="        if holder is not mine:",
        after="        if holder is None:",
        rules="S5",
        tests=_CONCURRENCY,
    ),
    Break(
        name="background-dies-of-an-exception",
        file="background.py",
        before="            return self._restart_seconds",
        after="            return None",
        rules="S27",
        tests=("tests/base/test_background.py",),
    ),
    Break(
        name="background-counts-nothing",
        file="background.py",
        before="            self._count_error()",
        after="            pass",
        rules="S27",
        tests=("tests/base/test_background.py",),
    ),
    Break(
        name="written-pv-is-formatted",
        file="options.py",
        before="usual = FormatPolicy.IF_BLANK if dynamic else FormatPolicy.NEVER",
        after="usual = FormatPolicy.IF_BLANK",
        rules="F9, D1",
        tests=_OPTIONS,
    ),
    Break(
        name="partition-is-formatted",
        file="options.py",
        before="    if partition is not None and policy is not FormatPolicy.NEVER:",
        after="    if partition is not None and policy is None:",
        rules="F9, D1",
        tests=_OPTIONS,
    ),
    Break(
        name="small-blocks-are-taken",
        file="options.py",
        before="if not is_power_of_two(4096, 65536)(text):",
        after="if not is_power_of_two(512, 65536)(text):",
        rules="N9, S25",
        tests=_OPTIONS,
    ),
    Break(
        name="encryption-is-ignored",
        file="options.py",
        before='    if boolean(parameters, "encrypted"):',
        after='    if not boolean(parameters, "encrypted") and False:',
        rules="F10",
        tests=_OPTIONS,
    ),
    Break(
        name="half-a-key-is-taken",
        file="credentials.py",
        before="        if not part:",
        after="        if part is None:",
        rules="F1",
        tests=_CREDENTIALS,
    ),
    Break(
        name="secret-shows-in-a-trace",
        file="credentials.py",
        before="    secret: str = field(repr=False)",
        after="    secret: str",
        rules="F12",
        tests=_CREDENTIALS,
    ),
    Break(
        name="id-with-a-line-break-is-one",
        file="model.py",
        before="match = _ID.fullmatch(text)",
        after="match = _ID.match(text)",
        rules="S2",
        tests=("tests/base/test_model.py",),
    ),
    Break(
        name="unknown-state-raises",
        file="states.py",
        before='        return cls("unknown") if value != "unknown" else None',
        after="        return None",
        rules="S4",
        tests=("tests/base/test_model.py",),
    ),
    Break(
        name="two-misses-are-the-end",
        file="probes.py",
        before="_MISSES = 3",
        after="_MISSES = 2",
        rules="N14",
        tests=("tests/base/test_probes.py",),
    ),
)
