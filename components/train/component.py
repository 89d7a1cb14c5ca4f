"""The kfp component of train."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("train"), install_kfp_package=False)
def train(
    snapshot: dsl.Input[dsl.Dataset],
    train_set: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    curves: dsl.Output[dsl.HTML],
) -> None:
    """Train the model of the snapshot's config on the training set."""
    from components.common.runtime.step import step

    with step("train") as meter:
        from components.train.gpus import count_gpus
        from components.train.train import train_model

        trained = train_model(snapshot.path, train_set.path, out=model.path, curves=curves.path)
        meter.rows, meter.gpus = trained.rows * trained.epochs, count_gpus(snapshot.path)
        curves.metadata.update(meter.metadata())
