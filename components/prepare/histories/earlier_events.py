"""The point-in-time join: for each impression, the newest events of its user that were known before it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_CELLS_AT_ONCE = 1 << 22
_NONE = -1

Numbers = NDArray[np.int64]


class UserRows(NamedTuple):
    """Rows of users, sorted by user, time of impression and place in the log: (rows,) each.

    Attributes:
        user: numbers that are equal for rows of one user.
        time: of the impression, ms.
        request: numbers that are equal for rows of one request.
        has_request: whether the row belongs to a request.
    """

    user: Numbers
    time: Numbers
    request: Numbers
    has_request: NDArray[np.bool_]


class EarlierEvents:
    """For each row the rows of its user's events, as of the row's impression.

    A row's history has events of an earlier millisecond and of another request; two rows of one millisecond are not
    in each other's histories, in whatever order the log has them. An event with a time of its own (an engagement) is
    in a history from that time on, the millisecond included.

    Args:
        rows: events and impressions together.
        is_event: (rows,) which of them are events.
        known: (rows,) ms from which on an event is known, if that is later than its impression.
        max_length: events of a history, the newest by their impression.
    """

    def __init__(self, rows: UserRows, is_event: NDArray[np.bool_], known: Numbers, max_length: int) -> None:
        self._rows = rows
        self._known = known
        self._max_length = max_length
        self._events = np.flatnonzero(is_event)
        before = np.concatenate([[0], np.cumsum(is_event)])
        self._user_starts = before[_run_starts(rows.user)]
        earlier = before[_run_starts(rows.user, rows.time)]
        # Rows of the own request that come just before are left out at once, however many there are.
        before_request = before[_run_starts(rows.user, rows.request, rows.has_request)]
        self._ends = np.where(rows.has_request, np.minimum(earlier, before_request), earlier)
        # With neither, a history is a stretch of the events.
        self._always_visible = not rows.has_request.any() and bool((known <= rows.time).all())

    def of(self, chosen: Numbers) -> tuple[Numbers, Numbers]:
        """The histories of chosen rows.

        Args:
            chosen: (n,) numbers of rows.

        Returns:
            Offsets (n + 1,) and the rows of the events, newest first: those of ``chosen[i]`` are
            ``events[offsets[i]:offsets[i + 1]]``.
        """
        if not len(self._events):
            return np.zeros(len(chosen) + 1, dtype=np.int64), self._events
        newest = np.full((len(chosen), self._max_length), _NONE)
        at_once = max(1, _CELLS_AT_ONCE // self._max_length)
        for first in range(0, len(chosen), at_once):
            newest[first : first + at_once] = self._newest(chosen[first : first + at_once])
        filled = newest != _NONE
        return np.concatenate([[0], np.cumsum(filled.sum(axis=1))]), self._events[newest[filled]]

    def _newest(self, chosen: Numbers) -> Numbers:
        """Numbers among the events, (rows, max_length), filled up with `_NONE` at the end."""
        width = self._max_length
        newest = np.full((len(chosen), width), _NONE)
        waiting = np.arange(len(chosen))
        while len(waiting):
            at_once = max(1, _CELLS_AT_ONCE // width)
            for first in range(0, len(waiting), at_once):
                some = waiting[first : first + at_once]
                newest[some] = self._newest_of_last(chosen[some], width)
            # Where events were left out, older ones may have to be looked at.
            stretch = (self._ends - self._user_starts)[chosen[waiting]]
            waiting = waiting[(newest[waiting, -1] == _NONE) & (stretch > width)]
            width *= 4
        return newest

    def _newest_of_last(self, chosen: Numbers, width: int) -> Numbers:
        """The newest visible ones among each row's last ``width`` earlier events."""
        candidates = self._ends[chosen, np.newaxis] - 1 - np.arange(width)
        inside = candidates >= self._user_starts[chosen, np.newaxis]
        if self._always_visible:
            return np.where(inside, candidates, _NONE)[:, : self._max_length]
        rows, events = self._rows, self._events[np.where(inside, candidates, 0)]
        visible = inside & (self._known[events] <= rows.time[chosen, np.newaxis])
        same_request = rows.request[events] == rows.request[chosen, np.newaxis]
        same_request &= rows.has_request[events] & rows.has_request[chosen, np.newaxis]
        visible &= ~same_request
        # Visible ones first, in their order.
        order = np.argsort(~visible, axis=1, kind="stable")[:, : self._max_length]
        newest = np.take_along_axis(candidates, order, axis=1)
        return np.where(np.take_along_axis(visible, order, axis=1), newest, _NONE)


def _run_starts(*columns: NDArray[np.int64] | NDArray[np.bool_]) -> Numbers:
    """For each row the first row of the run of equal values that it is in."""
    rows = len(columns[0])
    begins = np.zeros(rows, dtype=bool)
    begins[:1] = True
    for column in columns:
        begins[1:] |= column[1:] != column[:-1]
    return np.maximum.accumulate(np.where(begins, np.arange(rows), 0))
