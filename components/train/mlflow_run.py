"""Progress as metrics of the MLflow run that is active, if one is."""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict

from components.common import registry
from components.common.registry.run_metrics import log_metrics, training_metrics
from recap_model.training import Progress

RUN_VARIABLE, SERVER_VARIABLE = "MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"
_ANSWER_S = 10  # training waits meanwhile

log = logging.getLogger(__name__)


def active_run(tracking_uri: str) -> Callable[[Progress], None]:
    """Log each progress to the run that ``MLFLOW_RUN_ID`` names; does nothing without one.

    The run is where ``MLFLOW_TRACKING_URI`` says, or else at ``tracking_uri``. What was logged before training was
    broken off is not logged twice. An MLflow that does not answer is told of in the log, once, and asked no more:
    training goes on.
    """
    run = os.environ.get(RUN_VARIABLE)
    if not run:
        return lambda progress: None
    uri = os.environ.get(SERVER_VARIABLE) or tracking_uri
    try:
        client = registry.connect(uri)
    except registry.RegistryError as error:
        log.warning("event=not_logged run=%s reason=%r", run, str(error))
        return lambda progress: None
    answers = True

    def report(progress: Progress) -> None:
        nonlocal answers
        if not answers:
            return
        try:
            with registry.patience(_ANSWER_S, tries=1), registry.registry_errors(client):
                log_metrics(client, run, training_metrics(asdict(progress)))
        except registry.RegistryError as error:
            answers = False
            log.warning("event=not_logged run=%s step=%d reason=%r", run, progress.step, str(error))

    return report
