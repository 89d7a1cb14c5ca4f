"""The status of a server's answer, in a bounded time, whatever else it sends."""

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests


def request_status(
    request: "requests.Request", within_s: float, *, connect_s: float | None = None, verify: bool | str = True
) -> int:
    """Send a request and return the status of its answer, of which nothing else is read, nor a redirect followed.

    Proxies and certificates are those of the environment. The time is that of all, from the look-up of the host on: a
    library's time-out begins anew with every byte, so that a server that sends one at a time would hold a step for
    hours.

    Raises:
        requests.RequestException: there is no answer, or none of HTTP.
        TimeoutError: there is none in time.
    """
    import requests

    answered: SimpleQueue[int | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            with requests.Session() as session:
                prepared = session.prepare_request(request)
                settings = session.merge_environment_settings(
                    prepared.url, {}, stream=True, verify=verify, cert=None
                )
                # By the adapter, as a session reads the whole content of a redirect.
                adapter = session.get_adapter(prepared.url)
                answer = adapter.send(prepared, timeout=(connect_s or within_s, within_s), **settings)
                answered.put(answer.status_code)
                answer.close()
        except (requests.RequestException, OSError, ValueError) as error:
            answered.put(error)

    # It may go on after the time, until the process ends.
    threading.Thread(target=ask, daemon=True).start()
    try:
        outcome = answered.get(timeout=max(within_s, 0.0))
    except Empty:
        raise TimeoutError(f"no answer within {within_s:.0f} s") from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
