"""Adjusting p-values when many features, layers or supports are tested.

    Holm                    p~_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))          [Holm 1979]
    Benjamini-Hochberg      p~_(i) = min_{j >= i} min(1, m p_(j) / j)                [1995]
    Benjamini-Yekutieli     the same times 1 + 1/2 + ... + 1/m                       [2001]

for p_(1) <= ... <= p_(m). Rejecting where p~ <= alpha keeps at alpha, with Holm, the chance of even
one false discovery, whatever the dependence; with the others the expected share of false ones
among all discoveries, Benjamini-Hochberg for independent or positively dependent tests and
Benjamini-Yekutieli for any. Probes of one layer share activations, so their dependence is unknown.

What to adjust, and what it does not do:

- A family is everything that was tried, the failures included: 300 features x 30 layers are 9000
  tests, not the 40 that are shown. Resolution counts: a permutation test with B permutations cannot
  go below 1 / (1 + B), and Holm over m tests then needs B >= m / alpha.
- The best of many is not typical. The largest test F1 over layers, ridges or neurons is biased
  upwards by the choice; choose on training or validation rows and score the choice once on rows
  that no choice has seen. Adjusting p-values does not repair the score itself.
- Supports tie. That another support is nearly as good is no matter of significance: compare them
  by a paired bootstrap on held-out documents.
- Certificates need no correction. "No support of size k has a smaller training objective" is
  proven, not inferred; it is exactly as true for the thousandth feature as for the first. It says
  nothing of new documents: that is what these tests and intervals are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64

Array = np.ndarray
Method = Literal["holm", "benjamini_hochberg", "benjamini_yekutieli"]


def adjust_p_values(
    p_values: Sequence[float] | Float64[Array, "m"], method: Method = "holm"
) -> Float64[Array, "m"]:
    """Adjusted p-values in the order given.

    Raises:
        ValueError: unknown method, or something that is no list of numbers in [0, 1].
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise ValueError("p-values must be a list of numbers between 0 and 1, without NaN")
    if method not in get_args(Method):
        raise ValueError(f"unknown method {method!r}; choose one of {', '.join(get_args(Method))}")
    if not len(p):
        return p
    if method == "holm":
        order = np.argsort(p, kind="stable")
        adjusted = np.empty_like(p)
        adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
        return np.minimum(adjusted, 1.0)
    from scipy.stats import false_discovery_control

    return false_discovery_control(p, method="bh" if method == "benjamini_hochberg" else "by")
