"""Every setting of a config is described, on docs/settings.md and by ``recap config show --explain``."""

import typing
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.settings_page import settings_page
from recap_model.config import RecapConfig
from recap_model.config.reading.settings import field_text, list_sections, list_settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_what_the_config_says():
    assert PAGE.read_text() == settings_page(), "run make compile"


def test_every_setting_has_a_description():
    for section in list_sections(RecapConfig):
        for name, field in section.model.model_fields.items():
            is_tag = len(typing.get_args(field.annotation)) == 1  # the word that chooses a section
            assert field_text(field) or is_tag, f"{section.path}.{name}"


def test_values_and_defaults_are_written_in_words():
    settings = {
        f"{section.path}.{setting.name}": (setting.values, setting.default)
        for section in list_sections(RecapConfig)
        for setting in list_settings(section.model)
    }
    assert settings["training.batch_size"] == ("whole number, from 1", "1024")
    assert settings["training.ema_decay"] == ("number, over 0 under 1", "")
    assert settings["training.device"] == ("`auto`, `cpu`, `cuda`", "auto")
    assert settings["data.split (by: days).test_days"] == ("whole number, from 1 to 36,600", "1")
    assert settings["calibration.tasks"][1] == "{}"
    assert settings["optimizer.embeddings.learning_rate.linear_ramp_to_cosine.final_num_steps"] == (
        "whole number, from 1 or number, over 0 under 1 or `auto`",
        None,
    )
    assert settings["tasks.NAME.score_weight"] == ("number", "1.0")


@pytest.mark.parametrize("name", ["sample", "history", "heavy_ranker"])
def test_an_explained_config_is_the_same_config(name: str):
    plain, explained = (
        CliRunner().invoke(app, ["config", "show", name, *options]).output for options in ([], ["--explain"])
    )
    assert yaml.safe_load(explained) == yaml.safe_load(plain)
    assert (
        "epochs: 1  # passes over the training rows" in explained or "# passes over the training" in explained
    )
    assert max(map(len, explained.splitlines())) <= 118
