"""Moving schedules to a new version of the pipeline, so that a release that breaks off is finished by the next.

The API cannot change a schedule: a new one is made beside the old one, paused, then the old one goes, then the new
one is let run. Its description says in whose place it stands and whether it is to run. Broken off in between, either
both are there, and the new one goes again; or the new one alone, still as it was made, and it is let run.
"""

import re
from collections.abc import Iterator

from pipeline.cluster.client import ClusterError, Server, Version
from pipeline.cluster.schedules import Schedule

_DESCRIPTION = "recap release: in place of {old}, to be {state}"
_DESCRIBED = re.compile(r"^recap release: in place of (\S+), to be (running|paused)$")


def move_schedules(server: Server, version: Version) -> Iterator[Schedule]:
    """Let every schedule run ``version``; gives each that stands now, one for each name.

    Of a name never two are enabled, and one that was enabled is so again when the call, or after a crash the next
    one, has ended.

    Raises ClusterError: the server does not answer or refuses, or somebody else gave two schedules one name.
    """
    by_name: dict[str, list[Schedule]] = {}
    for schedule in server.schedules():
        by_name.setdefault(schedule.name, []).append(schedule)
    for name, found in sorted(by_name.items()):
        yield _move(server, _finish_interrupted(server, name, found), version)


def _finish_interrupted(server: Server, name: str, found: list[Schedule]) -> Schedule:
    """Finish or undo what an earlier release left of one name."""
    there = {schedule.id for schedule in found}
    halves = [schedule for schedule in found if _parse_description(schedule)[0] in there]
    for half in halves:
        server.delete_schedule(half)
    standing = [schedule for schedule in found if schedule not in halves]
    if len(standing) > 1:
        raise ClusterError(
            f"schedule {name!r}: there are {len(standing)} of that name; delete all but one in the UI"
        )
    (schedule,) = standing
    _, to_run = _parse_description(schedule)
    # One that a person paused since was changed after it was made.
    if to_run and not schedule.enabled and not schedule.touched:
        server.pause(schedule, paused=False)
        return server.schedule(name)
    return schedule


def _parse_description(schedule: Schedule) -> tuple[str | None, bool]:
    """The id that a release's schedule took the place of, and whether it is to run."""
    found = _DESCRIBED.match(schedule.description)
    return (found[1], found[2] == "running") if found else (None, False)


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
