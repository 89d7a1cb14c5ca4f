"""The kfp component of watch."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("watch"), install_kfp_package=False)
def watch(
    snapshot: dsl.Input[dsl.Dataset],
    validated: dsl.Input[dsl.Dataset],
    test_set: dsl.Input[dsl.Dataset],
    record: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    history: dsl.Output[dsl.HTML],
) -> None:
    """Measure the champion on the day, conclude whether it is still as good, act by the policy, record the day."""
    from components.common.runtime.step import step

    with step("watch"):
        from components.watch.watch import watch_day

        watched = watch_day(snapshot.path, validated.path, test_set.path, record.path, history=history.path)
        metrics.metadata.update(watched.evaluation.headline())
        metrics.metadata.update({"outcome": watched.outcome, "evidence": watched.decay.now})
