"""A constant, logistic regression and gradient-boosted trees, a model for each task, on the columns of our model."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from tests.benchmarks.quality.sets import Columns

_MAX_CATEGORIES = 250
_BOOSTING = {"early_stopping": True, "random_state": 0, "max_iter": 300, "learning_rate": 0.06}
Predictions = NDArray[np.float64]


def signed_log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(values) * np.log1p(np.abs(values))


def constant(train: Columns, test: Columns, task: int) -> Predictions:
    """The rate of the training rows."""
    return np.full(len(test.labels), np.nanmean(train.labels[:, task]))


def logistic_regression(train: Columns, test: Columns, task: int) -> Predictions:
    """One-hot categories, standardised signed logs with a flag where missing, L2 with C = 1."""
    numbers = train.continuous.shape[1]
    split = make_column_transformer(
        (
            make_pipeline(
                FunctionTransformer(signed_log), SimpleImputer(add_indicator=True), StandardScaler()
            ),
            list(range(numbers)),
        ),
        (
            OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5),
            list(range(numbers, numbers + train.discrete.shape[1])),
        ),
        remainder="passthrough",
    )
    model = make_pipeline(split, LogisticRegression(max_iter=300))
    labelled = ~np.isnan(train.labels[:, task])
    model.fit(_joined(train)[labelled], train.labels[labelled, task])
    return model.predict_proba(_joined(test))[:, 1]


def boosted_trees(train: Columns, test: Columns, task: int) -> Predictions:
    """HistGradientBoosting with early stopping; columns of up to 250 ids are categories, larger ones numbers."""
    model = HistGradientBoostingClassifier(categorical_features=_categories(train), **_BOOSTING)
    labelled = ~np.isnan(train.labels[:, task])
    model.fit(_joined(train)[labelled], train.labels[labelled, task])
    return model.predict_proba(_joined(test))[:, 1]


def median(train: Columns, test: Columns, task: int) -> Predictions:
    """The median of the training rows."""
    return np.full(len(test.labels), np.nanmedian(train.labels[:, task]))


def boosted_values(
    train: Columns, test: Columns, task: int, loss: Literal["absolute_error", "gamma", "poisson"]
) -> Predictions:
    """As `boosted_trees`, for a value; gamma and Poisson are Tweedie's families with powers 2 and 1."""
    model = HistGradientBoostingRegressor(loss=loss, categorical_features=_categories(train), **_BOOSTING)
    labels = train.labels[:, task]
    rows = labels > 0 if loss == "gamma" else ~np.isnan(labels)
    model.fit(_joined(train)[rows], labels[rows])
    return model.predict(_joined(test))


def _categories(train: Columns) -> list[int]:
    highest = train.discrete.max(axis=0, initial=0)
    return [train.continuous.shape[1] + place for place, top in enumerate(highest) if top < _MAX_CATEGORIES]


def _joined(columns: Columns) -> NDArray[np.float64]:
    return np.hstack([columns.continuous, columns.discrete, columns.binary])
