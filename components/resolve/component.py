"""The kfp component of resolve."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("resolve"), install_kfp_package=False)
def resolve(
    config: str,
    data_root: str,
    end_date: str,
    days: int,
    tracking_uri: str,
    run_id: str,
    scheduled: str,
    purpose: str,
    snapshot: dsl.Output[dsl.Dataset],
) -> None:
    """Freeze the config, the window, the log's files and the champion."""
    from components.common.runtime.step import step

    with step("resolve") as meter:
        if purpose == "watch":
            from components.resolve.watch import resolve_watched_day

            resolve_watched_day(
                config,
                data_root,
                snapshot.path,
                tracking_uri=tracking_uri,
                run_id=run_id,
                day=end_date,
                scheduled=scheduled,
            )
        else:
            from components.resolve.resolve import resolve_run

            resolve_run(
                config,
                data_root,
                snapshot.path,
                tracking_uri=tracking_uri,
                run_id=run_id,
                end_date=end_date,
                days=days,
                scheduled=scheduled,
            )
        snapshot.metadata.update(meter.metadata())
