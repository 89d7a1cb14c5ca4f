"""A sequential test that holds however often it is looked at: e-processes, and their mean over several hypotheses.

A hypothesis says that a quantity's mean is, day after day, not beyond a bound. A day's estimate less the bound, d_t,
counted towards the bad side, is normal with variance v_t: its sampling error's and that between days. Where the bound
is an estimate too, its error, of variance r, is the same on every day. With S = sum d_t / v_t and V = sum 1 / v_t,
the score A = S / (1 + r V) has the information B = V / (1 + r V), and the one-sided normal mixture

    M = sqrt(4 rho / (B + rho)) exp(A^2 / (2 (B + rho))) Phi(A / sqrt(B + rho))

is, while the hypothesis holds, a nonnegative supermartingale that starts at 1 (Howard, Ramdas, McAuliffe, Sekhon,
Annals of Statistics 49(2), 2021, Proposition 6; here of the likelihood ratios of normal d_t of that covariance). It
ever reaches 1 / alpha with a probability of at most alpha (Ville's inequality). A champion that decays late has days
behind it that speak for it: so a mixture begins on each of the days 1, 2, 4, 8, ..., the j-th weighted by
1 / (j (j + 1)), and their sum is such a process too (compare Shin, Ramdas, Rinaldo, "E-detectors", 2024).
So is a weighted mean over several hypotheses, whatever their dependence.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

TUNED_FOR_DAYS = 1
"""The number of days after which a mixture finds the smallest decay; any other number loses a little."""

_LARGEST = 690.0  # of a logarithm whose exponential is a float


class Deviation(NamedTuple):
    """A day's estimate less the bound, positive on the bad side, with its variance."""

    value: float
    variance: float


def e_process(
    days: Sequence[Deviation], usual_variance: float, alpha: float, bound_variance: float = 0.0
) -> NDArray[np.float64]:
    """The evidence against one hypothesis after each day: e-values, of which 1 says nothing, 1 / alpha rejects.

    Args:
        usual_variance: of a day, known beforehand; the mixtures are tuned with it.
        bound_variance: of the bound, if that is an estimate.

    >>> e_process([Deviation(0.0, 1.0), Deviation(6.0, 1.0)], 1.0, 0.05).round(2).tolist()
    [0.67, 977965.88]
    """
    count = len(days)
    scores = np.concatenate([[0.0], np.cumsum([day.value / day.variance for day in days])])
    information = np.concatenate([[0.0], np.cumsum([1.0 / day.variance for day in days])])
    rho = _tune(TUNED_FOR_DAYS / usual_variance, alpha, bound_variance)
    evidence = np.zeros(count)
    begins = [begin for begin in (2**power - 1 for power in range(count.bit_length())) if begin < count]
    for number, begin in enumerate(begins, start=1):
        gathered = information[begin + 1 :] - information[begin]
        shrink = 1.0 + bound_variance * gathered
        mixture = _mixture((scores[begin + 1 :] - scores[begin]) / shrink, gathered / shrink, rho)
        evidence[:begin] += 1.0 / (number * (number + 1))  # it has not begun, and is 1
        evidence[begin:] += mixture / (number * (number + 1))
    return evidence + 1.0 / (len(begins) + 1)


def _tune(information: float, alpha: float, bound_variance: float) -> float:
    """The mixture's precision whose boundary is narrowest at that information (Howard et al., section 3.5)."""
    log_alpha = -2.0 * math.log(alpha)
    return information / (1.0 + bound_variance * information) / (log_alpha + math.log(1.0 + log_alpha))


def _mixture(score: NDArray[np.float64], information: NDArray[np.float64], rho: float) -> NDArray[np.float64]:
    spread = information + rho
    logs = 0.5 * np.log(4.0 * rho / spread) + score**2 / (2.0 * spread) + log_ndtr(score / np.sqrt(spread))
    return np.exp(np.minimum(logs, _LARGEST))


def combine(processes: Sequence[NDArray[np.float64]], weights: Sequence[float]) -> NDArray[np.float64]:
    """The evidence against all hypotheses together, after each day: the weighted mean of at least one process."""
    return np.average(processes, axis=0, weights=weights)
