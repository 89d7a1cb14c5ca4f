"""The kfp component of register."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("register"), install_kfp_package=False)
def register(
    snapshot: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    validated: dsl.Input[dsl.Dataset],
    test_set: dsl.Input[dsl.Dataset],
    data_docs: dsl.Input[dsl.HTML],
    curves: dsl.Input[dsl.HTML],
    reliability: dsl.Input[dsl.HTML],
    version: dsl.Output[dsl.Artifact],
) -> None:
    """Register the model as a version, with its lineage, and load-test it."""
    from components.common.runtime.step import step

    with step("register") as meter:
        from components.common.runtime.cost import read_metadata
        from components.register.package import requirements_text
        from components.register.register import LoadTestProcess, register_version

        with LoadTestProcess(requirements_text()) as ahead:
            register_version(
                snapshot.path,
                model.path,
                evaluation.path,
                validated.path,
                test_set.path,
                out=version.path,
                reports={"data": data_docs.path, "training": curves.path, "calibration": reliability.path},
                evaluation_uri=evaluation.uri,
                costs={
                    "resolve": read_metadata(snapshot.metadata),
                    "validate": read_metadata(validated.metadata),
                    "prepare": read_metadata(test_set.metadata),
                    "train": read_metadata(curves.metadata),
                    "calibrate": read_metadata(reliability.metadata),
                    "evaluate": read_metadata(evaluation.metadata),
                },
                meter=meter,
                ahead=ahead,
            )
