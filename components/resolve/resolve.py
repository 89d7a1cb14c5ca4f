"""Resolve and freeze a run's inputs: config, window, log files, champion."""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.common.artifacts.snapshot import (
    BASELINE_NAME,
    CONFIG_NAME,
    EXPECTATIONS_NAME,
    MANIFEST_NAME,
    Baseline,
    Champion,
    LogFile,
    Partition,
    Snapshot,
    config_digest,
)
from components.common.runtime.atomic_output import atomic_directory
from components.common.runtime.step import progress
from components.common.runtime.train_job import check_distribution
from components.common.storage.identity import identify_files
from components.common.storage.log_files import ListedFile, shorten
from components.common.storage.parquet import open_root
from components.resolve.files import WindowFiles, find_files
from components.resolve.serving_log import freeze_serving_log
from recap_model.config import RecapConfig, load_config, parse_yaml
from recap_model.config.fields.uris import without_secret
from recap_model.config.reading.errors import in_one_line

log = logging.getLogger(__name__)


def resolve_run(
    config: str | Path,
    data_root: str,
    out: str | Path,
    *,
    tracking_uri: str,
    run_id: str,
    end_date: str = "",
    days: int = 0,
    scheduled: str = "",
) -> Snapshot:
    """Write the snapshot of a run, from which every later step reads its inputs.

    Args:
        config: a YAML file, or its URI (s3://, gs://).
        data_root: a folder or URI with ``date=YYYY-MM-DD/`` partitions; or a pattern of its files, as
            ``log/date=2026-03-*/part-*.parquet``, whose days are the window without ``end_date`` and ``days``; or a
            table: a Delta table's folder or URI, or ``iceberg://CATALOG/NAMESPACE.TABLE``.
        out: the snapshot's folder.
        tracking_uri: of the MLflow registry with the champion.
        run_id: of the pipeline's run; registration is idempotent per run id.
        end_date: last day of the window, YYYY-MM-DD, or with ``data.hours`` of the config its last hour,
            YYYY-MM-DDTHH. If empty, the last complete day (or hour) in UTC before ``scheduled``, or the log's newest.
        days: length of the window; ``data.hours`` or ``data.days`` of the config if 0.
        scheduled: time that the run was scheduled for, ISO 8601; a late start does not change the window.

    Raises:
        FileNotFoundError: the config or the data root does not exist.
        ValueError: an invalid config, date, window or file, a config that this cluster cannot run, or an unreachable
            registry; the message says which.
    """
    data_root, tracking_uri = (
        without_secret(data_root, "data_root"),
        without_secret(tracking_uri, "tracking_uri"),
    )
    settings = read_config(str(config))
    check_distribution(settings)
    expectations = _read_expectations(str(config), settings)
    listing = find_files(settings, data_root, end_date, days, scheduled)
    champion = _champion(settings, tracking_uri)
    anchor = _anchor(settings, tracking_uri, champion)
    _check_warm_start(settings, tracking_uri)
    return freeze(Inputs(settings, listing, champion, tracking_uri, run_id, expectations, anchor), out)


@dataclass(frozen=True)
class Inputs:
    """What a snapshot is made of; ``expectations`` is the content of the config's expectations file."""

    config: RecapConfig
    listing: WindowFiles
    champion: Champion | None
    tracking_uri: str
    run_id: str
    expectations: bytes = b""
    anchor: Champion | None = None


def freeze(inputs: Inputs, out: str | Path, purpose: Literal["retrain", "watch"] = "retrain") -> Snapshot:
    """Write the snapshot of these inputs, with every file's identity and the champion's profile."""
    settings, listing, champion = inputs.config, inputs.listing, inputs.champion
    window, tracking_uri, expectations = listing.window, inputs.tracking_uri, inputs.expectations
    if listing.not_read:
        log.warning(
            "event=not_read data_root=%s names=%s", listing.source.data_root, shorten(listing.not_read, 20)
        )
    serving = settings.validation.drift.serving_log
    baseline, profile = _baseline(settings, tracking_uri, champion)
    snapshot = Snapshot(
        run_id=inputs.run_id,
        data_root=listing.source.data_root,
        table=listing.source.table,
        first_day=window.first,
        last_day=window.last,
        partitions=_partitions(listing, listing.files),
        lookback=_partitions(listing, listing.lookback),
        missing_days=listing.missing,
        champion=champion,
        anchor=inputs.anchor,
        baseline=baseline,
        serving=freeze_serving_log(serving, window) if serving else None,
        expectations_sha256=hashlib.sha256(expectations).hexdigest() if expectations else None,
        tracking_uri=tracking_uri,
        config_digest=config_digest(settings),
        source_revision=os.environ.get("RECAP_SOURCE_REVISION", "unknown"),
        purpose=purpose,
    )
    beside = {BASELINE_NAME: profile, EXPECTATIONS_NAME: expectations}
    _write(snapshot, settings, beside, out)
    log.info(
        "window=%s..%s partitions=%d files=%d bytes=%d champion=%s digest=%s",
        window.first,
        window.last,
        len(snapshot.partitions),
        len(snapshot.files),
        sum(file.bytes for file in snapshot.files),
        champion.version if champion else "none",
        snapshot.digest[:12],
    )
    return snapshot


def read_config(config: str) -> RecapConfig:
    """The config in a file or at a URI. Raises as `resolve_run`."""
    return load_config(config) if "://" not in config else parse_yaml(read_config_text(config), source=config)


def read_config_text(config: str) -> bytes:
    """A config as it is written, from a file or a URI. Raises FileNotFoundError or ConnectionError."""
    return _read(config, "no such config file")


def _read_expectations(config: str, settings: RecapConfig) -> bytes:
    """The content of the config's expectations file, which lies beside the config; empty without one."""
    name = settings.validation.expectations_file
    if name is None:
        return b""
    path = f"{config.rpartition('/')[0]}/{name}" if "/" in config else name
    content = _read(path, "no such file beside the config; correct validation.expectations_file")
    try:
        compile(content, name, "exec")
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"validation.expectations_file: {path}: not valid Python: {error}; correct the file"
        ) from None
    return content


def _read(path: str, if_missing: str) -> bytes:
    filesystem, inside = open_root(path)
    try:
        with filesystem.open_input_stream(inside) as stream:
            content: bytes = stream.read()
            return content
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: {if_missing}") from None
    except OSError as error:
        reason = in_one_line(error)
        raise ConnectionError(
            f"{path}: cannot be read from its store ({reason}); check the address, the credentials and the network"
        ) from None


def _champion(config: RecapConfig, tracking_uri: str) -> Champion | None:
    from components.common import registry

    return registry.champion(registry.connect(tracking_uri), config.registry.model_name)


def _anchor(config: RecapConfig, tracking_uri: str, champion: Champion | None) -> Champion | None:
    """The anchor of a gate that promotes what is no worse; None on a first run."""
    from components.common import registry

    gate = config.evaluation.gate
    if champion is None or not gate.has_anchor or gate.anchor_champions is None:
        return None
    client = registry.connect(tracking_uri)
    return registry.find_anchor(client, config.registry.model_name, champion, gate.anchor_champions)


def _check_warm_start(config: RecapConfig, tracking_uri: str) -> None:
    """Raise RegistryError if the warm start's version does not exist, before hours of work depend on it."""
    from components.common import registry

    if config.training.warm_start_version is not None:
        registry.get_version(registry.connect(tracking_uri), *config.training.warm_start_version)


def _baseline(
    config: RecapConfig, tracking_uri: str, champion: Champion | None
) -> tuple[Baseline | None, bytes]:
    """The champion's profile, the reference for drift. A missing one does not end the run; validate reports it."""
    from components.common import registry

    if champion is None:
        return None, b""
    name, path = config.registry.model_name, registry.PROFILE_PATH
    try:
        profile = registry.fetch_file(registry.connect(tracking_uri), name, champion.version, path)
    except registry.RegistryError as error:
        log.warning("event=no_baseline reason=%s", error)
        return Baseline(missing=str(error)), b""
    if profile is None:
        return Baseline(missing=f"{name} version {champion.version} was registered without {path}"), b""
    return Baseline(sha256=hashlib.sha256(profile).hexdigest()), profile


def _partitions(listing: WindowFiles, chosen: list[ListedFile]) -> list[Partition]:
    not_read = f"; not read: {shorten(listing.not_read, 3)}" if listing.not_read else ""
    folders: dict[str, list[LogFile]] = {}
    files = identify_files(listing.source.filesystem, listing.source.root, [listed.file for listed in chosen])
    for done, (listed, file) in enumerate(zip(chosen, files, strict=True), start=1):
        folders.setdefault(listed.partition, []).append(file)
        progress(done, len(chosen), f"{done} of {len(chosen)} files{not_read}")
    return [Partition(name=name, files=inside) for name, inside in folders.items()]


def _write(snapshot: Snapshot, config: RecapConfig, beside: dict[str, bytes], out: str | Path) -> None:
    with atomic_directory(out) as folder:
        for name, content in beside.items():
            if content:
                (folder / name).write_bytes(content)
        (folder / CONFIG_NAME).write_text(config.model_dump_json(indent=1))
        (folder / MANIFEST_NAME).write_text(snapshot.model_dump_json(indent=1))
