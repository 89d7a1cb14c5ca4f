"""What is told of a run while kfp and the steps print."""

import io

from components.common.runtime.step import ERROR_MARK, PROGRESS_MARK
from pipeline.local.run import Event, StepEnded, StepProgress, StepStarted, _LogReader

PRINTED = f"""\
09:00:00.000 - INFO - Executing task \x1b[96m'train'\x1b[0m
    INFO step=train event=start
    {PROGRESS_MARK} 0.2500 step 10 of 40
    {ERROR_MARK} train: labels: task like has value 2.0
09:00:02.000 - INFO - Task \x1b[96m'train'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m
"""


def test_lines_become_events_wherever_the_output_is_cut():
    for size in (1, 7, len(PRINTED)):
        events: list[Event] = []
        log = io.StringIO()
        reader = _LogReader(log, events.append)
        for start in range(0, len(PRINTED), size):
            reader.write(PRINTED[start : start + size])
        assert events == [
            StepStarted("train"),
            StepProgress("train", 0.25, "step 10 of 40"),
            StepEnded("train", False),
        ]
        assert reader.said == ["labels: task like has value 2.0"]
        assert "event=start" in log.getvalue()
        assert PROGRESS_MARK not in log.getvalue()
        assert "\x1b" not in log.getvalue()


def test_what_a_step_said_is_forgotten_when_it_is_run_again_but_not_when_the_next_one_starts():
    reader = _LogReader(io.StringIO(), lambda event: None)
    reader.write(PRINTED)
    reader.write("09:00:02.001 - INFO - Executing task 'train'\n")
    assert reader.said == []
    reader.write(PRINTED.replace("Executing", "Ending"))
    reader.write("09:00:03.000 - INFO - Executing task 'calibrate'\n")
    assert reader.said == ["labels: task like has value 2.0"]
