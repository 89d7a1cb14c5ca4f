"""The kfp component of calibrate."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("calibrate"), install_kfp_package=False)
def calibrate(
    snapshot: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    calibration_set: dsl.Input[dsl.Dataset],
    calibrated_model: dsl.Output[dsl.Model],
    reliability: dsl.Output[dsl.HTML],
) -> None:
    """Fit each task's calibrator on held-out rows and put it inside the model."""
    from components.common.runtime.step import step

    with step("calibrate") as meter:
        from components.calibrate.calibrate import calibrate_model
        from recap_model.data.dataset.manifest import DatasetManifest

        calibrate_model(
            snapshot.path,
            model.path,
            calibration_set.path,
            out=calibrated_model.path,
            report=reliability.path,
        )
        meter.rows = DatasetManifest.read(calibration_set.path).rows
        reliability.metadata.update(meter.metadata())
