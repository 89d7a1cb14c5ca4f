"""Earlier events of a user: strictly earlier, of other requests, and known by the time of the impression."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.prepare.histories.earlier_events import EarlierEvents, UserRows

T = 1_700_000_000_000


def histories(rows: list[tuple], max_length: int = 10, events: list[bool] | None = None) -> list[list[int]]:
    """Of rows (user, time, request or None, known), sorted by user and time: the rows in each one's history."""
    user, time, request, known = (list(column) for column in zip(*rows, strict=True))
    arrays = UserRows(
        np.array(user),
        np.array(time),
        np.array([0 if one is None else one for one in request]),
        np.array([one is not None for one in request]),
    )
    is_event = np.ones(len(rows), dtype=bool) if events is None else np.array(events)
    offsets, found = EarlierEvents(arrays, is_event, np.array(known), max_length).of(np.arange(len(rows)))
    return [found[begin:end].tolist() for begin, end in pairwise(offsets)]


def test_a_history_is_of_the_users_strictly_earlier_rows_newest_first():
    rows = [(1, T, None, T), (1, T + 1, None, T + 1), (1, T + 2, None, T + 2), (2, T + 3, None, T + 3)]
    assert histories(rows) == [[], [0], [1, 0], []]
    assert histories(rows, max_length=1) == [[], [0], [1], []]


@pytest.mark.parametrize(("shift", "expected"), [(-1, [0]), (0, []), (1, [])])
def test_an_event_moved_by_a_millisecond_enters_or_leaves(shift: int, expected: list):
    event, impression = (1, T + shift, 7, T + shift), (1, T, 8, T)
    rows = sorted([event, impression], key=lambda row: row[1])
    assert histories(rows)[rows.index(impression)] == expected


@pytest.mark.parametrize(("shift", "expected"), [(-1, [0]), (0, [0]), (1, [])])
def test_an_engagement_counts_from_its_own_millisecond_on(shift: int, expected: list):
    assert histories([(1, T - 50, 7, T + shift), (1, T, 8, T)])[1] == expected


def test_rows_of_a_request_do_not_see_each_other():
    rows = [
        (1, T, 7, T),
        (1, T + 1, 7, T + 1),
        (1, T + 2, 8, T + 2),
        (1, T + 3, None, T + 3),
        (1, T + 4, None, T + 4),
    ]
    assert histories(rows) == [[], [], [1, 0], [2, 1, 0], [3, 2, 1, 0]]


def test_rows_that_are_no_events_have_a_history_and_are_in_none():
    rows = [(1, T + n, None, T + n) for n in range(4)]
    assert histories(rows, events=[True, False, True, False]) == [[], [0], [0], [2, 0]]
    assert histories(rows, events=[False] * 4) == [[]] * 4


ROW = st.tuples(
    st.integers(0, 2), st.integers(0, 30), st.none() | st.integers(0, 3), st.integers(-5, 40), st.booleans()
)


@given(st.lists(ROW, min_size=1, max_size=60), st.integers(1, 4))
def test_histories_are_those_of_the_definition(drawn: list[tuple], max_length: int):
    drawn.sort(key=lambda row: row[:2])
    rows = [(user, time, request, time + after) for user, time, request, after, _ in drawn]
    events = [row[4] for row in drawn]
    expected = [
        [
            other
            for other, (o_user, o_time, o_request, o_known) in reversed(list(enumerate(rows)))
            if events[other]
            and o_user == user
            and o_time < time
            and o_known <= time
            and (request is None or o_request != request)
        ][:max_length]
        for user, time, request, _ in rows
    ]
    assert histories(rows, max_length, events) == expected
