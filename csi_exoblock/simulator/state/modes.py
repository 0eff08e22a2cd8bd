"""List the open questions about the real API, and choose how this cloud answers them.

The first answer to each question is the default: it was seen on the real API, or is documented by
the vendor, or is the most likely one. A driver must be correct under all answers (requirements,
section 8), because an answer that was seen on one account can differ on another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum


class Question(Enum):
    """A question about the real API: its name, its wording, and the possible answers."""

    NAMES_UNIQUE = ("names-unique", "Is a second volume of the same name refused?", "no", "yes")
    LIST_LAG = ("list-lag", "Does a list show a thing only 4 s after its create?", "no", "yes")
    GET_LAG = ("get-lag", "Does a get know a thing only 4 s after its create?", "no", "yes")
    LIST_OF_INSTANCE = (
        "list-of-instance", "Holds a list with an instance's id only its volumes?", "yes", "no",
    )  # fmt: skip
    UNFINISHED = (
        "unfinished", "Is a thing shown while its create is under way?", "shown", "hidden",
    )  # fmt: skip
    CREATE_LABELS = (
        "create-labels", "What happens to the labels of a create call?", "kept", "dropped",
    )  # fmt: skip
    UPDATE_LABELS = (
        "update-labels", "Do an update's labels replace the old, or merge?", "replace", "merge",
    )  # fmt: skip
    DELETE_ATTACHED = (
        "delete-attached", "Is the delete of an attached volume refused?", "refused", "accepted",
    )  # fmt: skip
    DELETE_WITH_SNAPSHOTS = (
        "delete-with-snapshots", "May a volume with snapshots be deleted?", "accepted", "refused",
    )  # fmt: skip
    DELETE_HALFWAY = (
        "delete-halfway",
        "Is the delete of a thing accepted that a failed operation left creating or deleting?",
        "refused", "accepted",
    )  # fmt: skip
    SNAPSHOT_ATTACHED = (
        "snapshot-attached",
        "What does a snapshot do to an attached volume: block attach and detach meanwhile, nothing,"
        " or is it refused?",
        "blocks", "free", "refused",
    )  # fmt: skip
    NEW_VOLUME = ("new-volume", "What does a new volume hold?", "zeros", "old-data", "noise")
    LABEL_RULES = (
        "label-rules",
        "Which labels are accepted: all, or those of 63 letters, digits, dashes, dots and slashes?",
        "any", "strict",
    )  # fmt: skip
    UPDATE_IN_USE = (
        "update-in-use",
        "Is an update of a volume accepted while it is attached or a snapshot of it is taken?",
        "accepted", "refused",
    )  # fmt: skip
    REFUSAL_STATUS = (
        "refusal-status",
        "With which status is refused what a limit or a state forbids: 412 for the delete of an"
        " attached volume, 400 for the detach of a detached one and for the resize of one in use,"
        " 409 for all else, as was seen; or always with the same?",
        "as-seen", "400", "403", "409", "412", "422",
    )  # fmt: skip
    RETRY_AFTER = (
        "retry-after",
        "Where does the answer to a call too many say when to retry?",
        "body", "header", "absent",
    )  # fmt: skip
    ERROR_BODY = (
        "error-body", "Does an error have a message, or title and detail (RFC 9457)?",
        "message", "problem",
    )  # fmt: skip
    DETACHED_INSTANCE = (
        "detached-instance",
        "How does a volume name its instance that has none: null, not at all, as an empty object,"
        " or with an empty id?",
        "null", "absent", "empty", "empty-id",
    )  # fmt: skip
    SNAPSHOT_SIZE = (
        "snapshot-size", "Which size has a snapshot: its volume's, or what is stored of it?",
        "of-volume", "stored",
    )  # fmt: skip
    QUOTA_USAGE = (
        "quota-usage", "Does a quota's use count what was deleted in the last 2 minutes?",
        "lags", "exact",
    )  # fmt: skip
    DETACH_IN_USE = (
        "detach-in-use",
        "Does a detach take the disk from a guest that uses it, or wait for the guest?",
        "takes", "waits",
    )  # fmt: skip
    RESIZE_FINAL = (
        "resize-final", "Has a volume its new size when the resize answers?", "yes", "later",
    )  # fmt: skip
    RESIZE_ATTACHED = (
        "resize-attached",
        "Is the resize of a volume accepted that a running instance has?",
        "refused", "accepted",
    )  # fmt: skip
    RESTORE_LARGER = (
        "restore-larger",
        "May a restore be larger than its source from the start?",
        "accepted", "ignored", "refused",
    )  # fmt: skip
    OPERATIONS = (
        "operations",
        "May operations be read: always, only for a moment after their end, never though they are"
        " permitted, or not by the role?",
        "readable", "briefly", "missing", "denied",
    )  # fmt: skip
    BOOT_SERIAL = (
        "boot-serial", "Which serial has an instance's own disk?", "none", "like-a-volume",
    )  # fmt: skip
    MINIMUM_SIZE = ("minimum-size", "What is the smallest volume, in GiB?", "1", "10")
    PARALLEL_ATTACH = (
        "parallel-attach",
        "Do an attach or detach collide with another one on the same instance?",
        "independent", "collides",
    )  # fmt: skip
    DELETE_RESTORED_SNAPSHOT = (
        "delete-restored-snapshot",
        "When may a snapshot be deleted: at any time, not during a restore from it, or not while a"
        " volume made from it exists?",
        "anytime", "after-restore", "after-volume",
    )  # fmt: skip
    DESTROYED_INSTANCE = (
        "destroyed-instance", "Does a destroyed instance free its volumes?", "frees", "keeps",
    )  # fmt: skip
    DETACH_STOPPED = (
        "detach-stopped",
        "Is a detach from an instance that does not run accepted?",
        "accepted", "refused",
    )  # fmt: skip

    def __init__(self, label: str, wording: str, *answers: str) -> None:
        self.label = label
        self.wording = wording
        self.answers = answers


ANSWERED = frozenset(
    {
        Question.NAMES_UNIQUE,
        Question.CREATE_LABELS,
        Question.UPDATE_LABELS,
        Question.DELETE_ATTACHED,
        Question.DELETE_RESTORED_SNAPSHOT,
        Question.DESTROYED_INSTANCE,
        Question.ERROR_BODY,
        Question.MINIMUM_SIZE,
        Question.QUOTA_USAGE,
        Question.RESIZE_ATTACHED,
        Question.RESIZE_FINAL,
        Question.RESTORE_LARGER,
        Question.SNAPSHOT_SIZE,
    }
)
"""Questions whose first answer was seen on the real API or stated by the vendor."""


class Modes:
    """The chosen answer to each question."""

    def __init__(self) -> None:
        self._answers = {question: question.answers[0] for question in Question}

    def has(self, question: Question, answer: str) -> bool:
        """Return whether an answer is the chosen one.

        Raises:
            ValueError: The question has no such answer.
        """
        _require_answer(question, answer)
        return self._answers[question] == answer

    def answer(self, question: Question) -> str:
        """Return the chosen answer."""
        return self._answers[question]

    def set(self, label: str, answer: str) -> None:
        """Choose an answer.

        Raises:
            ValueError: There is no such question, or it has no such answer.
        """
        question = _find(label)
        _require_answer(question, answer)
        self._answers[question] = answer

    def set_from(self, text: str) -> None:
        """Read `QUESTION=ANSWER`.

        Raises:
            ValueError: The text has another form, or names no known question or answer.
        """
        label, equals, answer = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} has not the form QUESTION=ANSWER")
        self.set(label, answer)

    def as_json(self) -> dict[str, str]:
        """Return the chosen answers, by question."""
        return {question.label: answer for question, answer in self._answers.items()}


def describe() -> Iterator[str]:
    """Yield two lines for each question: its answers, the default first, and its wording."""
    yield "Open; the first answer is the most likely:"
    yield from _describe(question for question in Question if question not in ANSWERED)
    yield "Answered by what was seen, which comes first; the other answers can be played too:"
    yield from _describe(question for question in Question if question in ANSWERED)


def _describe(questions: Iterable[Question]) -> Iterator[str]:
    for question in questions:
        default, *others = question.answers
        yield f"  {question.label}={default}|{'|'.join(others)}"
        yield f"      {question.wording}"


def _find(label: str) -> Question:
    for question in Question:
        if question.label == label:
            return question
    known = ", ".join(question.label for question in Question)
    raise ValueError(f"unknown question {label!r}; known are {known}")


def _require_answer(question: Question, answer: str) -> None:
    if answer not in question.answers:
        raise ValueError(
            f"{question.label} has no answer {answer!r}; it has {', '.join(question.answers)}"
        )
