"""``recap config``: draft a config for a log, check one, or print it with every default."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.run_options import DataOption
from pipeline.cli.terminal.command_group import CommandGroup
from pipeline.cli.workspace import complete_config, config_path

config_app = typer.Typer(
    cls=CommandGroup,
    help="Draft a config for a log, check one, or print it with every default.",
    no_args_is_help=True,
)

ConfigArgument = Annotated[
    str,
    typer.Argument(
        help="A YAML file, or the name of a config of the package.", autocompletion=complete_config
    ),
]


@config_app.command()
def check(config: ConfigArgument) -> None:
    """Check a config and print every error, one a line. Exit status 1 if there is any.

    Example: `recap config check mine.yaml`
    """
    from recap_model.config import load_config

    path = config_path(config)
    settings = load_config(path)
    typer.echo(
        f"{path}: valid; {len(settings.tasks)} tasks, {len(settings.features.columns())} feature columns"
    )


@config_app.command()
def show(
    config: ConfigArgument,
    explain: Annotated[
        bool, typer.Option("--explain", help="Write what each setting is, as a comment.")
    ] = False,
) -> None:
    """Print the complete effective config, defaults included, as YAML.

    Example: `recap config show sample --explain`
    """
    from pipeline.commented_yaml import write_yaml
    from recap_model.config import load_config
    from recap_model.config.reading.settings import describe_fields

    settings = load_config(config_path(config))
    if not explain:
        typer.echo(settings.to_yaml(), nl=False)
        return
    typer.echo(write_yaml(settings.model_dump(mode="json"), dict(describe_fields(settings))), nl=False)


@config_app.command()
def draft(
    data: DataOption,
    task: Annotated[
        list[str], typer.Option(help="What to predict: a label's column, or NAME=COLUMN. Repeatable.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="File to write, if not standard output; it must not exist.")
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(help="Column with the id of the request, the ranked list that a row belongs to."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Column with the user's id.")] = None,
    candidate: Annotated[str | None, typer.Option(help="Column with the candidate's id.")] = None,
    impressed: Annotated[str | None, typer.Option(help="Column with the time of the impression.")] = None,
    served: Annotated[
        str | None, typer.Option(help="Column with the time at which the list was served.")
    ] = None,
    engaged: Annotated[str | None, typer.Option(help="Column with the time of the engagement.")] = None,
    discrete: Annotated[
        list[str] | None,
        typer.Option(help="A numeric column that holds ids, besides those detected. Repeatable."),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="A column to exclude from the inputs. Repeatable.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the registered model.")] = "recap",
) -> None:
    """Write a first config for a log, from the types of its columns and a sample of the rows of all days.

    Example: `recap config draft --data log --task clicked --task bought --user user_id --out mine.yaml`
    """
    from pipeline.config_draft.config import ColumnRoles, draft_config
    from pipeline.config_draft.sample import read_log
    from recap_model.config.fields.names import check_task
    from recap_model.config.recap import parse_yaml

    if out is not None and out.exists():
        raise FileExistsError(f"{out}: already exists; remove it, or choose another --out")
    labels = {one.partition("=")[0]: one.partition("=")[2] or one for one in task}
    for label in labels:
        try:
            check_task(label)
        except ValueError as error:
            raise ValueError(f"--task {label!r}: {error}, as --task NAME={labels[label]}") from None
    ids = {"request": request, "user": user, "candidate": candidate}
    times = {"impressed": impressed, "served": served, "engaged": engaged}
    roles = ColumnRoles(
        labels,
        {key: column for key, column in ids.items() if column},
        {key: column for key, column in times.items() if column},
        tuple(discrete or ()),
        tuple(leave_out or ()),
    )
    text = draft_config(read_log(data), roles, name)
    parse_yaml(text.encode(), "the draft")
    if out is None:
        typer.echo(text, nl=False)
        return
    out.write_text(text)
    typer.echo(f"{out}: review it, then recap run --config {out} --data {data}")
