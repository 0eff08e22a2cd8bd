"""When to poll an operation, learnt from those of its kind that have ended (S20).

Two ages are kept: `early`, by which 15 % of such operations are done, and `late`, for 85 %. The
first poll comes at `early`; up to `late` the pauses are 1 / 4.7 of what lies between, then they
grow. Each end moves both ages towards these shares. While no end contradicts the first one, the
ages close in on it; if nearly nothing lies between them, one poll at `late` is enough. Many
operations share lists, so their polls are closer together, and each moves the ages less.

No pause is longer than `Timing.poll_max`, so an incident delays nothing by more, however long it
was. After some ends in a row at the first poll, half of `early` is tried: is the cloud faster now?
It is slower only if three operations, one after the other, took longer: one may be a straggler.
"""

from __future__ import annotations

import math
import random

_EARLY = 0.15  # of the operations are done at `early`
_LATE = 0.85  # and at `late`
_LATE_IF_NARROW = 0.95  # where one poll is enough, because a second one is the only cost
_LEAST_STEP = 0.04  # of the age: closer polls cost more than they gain
_NARROW = 1.5  # times that: if no more lies between the two ages, one poll is enough
_LEAST = 0.02  # of the age: what always lies between the two ages, so that they can part again
_STEPS = 4.7  # polls between the two ages
_FIRST_STEPS = 6.0  # the same while all operations might take as long: this finds out
_GROWTH = 0.5  # of the time since `late`: what a pause is longer by
_SEARCH = 0.25  # of the age: the pause while nothing is known
_CROWD = 8  # operations from which on a list that they share makes polls cheaper
_CHEAPEST = 3.0  # this many times closer together are the polls of a large crowd at most
_GAIN = 0.1  # of what lies between the ages: by how much an end moves them
_FIRST_ENDS = 3.0  # divided by the number of ends: the gain of the first ones
_MOST_GAIN = 0.5
_WAKING = 0.005  # seconds: a thread wakes so late at times, so a poll at an age is a little later
_FAR = 2.0  # this many times longer or shorter: the ages say nothing about it
_PROOFS = 3  # operations in a row after which slower is the usual
_FEW = 24.0  # ends, after which one that disagrees no longer changes much
_CALM = 12  # ends in a row at the first poll, after which half of `early` is tried
_SURPRISING = 4  # the same where the first poll should seldom see the end


class Expectation:
    """How long one kind of operation takes in one zone; ages are in seconds since it began.

        attach = Expectation(shortest_pause=0.02, longest_pause=3.0)
        attach.first()                                      # 0.0: nothing is known yet
        attach.following(2.0)                               # 2.5: pauses grow with the age
        attach.ended(begun_at=0.0, pending=3.0, done=4.0)   # seen pending at 3 s, done at 4 s
        attach.first()                                      # 3.0
        attach.following(3.0)                               # about 3.2, and so on
        ...                   # after some more: one poll at 3.6 s, as they always take 3.5 s

    Args:
        shortest_pause, longest_pause: Between two polls, in seconds.
    """

    def __init__(self, *, shortest_pause: float, longest_pause: float) -> None:
        self._shortest_pause = shortest_pause
        self._longest_pause = longest_pause
        self._early = 0.0
        self._late = 0.0
        self._seen = (0.0, 0.0)
        self._ends = 0.0
        self._agree = True
        self._at_first_poll = 0
        self._slower: list[float] = []
        self._told_at = -math.inf

    @property
    def late(self) -> float:
        """The age at which an operation should be done, 0.0 while nothing is known."""
        return self._late

    def first(self, sharing: int = 1) -> float:
        """Return the age for the first poll of an operation; now and then it tries an early one.

        Args:
            sharing: How many pending operations the same list shows.
        """
        if self._at_first_poll >= (_CALM if self._is_narrow else _SURPRISING):
            self._at_first_poll = 0
            return min(self._early / 2.0, self._longest_pause)
        return min(self._begin(sharing), self._longest_pause)

    def following(self, age: float, sharing: int = 1) -> float:
        """Return the age for the next poll after one that saw the operation pending."""
        if not self._late:
            return age + min(_SEARCH * age, self._longest_pause)
        for landmark in (min(self._begin(sharing), self._early), self._begin(sharing)):
            if age < landmark - _WAKING:
                return min(landmark, age + self._longest_pause)
        pause = self._step / _cheapness(sharing) + _GROWTH * max(0.0, age - self._late)
        spread = random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards no secret
        return age + min(pause * spread, self._longest_pause)

    def ended(self, *, begun_at: float, pending: float, done: float, sharing: int = 1) -> None:
        """Learn from an operation that has ended.

        Args:
            begun_at: When it began, in monotonic seconds.
            pending: The age at which a poll last saw it pending, 0.0 if none did.
            done: The age at which a poll saw that it had ended.
            sharing: How many operations were pending with it: together they count as a few.
        """
        done = max(done, _WAKING)
        self._at_first_poll = 0 if pending else self._at_first_poll + 1
        if not self._late:
            self._know(max(pending, done / 2.0), done)
        elif done <= self._early / _FAR + self._slack:
            self._know(max(pending, done / 2.0), done)
            self._at_first_poll = _CALM  # it can have become faster still
        else:
            if pending <= self._late * _FAR:
                self._move(pending, done, 1.0 / max(1.0, sharing / _CROWD))
            self._prove_slower(begun_at, pending, done)

    @property
    def _width(self) -> float:
        return self._late - self._early

    @property
    def _step(self) -> float:
        return max(self._width / (_FIRST_STEPS if self._agree else _STEPS), self._least_step)

    @property
    def _least_step(self) -> float:
        return max(_LEAST_STEP * self._late, self._shortest_pause)

    @property
    def _slack(self) -> float:
        """How far from an age a poll still tells about it, in seconds."""
        return max(self._step / 4.0, _WAKING)

    @property
    def _is_narrow(self) -> bool:
        return self._width <= _NARROW * self._least_step

    def _begin(self, sharing: int) -> float:
        if self._is_narrow:
            return self._late
        sooner = (_cheapness(sharing) - 1.0) * self._width / 8.0
        return max(self._early - sooner, self._early / 2.0)

    def _know(self, early: float, late: float) -> None:
        self._early, self._late = min(early, late * (1.0 - _LEAST)), late
        self._seen = (self._early, self._late)
        self._ends, self._agree = 0.0, True
        self._slower.clear()

    def _move(self, pending: float, done: float, weight: float) -> None:
        """Move both ages towards the shares of operations that are done at them."""
        self._ends += weight
        if self._agree and self._close_in(pending, done):
            return
        width = math.log(self._late / self._early)
        move = width * min(max(_GAIN, _FIRST_ENDS / self._ends), _MOST_GAIN) * weight
        slack = self._slack
        share = _LATE_IF_NARROW if self._is_narrow else _LATE
        late = early = 0.0
        if pending >= self._late - slack:
            late = share * move
        elif done <= self._late + slack:
            late = (share - 1.0) * move
        rarely = min(_CALM * move, width) if self._is_narrow else move  # `early` is seldom tried
        if done <= self._early + slack and (pending or not self._is_narrow):
            early = (_EARLY - 1.0) * rarely
        elif self._is_narrow and (pending < self._early - slack or late > 0.0):
            early = late
        elif pending >= self._early - slack:
            early = _EARLY * rarely
        self._late *= math.exp(late)
        self._early = min(self._early * math.exp(early), self._late * (1.0 - _LEAST))

    def _close_in(self, pending: float, done: float) -> bool:
        """Take the first ends for those of equal operations, until one disagrees clearly."""
        least, most = self._seen
        self._seen = (min(least, max(pending, done / 2.0)), max(most, done))
        if done < self._early * (1.0 - _LEAST) or pending > self._late * (1.0 + _LEAST):
            self._early, self._late = self._seen
            self._agree, self._ends = False, 0.0
            return True
        if self._is_narrow:
            self._agree = self._ends < _FEW
            return False
        self._early = max(self._early, min(pending, self._late * (1.0 - _LEAST)))
        self._late = max(min(self._late, done), self._early * (1.0 + _LEAST))
        return True

    def _prove_slower(self, begun_at: float, pending: float, done: float) -> None:
        """Take over the ages of slow operations if three of them came one after the other."""
        if begun_at < self._told_at:
            return
        if pending <= self._late * (1.0 + _LEAST):
            self._slower.clear()
            return
        self._told_at = begun_at + done
        self._slower.append(pending)
        if len(self._slower) >= _PROOFS:
            least = min(self._slower)
            self._know(least if least > self._late * _FAR else self._early, done)


def _cheapness(sharing: int) -> float:
    return min(max(1.0, sharing / _CROWD), _CHEAPEST)
