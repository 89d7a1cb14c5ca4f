"""The published metrics' numbers: weighted RCE, NRCE and AUROC of one batch with ties."""

import pytest

from recap_model import metrics
from tests.golden.vectors import golden_folder, names_of, read

NAMES = [name for name in names_of("other") if name.startswith("metrics")]
OURS = {
    "rce": metrics.relative_cross_entropy,
    "nrce_single_batch": metrics.normalised_rce,
    "auroc": metrics.auc,
}


@pytest.mark.skipif(not NAMES, reason=f"no vectors of metrics in {golden_folder()}")
@pytest.mark.parametrize("metric", OURS)
def test_a_metric_is_the_published_one(metric: str):
    for name in NAMES:
        vector = read(name)
        rows = (vector.inputs[column].numpy() for column in ("label", "prediction", "weight"))
        assert OURS[metric](*rows) == pytest.approx(vector.outputs[metric].item(), abs=1e-5)
