"""The kfp component of evaluate."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("evaluate"), install_kfp_package=False)
def evaluate(
    snapshot: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    test_set: dsl.Input[dsl.Dataset],
    validated: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    roc: dsl.Output[dsl.ClassificationMetrics],
) -> None:
    """Score candidate and champion on the same rows, measure both, and decide on a promotion."""
    from components.common.runtime.step import step

    with step("evaluate") as meter:
        from components.common.artifacts.evaluation import Evaluation
        from components.common.metrics.curves import roc_points
        from components.evaluate.evaluate import evaluate_model
        from recap_model.data.dataset.manifest import DatasetManifest

        evaluate_model(snapshot.path, model.path, test_set.path, validated.path, evaluation.path, report.path)
        metrics.metadata.update(Evaluation.read(evaluation.path).headline())
        roc.log_roc_curve(*roc_points(evaluation.path, snapshot.path))
        meter.rows = DatasetManifest.read(test_set.path).rows
        evaluation.metadata.update(meter.metadata())
