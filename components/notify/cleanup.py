"""Cleanup of the cluster after a run: the training job of a train step that was killed."""

import logging
from pathlib import Path

from components.common.runtime.train_job import GROUP, PLURAL, VERSION, job_name, train_job_settings
from recap_model.config.reading.errors import in_one_line

_TIMEOUTS_S = (10.0, 30.0)
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

log = logging.getLogger(__name__)


def delete_training_job(run_id: str) -> bool:
    """Delete the run's training job if it still exists; returns whether it did.

    The train step deletes its job itself unless it was killed. An error of the cluster is logged and not raised, so
    that it never hides how the run ended.
    """
    if train_job_settings() is None:
        return False
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    name = job_name(run_id)
    try:
        if _POD_NAMESPACE.exists():
            config.load_incluster_config()
            namespace = _POD_NAMESPACE.read_text().strip()
        else:
            config.load_kube_config()
            namespace = config.list_kube_config_contexts()[1]["context"].get("namespace", "default")
        client.CustomObjectsApi().delete_namespaced_custom_object(
            GROUP, VERSION, namespace, PLURAL, name, _request_timeout=_TIMEOUTS_S
        )
    except ApiException as error:
        if error.status != 404:
            log.warning("event=job_not_deleted job=%s reason=%r", name, f"{error.status} {error.reason}")
        return False
    except (config.ConfigException, HTTPError) as error:
        log.warning("event=job_not_deleted job=%s reason=%r", name, in_one_line(error))
        return False
    log.info("event=job_deleted job=%s", name)
    return True
