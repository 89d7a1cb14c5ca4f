"""A shop's log of impressions, with columns and types of its own: ``python docs/examples/shop.py LOG``."""

import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

DAYS, VIEWS = 6, 4000
BRANDS = ["acme", "globex", "initech", "umbrella"]


def views(day: date, number: int) -> pd.DataFrame:
    """One day: cheap things are clicked more, and brands that a visitor likes; every fourth click is a purchase."""
    random = np.random.default_rng(number)
    visitor, brand = random.integers(0, 300, VIEWS), random.integers(0, len(BRANDS), VIEWS)
    price = random.lognormal(3.0, 0.8, VIEWS)
    likes_it = visitor % len(BRANDS) == brand
    clicked = random.random(VIEWS) < 1 / (1 + np.exp(0.5 + 0.9 * (np.log(price) - 3.0) - 1.5 * likes_it))
    return pd.DataFrame(
        {
            "page_view": [f"{day}/{row // 8}" for row in range(VIEWS)],
            "visitor": [f"visitor-{one}" for one in visitor],
            "article": [f"article-{one}" for one in random.integers(0, 900, VIEWS)],
            "seen_at": pd.Timestamp(day)
            + pd.to_timedelta(np.sort(random.integers(0, 86_000, VIEWS)), unit="s"),
            "brand": pd.Categorical.from_codes(brand, BRANDS),
            "price": price,
            "on_sale": random.random(VIEWS) < 0.2,
            "bought_brand_before": likes_it & (random.random(VIEWS) < 0.6),
            "clicked": clicked,
            "bought": clicked & (random.random(VIEWS) < 0.25),
        }
    )


def main(log: Path) -> None:
    """Write a folder for each day."""
    for number in range(DAYS):
        day = date(2026, 5, 1) + timedelta(days=number)
        folder = log / f"date={day}"
        folder.mkdir(parents=True, exist_ok=True)
        views(day, number).to_parquet(folder / "views.parquet", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
