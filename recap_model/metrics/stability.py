"""Population stability index."""

import numpy as np

from recap_model.metrics.groups import Array

_PRIOR = 0.5


def population_stability_index(p: Array, q: Array) -> float:
    """PSI, ``sum((q - p) * log(q / p))`` of the fractions: Siddiqi, "Credit Risk Scorecards", 2006, ch. 8.

    It is the divergence J of Kullback and Leibler, 1951, eq. 2.5. A class counts half a row more than it has, as of
    Krichevsky and Trofimov, 1981, so that an empty one is finite.

    Shape:
        p, q: (classes,) rows of the reference and of the current sample in the same classes.

    >>> population_stability_index(np.array([10, 20]), np.array([10, 20]))
    0.0
    """
    present = (p > 0) | (q > 0)
    p, q = p[present] + _PRIOR, q[present] + _PRIOR
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))
