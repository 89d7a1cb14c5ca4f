"""Clean days of another kind than the sample log's: skewed amounts, rare categories, weekends, volume by season."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recap_model.config import RecapConfig
from tests.tiny import DAY_MS, tiny_config

FIRST = date(2026, 4, 1)


def shop_config(**validation: object) -> RecapConfig:
    """A shop's log: what is shown, clicked and bought."""
    features = {
        "continuous": ["amount", "stock", "discount", "temperature", "last_visit_days"],
        "binary": ["is_weekend", "is_new"],
        "discrete": ["category", "brand", "weekday"],
        "ids": {"user": "customer", "candidate": "product"},
        "timestamps": {"impressed": "seen_ms"},
    }
    tasks = {
        "click": {},
        "buy": {"given": "click"},
        "stay": {"kind": "value", "label": "stay_s", "scale": 10, "score_weight": 0.0},
    }
    model = tiny_config().model.model_dump(exclude_none=True)
    return tiny_config(features=features, tasks=tasks, model=model, validation=validation)


def shop_rows(day: date, rows: int, seed: int = 0) -> pa.Table:
    """One day: every customer and product has amounts of its own, and comes several times."""
    world = np.random.default_rng(seed)
    products, customers = 400, 3000
    price, category = world.pareto(1.3, products) * 20.0, np.minimum(world.zipf(1.6, products), 300)
    loyal = world.exponential(20.0, customers)
    random = np.random.default_rng([seed, day.toordinal()])
    product = random.zipf(1.5, rows) % products
    customer = np.repeat(random.integers(0, customers, rows // 4 + 1), 4)[:rows]
    weekend = day.weekday() >= 5
    click = random.random(rows) < (0.12 if weekend else 0.1)
    seen = (day - date(1970, 1, 1)).days * DAY_MS + np.sort(random.integers(0, DAY_MS, rows))
    season = 15.0 + 3.0 * np.sin(2 * np.pi * day.toordinal() / 365.0)
    discount = np.where(random.random(rows) < 0.7, 0.0, random.uniform(0.05, 0.5, rows))
    return pa.table(
        {
            "customer": customer,
            "product": product,
            "seen_ms": seen,
            "amount": price[product].astype(np.float32),
            "stock": random.poisson(0.4, rows).astype(np.float32),
            "discount": discount.astype(np.float32),
            "temperature": (season + random.normal(0, 4, rows)).astype(np.float32),
            "last_visit_days": pa.array(loyal[customer], mask=random.random(rows) < 0.2),
            "is_weekend": np.full(rows, weekend, dtype=np.int8),
            "is_new": (random.random(rows) < 0.01).astype(np.int8),
            "category": category[product],
            "brand": 10**12 + product % 37,
            "weekday": np.full(rows, day.weekday()),
            "click": click.astype(np.int8),
            "buy": (click & (random.random(rows) < 0.1)).astype(np.int8),
            "stay_s": np.where(
                random.random(rows) < 0.4, 0.0, loyal[customer] * random.exponential(1.0, rows)
            ),
        }
    )


def write_shop_log(root: Path, first: int, days: int, rows: int = 1500, seed: int = 0) -> Path:
    """Days from the ``first`` on, counted from 0; more rows at the weekend, and by season."""
    for number in range(first, first + days):
        day = FIRST + timedelta(days=number)
        folder = root / f"date={day.isoformat()}"
        folder.mkdir(parents=True)
        volume = (1.2 if day.weekday() >= 5 else 1.0) * (1.0 + 0.01 * number)
        pq.write_table(shop_rows(day, int(rows * volume), seed), folder / "part-00000.parquet")
    return root
