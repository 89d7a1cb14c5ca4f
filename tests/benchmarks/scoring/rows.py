"""Random rows under a config's own column names."""

import numpy as np
import pyarrow as pa

from recap_model.config import RecapConfig
from recap_model.config.data.features import DENSE_GROUPS, ListColumn


def random_rows(config: RecapConfig, count: int, seed: int = 0) -> pa.Table:
    """Rows with the ids and the features that the config names."""
    random = np.random.default_rng(seed)
    features = config.features
    ids = [name for name in (features.ids.request, features.ids.user, features.ids.candidate) if name]
    columns: dict[str, pa.Array] = {name: pa.array(np.arange(count)) for name in ids}
    for group in DENSE_GROUPS:
        width, value = features.width(group), getattr(features, group)
        if not width:
            continue
        if group == "discrete":
            values = random.integers(0, 5, (count, width))
        else:
            values = random.normal(size=(count, width)).astype(np.float32)
            values = (values > 0).astype(np.float32) if group == "binary" else values
        if isinstance(value, ListColumn):
            columns[value.column] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)
        else:
            columns |= {name: pa.array(values[:, place].copy()) for place, name in enumerate(value)}
    return pa.table(columns)
