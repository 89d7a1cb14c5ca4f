"""SIGTERM as a request that training polls after each step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_sigterm() -> Iterator[Callable[[], bool]]:
    """Yield whether SIGTERM has been received in the block; a preempted node sends it some time before SIGKILL."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return

    def request_stop(number: int, frame: FrameType | None) -> None:
        requested.set()

    before = signal.signal(signal.SIGTERM, request_stop)
    try:
        yield requested.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
