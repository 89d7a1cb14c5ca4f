"""``recap config``: check a config, or print it with every default."""

from typing import Annotated

import typer

from pipeline.cli.workspace import config_path

config_app = typer.Typer(help="Check a config, or print it with every default.", no_args_is_help=True)

ConfigArgument = Annotated[str, typer.Argument(help="A YAML file, or the name of a config that comes along.")]


@config_app.command()
def check(config: ConfigArgument) -> None:
    """Say all that is wrong with a config, a line for each error; exit status 1 if anything is."""
    from recap_model.config import load_config

    path = config_path(config)
    settings = load_config(path)
    typer.echo(
        f"{path}: fine; {len(settings.tasks)} tasks, {len(settings.features.columns())} feature columns"
    )


@config_app.command()
def show(config: ConfigArgument) -> None:
    """Print the whole effective config, defaults included, as YAML."""
    from recap_model.config import load_config

    typer.echo(load_config(config_path(config)).to_yaml(), nl=False)
