"""HTTP requests with a total deadline, of which only the status is read."""

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests


def request_status(
    request: "requests.Request", within_s: float, *, connect_s: float | None = None, verify: bool | str = True
) -> int:
    """Send a request and return the response's status; the body is not read and redirects are not followed.

    Proxies and certificates are those of the environment. ``within_s`` is a deadline for everything including the
    DNS lookup: a library's timeout restarts with every byte, so that a server sending one byte at a time would block
    a step for hours.

    Raises:
        requests.RequestException: no response, or not HTTP.
        TimeoutError: no response within the deadline.
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
                # Through the adapter, because a session reads the whole body of a redirect.
                adapter = session.get_adapter(prepared.url)
                answer = adapter.send(prepared, timeout=(connect_s or within_s, within_s), **settings)
                answered.put(answer.status_code)
                answer.close()
        except (requests.RequestException, OSError, ValueError) as error:
            answered.put(error)

    # The thread may outlive the deadline, until the process ends.
    threading.Thread(target=ask, daemon=True).start()
    try:
        outcome = answered.get(timeout=max(within_s, 0.0))
    except Empty:
        raise TimeoutError(f"no answer within {within_s:.0f} s") from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
