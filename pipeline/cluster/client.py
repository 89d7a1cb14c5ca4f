"""Client of a Kubeflow Pipelines server: runs, schedules and versions of the pipeline."""

import contextlib
import functools
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from components.common.runtime.network_errors import network_reason
from pipeline import NAME
from pipeline.cluster.schedules import Schedule
from recap_model.config.fields.uris import without_secret
from recap_model.config.reading.errors import in_one_line

EXPERIMENT = "recap"
_TIMEOUTS_S = (10.0, 60.0)
_PAGE = 100


class ClusterError(ValueError):
    """The server does not answer, or rejects a request; one line that says what to do."""


@dataclass(frozen=True)
class Run:
    """A run on the server; times are in UTC."""

    id: str
    name: str
    state: str
    created: datetime | None
    finished: datetime | None
    error: str | None


@dataclass(frozen=True)
class Version:
    """A version of the pipeline on the server."""

    pipeline_id: str
    id: str
    name: str
    spec: dict[str, Any]


class Server:
    """The server's API, called through kfp's client.

    Args:
        host: address of the API, http(s)://….
        namespace: the user's on a multi-user server; "" on a single-user one.
        token: bearer token, if the server requires one.
    """

    def __init__(self, host: str, namespace: str = "", token: str | None = None) -> None:
        without_secret(host, "KFP_HOST")
        if not host.startswith(("http://", "https://")):
            raise ClusterError(
                f"host: {host!r} is not an address; write http:// or https:// and the server's name"
            )
        self.host = host
        self.namespace = namespace
        _set_request_timeout()
        with self._api_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from kfp import Client

            # Without a namespace it retries the health check five times, and hides the reason of a failure.
            self._client = Client(host=host, namespace=namespace or "none", existing_token=token)
            self._client._context_setting["namespace"] = namespace

    def check(self) -> None:
        """Check that the server answers, grants access, and knows the namespace. Raises ClusterError."""
        with self._api_errors():
            self._client.list_experiments(page_size=1, namespace=self.namespace or None)

    def submit(self, package: Path, arguments: dict[str, Any], name: str) -> str:
        """Start a run of a compiled pipeline; returns its id."""
        with self._api_errors():
            run = self._client.run_pipeline(self._experiment(), name, str(package), params=arguments)
            return str(run.run_id)

    def runs(self, limit: int | None = 20) -> list[Run]:
        """The newest runs of the experiment, newest first; all runs if ``limit`` is None."""
        with self._api_errors():
            newest = _list_pages(
                self._client.list_runs,
                "runs",
                page_size=min(limit or _PAGE, _PAGE),
                sort_by="created_at desc",
                experiment_id=self._experiment(),
            )
            return [_run(one) for one in islice(newest, limit)]

    def publish(self, package: Path, version: str, name: str = NAME) -> Version:
        """Upload a compiled pipeline as a new version of that name; idempotent for equal name and content.

        Raises ClusterError if a version of that name has other content.
        """
        with self._api_errors():
            known = self._pipeline_id(name)
            if known is None:
                known = self._client.upload_pipeline(
                    str(package), pipeline_name=name, namespace=self.namespace or None
                ).pipeline_id
            versions = self._client.list_pipeline_versions(
                known, filter=_name_filter(version)
            ).pipeline_versions
            if versions and _version(versions[0]).spec == _spec(package):
                return _version(versions[0])
            return _version(self._client.upload_pipeline_version(str(package), version, pipeline_id=known))

    def newest_version(self, name: str = NAME) -> Version | None:
        """The version of a pipeline that was released last, or None."""
        with self._api_errors():
            known = self._pipeline_id(name)
            if known is None:
                return None
            answer = self._client.list_pipeline_versions(known, page_size=2, sort_by="created_at desc")
        # The server creates one together with the pipeline, under its name; times have a resolution of a second.
        released = [one for one in answer.pipeline_versions or [] if one.display_name != name]
        return _version(released[0]) if released else None

    def _pipeline_id(self, name: str) -> str | None:
        """A pipeline's id, looked up by namespace; kfp's own lookup omits it and fails on multi-user servers."""
        pipelines = self._client.list_pipelines(
            filter=_name_filter(name), namespace=self.namespace or None
        ).pipelines
        return pipelines[0].pipeline_id if pipelines else None

    def schedules(self) -> list[Schedule]:
        """All schedules of the experiment."""
        with self._api_errors():
            listed = _list_pages(
                self._client.list_recurring_runs,
                "recurring_runs",
                page_size=_PAGE,
                experiment_id=self._experiment(),
            )
            return [Schedule.from_api(one) for one in listed]

    def create_schedule(
        self,
        name: str,
        cron: str,
        arguments: dict[str, Any],
        version: Version,
        paused: bool = False,
        description: str = "",
    ) -> Schedule:
        """Create a recurring run of a version: one run at a time, without catching up missed times."""
        with self._api_errors():
            made = self._client.create_recurring_run(
                self._experiment(),
                name,
                description=description,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                params=arguments,
                pipeline_id=version.pipeline_id,
                version_id=version.id,
                enabled=not paused,
            )
        return Schedule.from_api(made)

    def pause(self, schedule: Schedule, paused: bool = True) -> None:
        """Pause or resume a schedule."""
        with self._api_errors():
            if paused:
                self._client.disable_recurring_run(schedule.id)
            else:
                self._client.enable_recurring_run(schedule.id)

    def delete_schedule(self, schedule: Schedule) -> None:
        """Delete a schedule; runs that it has started continue."""
        with self._api_errors():
            self._client.delete_recurring_run(schedule.id)

    def schedule(self, name: str) -> Schedule:
        """The schedule of this name. Raises ClusterError unless there is exactly one."""
        matches = [one for one in self.schedules() if one.name == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ClusterError(
                f"schedule {name!r}: there are {len(matches)} of that name; delete all but one in the UI"
            )
        names = ", ".join(sorted(one.name for one in self.schedules())) or "none"
        raise ClusterError(f"schedule {name!r}: there is none of that name; there are: {names}")

    def _experiment(self) -> str:
        experiment = self._client.create_experiment(EXPERIMENT, namespace=self.namespace or None)
        return str(experiment.experiment_id)

    @contextmanager
    def _api_errors(self) -> Iterator[None]:
        """Convert errors of kfp's client and the network to ClusterError, and suppress what kfp prints."""
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        noisy = logging.getLogger("urllib3.connectionpool")
        level = noisy.level
        noisy.setLevel(logging.ERROR)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except ApiException as error:
            raise ClusterError(f"{self.host}: {_describe_api_error(error, self.namespace)}") from None
        except (HTTPError, OSError) as error:
            reason = network_reason(error, self.host) or in_one_line(error)[:200]
            raise ClusterError(
                f"{self.host}: the server does not answer ({reason}); check the address, the network, and that a "
                "port-forward still runs"
            ) from None
        finally:
            noisy.setLevel(level)


def _list_pages(list_page: Callable[..., Any], field: str, **arguments: Any) -> Iterator[Any]:
    """The items of all pages of a list of kfp's client, which each page has as ``field``."""
    token = ""
    while True:
        page = list_page(page_token=token, **arguments)
        yield from getattr(page, field) or []
        token = page.next_page_token or ""
        if not token:
            return


def _describe_api_error(error: Any, namespace: str) -> str:
    detail = _message(error)
    if error.status == 401:
        return f"not authenticated (401{detail}); give a token by --token-file or KFP_TOKEN_FILE"
    if error.status == 403:
        where = f"in namespace {namespace!r}" if namespace else "(many servers need --namespace)"
        return f"permission denied {where} (403{detail})"
    if error.status == 404:
        return f"no such thing on the server (404{detail}); is this the address of the pipelines' API?"
    if error.status == 409:
        return f"already exists (409{detail}); choose another name"
    return f"the server rejects the request ({error.status}{detail})"


def _message(error: Any) -> str:
    try:
        content = json.loads(error.body)
    except (TypeError, ValueError):
        return ""
    text = content.get("error") or content.get("message") if isinstance(content, dict) else None
    return f": {' '.join(str(text).split())[:200]}" if text else ""


def _set_request_timeout() -> None:
    """Set a time-out on every request of this process; kfp's client has none."""
    from kfp_server_api.rest import RESTClientObject

    plain = RESTClientObject.request
    if hasattr(plain, "__wrapped__"):
        return

    @functools.wraps(plain)
    def request(*arguments: Any, **named: Any) -> Any:
        named["_request_timeout"] = named.get("_request_timeout") or _TIMEOUTS_S
        return plain(*arguments, **named)

    RESTClientObject.request = request


def _name_filter(name: str) -> str:
    """The API's filter by display name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _run(run: Any) -> Run:
    return Run(
        id=run.run_id,
        name=run.display_name,
        state=run.state or "PENDING",
        created=run.created_at,
        finished=run.finished_at,
        error=run.error.message if run.error else None,
    )


def _spec(package: Path) -> dict[str, Any]:
    """A compiled pipeline's specification, as the server returns it for an uploaded version."""
    import yaml

    pipeline, platform = yaml.safe_load_all(package.read_text())
    return {"pipeline_spec": pipeline, "platform_spec": platform}


def _version(version: Any) -> Version:
    return Version(
        version.pipeline_id, version.pipeline_version_id, version.display_name, version.pipeline_spec or {}
    )
