"""Training progress as metrics of the active MLflow run."""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict

from components.common import registry
from components.common.registry.run_metrics import log_metrics, training_metrics
from recap_model.training import Progress

RUN_VARIABLE, SERVER_VARIABLE = "MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"
_ANSWER_S = 10  # blocks training

log = logging.getLogger(__name__)


def active_run(tracking_uri: str) -> Callable[[Progress], None]:
    """Log each progress to the run that ``MLFLOW_RUN_ID`` names; does nothing without one.

    The tracking server is ``MLFLOW_TRACKING_URI``, or else ``tracking_uri``. Logging is idempotent over resumed
    training. If MLflow does not answer, one warning is logged, and training goes on without it.
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
