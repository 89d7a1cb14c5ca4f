"""Move schedules to a new version of the pipeline; an interrupted release is completed by repeating it.

The API cannot change a schedule: a paused replacement is created, the old schedule is deleted, and the replacement is
resumed. Its description records which schedule it replaces and whether it is to run. After an interruption, either
both exist, and the replacement is deleted; or only the unmodified replacement does, and it is resumed.
"""

import re
from collections.abc import Iterator

from pipeline.cluster.client import ClusterError, Server, Version
from pipeline.cluster.schedules import Schedule

_DESCRIPTION = "recap release: in place of {old}, to be {state}"
_DESCRIBED = re.compile(r"^recap release: in place of (\S+), to be (running|paused)$")


def move_schedules(server: Server, version: Version) -> Iterator[Schedule]:
    """Move every schedule of a version's pipeline to that version; yields the resulting schedules, one per name.

    Two schedules of one name are never enabled at once. An enabled schedule is enabled again when this call, or after
    a crash the next one, has ended.

    Raises ClusterError if the server does not answer or rejects a request, or two schedules have one name.
    """
    by_name: dict[str, list[Schedule]] = {}
    for schedule in server.schedules():
        # A server may not tell the pipeline of schedules that another client made; all used to be of one.
        if schedule.pipeline_id not in (None, "", version.pipeline_id):
            continue
        by_name.setdefault(schedule.name, []).append(schedule)
    for name, schedules in sorted(by_name.items()):
        yield _move(server, _finish_interrupted(server, name, schedules), version)


def _finish_interrupted(server: Server, name: str, schedules: list[Schedule]) -> Schedule:
    """Complete or undo an interrupted release of one schedule."""
    ids = {schedule.id for schedule in schedules}
    halves = [schedule for schedule in schedules if _parse_description(schedule)[0] in ids]
    for half in halves:
        server.delete_schedule(half)
    standing = [schedule for schedule in schedules if schedule not in halves]
    if len(standing) > 1:
        raise ClusterError(
            f"schedule {name!r}: there are {len(standing)} of that name; delete all but one in the UI"
        )
    (schedule,) = standing
    _, to_run = _parse_description(schedule)
    # If a person has paused it since, it is marked as touched.
    if to_run and not schedule.enabled and not schedule.touched:
        server.pause(schedule, paused=False)
        return server.schedule(name)
    return schedule


def _parse_description(schedule: Schedule) -> tuple[str | None, bool]:
    """The id of the schedule that a release replaced, and whether the replacement is to run."""
    match = _DESCRIBED.match(schedule.description)
    return (match[1], match[2] == "running") if match else (None, False)


def _move(server: Server, old: Schedule, version: Version) -> Schedule:
    if old.version_id == version.id:
        return old
    description = _DESCRIPTION.format(old=old.id, state="running" if old.enabled else "paused")
    new = server.create_schedule(
        old.name, old.cron, old.arguments, version, paused=True, description=description
    )
    server.delete_schedule(old)
    if old.enabled:
        server.pause(new, paused=False)
    return server.schedule(old.name)
