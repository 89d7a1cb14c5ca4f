"""Roll a version out on KServe: a canary with more and more of the traffic, checked at each stage, then all pods."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pipeline.cluster.deployment.inference_service import canary, inference_service, serving_settings
from pipeline.cluster.deployment.kserve import InferenceServiceClient, ServedState
from pipeline.cluster.settings import ClusterSettings

_POLL_S = 2.0

# Why the canary should not get more traffic, empty if it should: of the version before, the canary's, and since when.
Check = Callable[[str, str, datetime], str]

log = logging.getLogger(__name__)


class RolloutError(ValueError):
    """A stage failed and the version before serves all of the traffic again; one line."""


@dataclass(frozen=True)
class Rollout:
    """A rollout of one version; repeating an interrupted one completes it.

    Attributes:
        model: ``models:/NAME/VERSION``.
        check: decides after each stage with traffic.
        report: takes a line of progress.
    """

    service: InferenceServiceClient
    settings: ClusterSettings
    model: str
    check: Check
    report: Callable[[str], None]

    def run(self, *, at_once: bool = False) -> None:
        """Serve the version with all of the traffic.

        First without traffic until it is ready, then with the percentages of ``serving.stages``, each for
        ``serving.stage_minutes``; then the pods of the predictor are replaced one after another, and the canary ends.

        Args:
            at_once: replace the pods without stages, as for a rollback.

        Raises:
            RolloutError: a version was not ready in time, or a check failed. The version before serves.
            ConnectionError, PermissionError, ValueError: as `InferenceServiceClient`; repeat the command.
        """
        current = self.service.read()
        if current is None:
            self.service.create(inference_service(self.settings, self.model))
            self.report(f"created, serves {self.model}")
            if problem := self._wait(lambda: self.service.stable_problem(self.model)):
                raise RolloutError(f"{self.model}: {problem}")
            return
        state = ServedState.of(current)
        if state.canaries and (at_once or state.stable == self.model):
            state = self.service.change(state, {"canary": None})
        if state.stable != self.model and not at_once:
            state = self._raise_traffic(state)
        self._replace_pods(state, current["spec"]["predictor"])

    def _raise_traffic(self, state: ServedState) -> ServedState:
        serving = serving_settings(self.settings)
        reached = dict(state.canaries).get(self.model, 0)
        for percent in [stage for stage in (0, *serving.stages) if stage >= reached]:
            entry = canary(self.settings, self.model, percent)
            state = self.service.change(state, {"canary": [entry]})
            self.report(f"{self.model}: {percent} % of the traffic")
            began = datetime.now(UTC)
            problem = self._wait(partial(self.service.canary_problem, self.model, percent))
            if not problem and percent:
                problem = self._hold(percent, serving.stage_minutes * 60)
            if not problem and percent:
                problem = self.check(state.stable, self.model, began)
            if problem:
                self.service.change(state, {"canary": None})
                raise RolloutError(
                    f"{self.model}: {problem}, with {percent} % of the traffic; {state.stable} serves all of it again"
                )
        return state

    def _hold(self, percent: int, seconds: float) -> str:
        """Watch the canary for a time; returns why it is not ready any more."""
        deadline = time.monotonic() + seconds
        problem = ""
        while time.monotonic() < deadline:
            time.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))
            problem, before = self._ask(partial(self.service.canary_problem, self.model, percent)), problem
            if problem and before:
                return problem
        return ""

    def _replace_pods(self, state: ServedState, before: dict[str, Any]) -> None:
        """Replace the predictor's pods while a canary keeps its traffic, then end the canary."""
        wanted = inference_service(self.settings, self.model)["spec"]["predictor"]
        # A merge keeps a field that the new predictor lacks, so it is removed by name.
        removed = dict.fromkeys(before.keys() - wanted.keys())
        started = self.service.change(state, {"predictor": {**removed, **wanted}})
        problem = self._wait(lambda: self.service.stable_problem(self.model))
        if problem and state.stable != self.model:
            restored = {**dict.fromkeys(wanted.keys() - before.keys()), **before}
            self.service.change(started, {"predictor": restored, "canary": None})
            raise RolloutError(f"{self.model}: {problem}; {state.stable} serves again")
        if problem:
            raise RolloutError(f"{self.model}: {problem}")
        if started.canaries:
            self.service.change(started, {"canary": None})
            if problem := self._wait(lambda: self.service.stable_problem(self.model)):
                raise RolloutError(f"{self.model}: {problem}")
        self.report(f"{self.model}: 100 % of the traffic")

    def _wait(self, problem: Callable[[], str]) -> str:
        """Poll until there is no problem, or the time is over; returns the problem."""
        deadline = time.monotonic() + serving_settings(self.settings).ready_minutes * 60
        while (words := self._ask(problem)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return words

    def _ask(self, problem: Callable[[], str]) -> str:
        """A problem; an API that does not answer is one, which may pass."""
        try:
            return problem()
        except ConnectionError as error:
            log.warning("event=retry error=%r", str(error))
            return str(error)
