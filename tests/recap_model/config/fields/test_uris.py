"""Addresses with a password are refused, without repeating it."""

import pytest

from recap_model.config import ConfigError, parse_config
from recap_model.config.fields.uris import mask_secrets, without_secret
from tests.tiny import tiny_config

CANARY = "canary-7f3a"


@pytest.mark.parametrize(
    ("address", "way"),
    [
        (f"http://someone:{CANARY}@mlflow:5000", "MLFLOW_TRACKING_PASSWORD"),
        (f"https://someone:{CANARY}@mlflow", "MLFLOW_TRACKING_PASSWORD"),
        (f"s3://key:{CANARY}@bucket/log", "AWS_SECRET_ACCESS_KEY"),
        (f"postgresql+psycopg2://someone:{CANARY}@database/mlflow", "PGPASSWORD"),
        (f"mysql://someone:{CANARY}@database/mlflow", "environment"),
        (f"http://someone:{CANARY}@x@mlflow:5000", "MLFLOW_TRACKING_PASSWORD"),
        (f"HTTPS://{CANARY}@mlflow", "the environment"),
        (f"postgresql://someone:{CANARY}/x@database/mlflow", "PGPASSWORD"),
        (f"postgresql://database/mlflow?user=me&password={CANARY}", "PGPASSWORD"),
        (f"s3://bucket/log?secret_key={CANARY}", "AWS_SECRET_ACCESS_KEY"),
        (f"s3://bucket/log?region=x&X-Amz-Signature={CANARY}", "AWS_SECRET_ACCESS_KEY"),
        (f"abfss://container@account.net/log?sig={CANARY}", "environment"),
        (f"mssql+pyodbc:///?odbc_connect=Driver%3Dx%3BPWD%3D{CANARY}", "environment"),
        (f"someone:{CANARY}@mlflow", "environment"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(address: str, way: str):
    with pytest.raises(ValueError, match="holds a password") as refused:
        without_secret(address, "data_root")
    assert CANARY not in str(refused.value)
    assert way in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/a@b:c/log",
        "http://mlflow:5000/path",
        "postgresql://someone@database/mlflow",
        "/a/folder:with@signs",
        "sqlite:////folder/mlflow.db",
        "http://[::1]:5000",
        "http://mlflow:5000/path@x",
        "abfss://container@account.dfs.core.windows.net/log",
        "gs://anonymous@bucket/log",
        "s3://bucket/key=5/token=a/log?region=x&endpoint_override=localhost:9000",
    ],
)
def test_an_address_without_one_stays_as_it_is(address: str):
    assert without_secret(address, "data_root") == address


def test_secrets_of_addresses_that_an_error_quotes_are_hidden():
    said = f"Pool: https://{CANARY}@h:1/x?a=1&token={CANARY} from 'postgresql://u:{CANARY}/x@db' at a@b"
    assert mask_secrets(said) == ("Pool: https://***@h:1/x?a=1&token=*** from 'postgresql://***@db' at a@b")


def test_a_config_with_a_password_is_refused_by_the_path_of_its_field():
    content = tiny_config().model_dump(mode="json")
    content["registry"]["tracking_uri"] = f"http://someone:{CANARY}@mlflow:5000"
    with pytest.raises(ConfigError, match=r"registry\.tracking_uri") as refused:
        parse_config(content)
    assert CANARY not in str(refused.value)
