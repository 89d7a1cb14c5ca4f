"""A made-up log of offers shown to people: amounts that are mostly 0, codes, words, noise, and users that return."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

ROWS_A_DAY, DAYS, USERS, OFFERS = 5_000, 8, 2_500, 400
TASKS = {"opened": "opened", "bought": "bought"}
IDS = {"user": "user", "candidate": "offer"}
_FIRST_DAY = date(2026, 5, 1)


def write_made_up(folder: Path, seed: int = 0) -> Path:
    """Write the log under ``folder``; returns its root."""
    random = np.random.default_rng(seed)
    people, offers = _people(random), _offers(random)
    for number in range(DAYS):
        day = folder / f"date={_FIRST_DAY + timedelta(days=number)}"
        day.mkdir(parents=True)
        pq.write_table(_impressions(random, people, offers), day / "part-0000.parquet")
    return folder


def _people(random: np.random.Generator) -> dict[str, NDArray]:
    gain = np.where(random.random(USERS) < 0.08, random.lognormal(8.0, 1.2, USERS), 0.0)
    return {
        "age": random.integers(18, 90, USERS),
        "hours": np.clip(random.normal(40, 12, USERS), 1, 99).round(),
        "gain": gain.round(),
        "job": random.integers(1, 16, USERS),
        "region": random.choice([f"region-{n}" for n in range(40)], USERS),
        "zip": np.arange(USERS) // 3 + 10_000,
        "taste": random.normal(0, 0.6, USERS),
    }


def _offers(random: np.random.Generator) -> dict[str, NDArray]:
    return {
        "price": random.lognormal(3.0, 1.0, OFFERS).round(2),
        "brand": random.choice([f"brand-{n}" for n in range(25)], OFFERS),
        "appeal": random.normal(0, 0.7, OFFERS),
    }


def _impressions(
    random: np.random.Generator, people: dict[str, NDArray], offers: dict[str, NDArray]
) -> pa.Table:
    user = random.integers(0, USERS, ROWS_A_DAY)
    offer = random.integers(0, OFFERS, ROWS_A_DAY)
    person = {name: values[user] for name, values in people.items()}
    shown = {name: values[offer] for name, values in offers.items()}
    seen = random.poisson(1.5, ROWS_A_DAY)
    wealthy = (person["gain"] > 3_000) + 1.5 * (person["gain"] > 8_000)
    logit = (
        -1.2
        - ((person["age"] - 45) / 22.0) ** 2
        + 0.8 * wealthy
        + 0.5 * np.sin(person["job"] * 2.3)
        + 0.03 * (person["hours"] - 40) * (person["job"] % 3 == 0)
        - 0.35 * np.log(shown["price"]) * (wealthy == 0)
        - 0.3 * seen
        + person["taste"]
        + shown["appeal"]
        + 2.4
    )
    opened = random.random(ROWS_A_DAY) < 1 / (1 + np.exp(-logit))
    bought = opened & (random.random(ROWS_A_DAY) < 1 / (1 + np.exp(1.5 - wealthy + 0.5 * seen)))
    noise = {f"noise_{number}": random.normal(size=ROWS_A_DAY) for number in range(4)}
    hours = np.where(random.random(ROWS_A_DAY) < 0.1, np.nan, person["hours"])
    log = {
        "user": user,
        "offer": offer,
        **{name: person[name] for name in ("age", "gain", "job", "region")},
        "zip": [str(code) for code in person["zip"]],
        "hours": hours,
        **{name: shown[name] for name in ("price", "brand")},
        "times_seen": seen,
        **noise,
        "receipt": np.where(bought, random.integers(1, 10**6, ROWS_A_DAY), 0),
        "opened": opened,
        "bought": bought,
    }
    return pa.table(log)
