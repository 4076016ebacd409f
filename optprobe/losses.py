"""Losses of the margin, each through its dual maximiser and its conjugate.

    l(m) = max_a { -a m + H(a) },   a in the loss's box,   -l'(m) = the maximising a  [BPV21, (4)]

Every H is concave with H(0) = 0, which is what the intercept repair of `bounds.py` rests on.
Squared error, for a number instead of a class, has the same form: its margin is the score itself
(the sign of every row is +1) and it holds the targets, one per row.
Source: Bertsimas, Pauphilet, Van Parys 2021, "Sparse classification: a scalable discrete
optimization perspective" (BPV21).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

Array = np.ndarray


class Terms(NamedTuple):
    """One pass over the margins: l(m), a(m) = -l'(m) and the curvature l''(m), shapes of m."""

    value: Float[Array, "*shape"]
    dual: Float[Array, "*shape"]
    curvature: Float[Array, "*shape"]


@runtime_checkable
class Loss(Protocol):
    """A convex loss of the margin m = y (x . beta + b), rows on the last axis."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    @property
    def lipschitz(self) -> float:
        """The largest curvature: l' is Lipschitz with this constant (infinite for the hinge)."""
        ...

    @property
    def lower(self) -> float:
        """The box of the dual variable is [lower, upper]: from 0 if the loss never increases."""
        ...

    @property
    def upper(self) -> float:
        """The other end of the box."""
        ...

    def value(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """l(m), elementwise."""
        ...

    def dual(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """a(m), the maximiser of -a m + H(a), elementwise; l'(m) = -a(m)."""
        ...

    def terms(self, margin: Float[Array, "*shape"]) -> Terms:
        """l, a and l'' in one pass over the margins."""
        ...

    def conjugate(self, dual: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """H(a), elementwise, for a inside the box."""
        ...

    def smoothed(self, mu: float | Array) -> Loss:
        """A smooth loss whose a(m) lies in the same box; the loss itself if it is smooth."""
        ...


@dataclass(frozen=True)
class Logistic:
    """l(m) = ln(1 + e^-m),  H(a) = -a ln a - (1-a) ln(1-a),  a(m) = 1/(1 + e^m) in [0, 1]."""

    name: str = "logistic"
    lipschitz: float = 0.25
    lower: float = 0.0
    upper: float = 1.0

    def value(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """ln(1 + e^-m) as max(-m, 0) + ln(1 + e^-|m|): no overflow at any margin."""
        return np.maximum(-margin, 0.0) + np.log1p(np.exp(-np.abs(margin)))

    def dual(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """1/(1 + e^m) from e^-|m|: no overflow at any margin."""
        small = np.exp(-np.abs(margin))
        return np.where(margin > 0.0, small, 1.0) / (1.0 + small)

    def terms(self, margin: Float[Array, "*shape"]) -> Terms:
        """One exponential and one logarithm for all three; errors of 2e-16 max(1, |m|)."""
        clipped = np.minimum(margin, 700.0)
        growth = np.exp(clipped)
        total = 1.0 + growth
        dual = 1.0 / total
        return Terms(np.log(total) - clipped, dual, growth * dual * dual)

    def conjugate(self, dual: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Entropy, with 0 ln 0 = 0."""
        rest = 1.0 - dual
        tiny = np.finfo(float).tiny
        return -(dual * np.log(np.maximum(dual, tiny)) + rest * np.log(np.maximum(rest, tiny)))

    def smoothed(self, mu: float | Array) -> Loss:
        """Smooth already: itself, whatever mu."""
        return self


@dataclass(frozen=True)
class SquaredHinge:
    """l(m) = max(0, 1-m)^2,  H(a) = a - a^2/4,  a(m) = 2 max(0, 1-m) >= 0."""

    name: str = "squared_hinge"
    lipschitz: float = 2.0
    lower: float = 0.0
    upper: float = np.inf

    def value(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """max(0, 1-m)^2."""
        return np.maximum(1.0 - margin, 0.0) ** 2

    def dual(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """2 max(0, 1-m)."""
        return 2.0 * np.maximum(1.0 - margin, 0.0)

    def terms(self, margin: Float[Array, "*shape"]) -> Terms:
        """The curvature is 2 below m = 1 and 0 above."""
        slack = np.maximum(1.0 - margin, 0.0)
        return Terms(slack * slack, 2.0 * slack, np.where(slack > 0.0, 2.0, 0.0))

    def conjugate(self, dual: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """a - a^2/4."""
        return dual - 0.25 * dual * dual

    def smoothed(self, mu: float | Array) -> Loss:
        """Smooth enough (l' is Lipschitz): itself, whatever mu."""
        return self


@dataclass(frozen=True)
class Hinge:
    """l(m) = max(0, 1-m),  H(a) = a,  a(m) = 1 if m < 1 else 0, in [0, 1]."""

    name: str = "hinge"
    lipschitz: float = np.inf
    lower: float = 0.0
    upper: float = 1.0

    def value(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """max(0, 1-m)."""
        return np.maximum(1.0 - margin, 0.0)

    def dual(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """1 below the kink, 0 above it (every a in [0, 1] is a maximiser on it)."""
        return np.where(margin < 1.0, 1.0, 0.0)

    def terms(self, margin: Float[Array, "*shape"]) -> Terms:
        """The curvature is 0 wherever it exists."""
        return Terms(self.value(margin), self.dual(margin), np.zeros_like(margin))

    def conjugate(self, dual: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The identity."""
        return dual

    def smoothed(self, mu: float | Array) -> Loss:
        """The hinge on its central path: dual points within 2 mu of the best."""
        return BarrierHinge(mu=mu)


@dataclass(frozen=True)
class BarrierHinge:
    """max_a {-a m + a + mu (ln a + ln(1-a))}: the hinge's central path.

    a(m) = 2 mu / (t + 2 mu + sqrt(t^2 + 4 mu^2)) with t = m - 1, strictly inside (0, 1).
    Its dual points serve the hinge and lose at most 2 mu; its value is not the hinge's.
    """

    mu: float | Array
    name: str = "hinge"
    lower: float = 0.0
    upper: float = 1.0

    @property
    def lipschitz(self) -> float:
        """1/(8 mu), the curvature at m = 1."""
        return float(1.0 / (8.0 * np.min(self.mu)))

    def value(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """-a m + a + mu (ln a + ln(1-a)) at the maximising a."""
        dual = self.dual(margin)
        return dual * (1.0 - margin) + self.mu * np.log(dual * self.dual(2.0 - margin))

    def dual(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Without cancellation: a(t) = 1 - a(-t), and the formula holds for t >= 0."""
        distance = np.abs(margin - 1.0)
        root = np.sqrt(distance * distance + 4.0 * self.mu * self.mu)
        small = 2.0 * self.mu / (distance + 2.0 * self.mu + root)
        return np.where(margin >= 1.0, small, 1.0 - small)

    def terms(self, margin: Float[Array, "*shape"]) -> Terms:
        """The curvature is 1 / (mu/a^2 + mu/(1-a)^2)."""
        dual, rest = self.dual(margin), self.dual(2.0 - margin)
        value = dual * (1.0 - margin) + self.mu * np.log(np.maximum(dual * rest, 1e-300))
        square = (dual * rest) ** 2
        return Terms(value, dual, square / (self.mu * (dual * dual + rest * rest)))

    def conjugate(self, dual: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The hinge's own H(a) = a: these points are used to bound the hinge."""
        return dual

    def smoothed(self, mu: float | Array) -> Loss:
        """The hinge smoothed by another mu."""
        return BarrierHinge(mu=mu)


@dataclass(frozen=True)
class SoftHinge:
    """l(m) = mu log(1 + exp((1-m) / mu)): the hinge with a rounded kink, a logistic loss to scale.

    H(a) = a + mu H_logistic(a) in [0, 1]. It is above the hinge by mu log 2 at most, and Newton's
    method fits it several times faster: searches for a support that is then fitted with the hinge
    itself use it.
    """

    mu: float
    name: str = "soft_hinge"
    lower: float = 0.0
    upper: float = 1.0

    @property
    def lipschitz(self) -> float:
        """1/(4 mu), the curvature at m = 1."""
        return 0.25 / self.mu

    def value(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """mu l_logistic((m-1) / mu)."""
        return self.mu * Logistic().value((margin - 1.0) / self.mu)

    def dual(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """a_logistic((m-1) / mu)."""
        return Logistic().dual((margin - 1.0) / self.mu)

    def terms(self, margin: Float[Array, "*shape"]) -> Terms:
        """The curvature is a (1-a) / mu."""
        terms = Logistic().terms((margin - 1.0) / self.mu)
        return Terms(self.mu * terms.value, terms.dual, terms.curvature / self.mu)

    def conjugate(self, dual: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """a + mu (-a ln a - (1-a) ln(1-a))."""
        return dual + self.mu * Logistic().conjugate(dual)

    def smoothed(self, mu: float | Array) -> Loss:
        """Smooth already: itself, whatever mu."""
        return self


@dataclass(frozen=True, eq=False)
class SquaredError:
    """l_i(t) = (y_i - t)^2 / 2,  H_i(a) = a y_i - a^2/2,  a_i(t) = y_i - t, any real number.

    Attributes:
        target: y_i of the rows that the last axis of every margin runs over.
    """

    target: Float[Array, "n"]
    name: str = "squared_error"
    lipschitz: float = 1.0
    lower: float = -np.inf
    upper: float = np.inf

    def value(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """(y - t)^2 / 2."""
        residual = self.dual(margin)
        return 0.5 * residual * residual

    def dual(self, margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The residual y - t, in the precision of the scores."""
        return self.target.astype(margin.dtype) - margin

    def terms(self, margin: Float[Array, "*shape"]) -> Terms:
        """The curvature is 1."""
        residual = self.dual(margin)
        return Terms(0.5 * residual * residual, residual, np.ones_like(margin))

    def conjugate(self, dual: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """a y - a^2/2."""
        return dual * (self.target - 0.5 * dual)

    def smoothed(self, mu: float | Array) -> Loss:
        """Smooth already: itself, whatever mu."""
        return self


SQUARED_ERROR = "squared_error"
"""The name of the loss that is not in `LOSSES`, because every problem has one of its own."""

LOSSES: dict[str, Loss] = {loss.name: loss for loss in (Logistic(), SquaredHinge(), Hinge())}
"""Every loss of two classes by name; a new one joins here and inherits the parametrised tests."""


def get_loss(name: str) -> Loss:
    """The loss of two classes of that name; ValueError names the choices."""
    if name not in LOSSES:
        raise ValueError(
            f"unknown loss {name!r}; choose one of {', '.join(LOSSES)} for two classes "
            f"(numbers take {SQUARED_ERROR}, in Problem.of and `optprobe solve` alone)"
        )
    return LOSSES[name]
