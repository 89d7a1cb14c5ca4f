"""A config with derived columns."""

from typing import Any

from recap_model.config import RecapConfig, parse_config
from tests.tiny import tiny_config

DERIVED = {
    "likes_per_reply": {"kind": "ratio", "of": ["likes", "replies"]},
    "hour": {"kind": "hour_of_day", "of": ["impressed_ms"]},
    "topic_hour": {"kind": "cross", "of": ["topic", "position"], "buckets": 100},
}


def with_derived(**changed: Any) -> RecapConfig:
    """The tiny config with three derived columns instead of the columns that two of them are of."""
    content = tiny_config().model_dump(exclude_none=True)
    features = {
        "continuous": ["age_hours", "likes_per_reply"],
        "discrete": ["hour", "topic_hour"],
        "derived": DERIVED,
    }
    return parse_config({**content, "features": content["features"] | features | changed})
