"""Single neurons: the exact probe with k = 1 on every column at once.

    P({j}) = min over beta, b of  sum_i w_i l(y_i (beta z_ij + b)) + (lam/2) beta^2

is a convex problem in two unknowns, so fitting every column solves k = 1 exactly. The probe on one
neuron is a threshold on its raw activation: with s = sign(beta) it calls row i positive where

    s (x_ij - t_j) > 0,     t_j = mean_j - b scale_j / beta.

Gurnee et al. 2023 rank single neurons so, and compare them with random directions: the same
activations in a random orthonormal basis (`random_rotation`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int

from optprobe import confusion
from optprobe.matrix import RowSource
from optprobe.matrix.dense import DOUBLE_BYTES
from optprobe.matrix.standardise import row_slices
from optprobe.observations import Data
from optprobe.problem import Problem
from optprobe.support import Fits, fit_supports, signed
from optprobe.threads import in_threads, single_threaded_blas

Array = np.ndarray

SLICE = 2**18
"""Neurons x rows that one thread sorts at a time."""


@dataclass(frozen=True)
class NeuronMetrics:
    """Metrics of every neuron on one set of rows, in the order of the ranking.

    Attributes:
        f1, balanced_accuracy, mcc: of the fitted probe, score > 0.
        roc_auc, average_precision, pr_auc: of the activation in the direction of beta.
        best_f1, best_mcc: of the threshold with the best F1 on the training rows.
    """

    f1: Float64[Array, "p"]
    balanced_accuracy: Float64[Array, "p"]
    mcc: Float64[Array, "p"]
    roc_auc: Float64[Array, "p"]
    average_precision: Float64[Array, "p"]
    pr_auc: Float64[Array, "p"]
    best_f1: Float64[Array, "p"]
    best_mcc: Float64[Array, "p"]


@dataclass(frozen=True)
class Neurons:
    """Every usable neuron, by its training objective; entry 0 is the exact solution of k = 1.

    Attributes:
        column, name: of X.
        objective, lower: upper and lower bound on P({j}), equal up to rounding.
        beta, intercept: on the standardised column.
        sign: +1 where large activations are called positive, -1 where small ones are.
        threshold: raw activation where the score is 0 (infinite if beta is 0).
        f1_threshold: the last raw training activation, in the direction of the sign, that is
            called positive at the best F1 on the training rows: called where
            sign (x - f1_threshold) >= 0.
        train, test: metrics; test is None without held-out rows of both classes.
    """

    column: Int[Array, "p"]
    name: tuple[str, ...]
    objective: Float64[Array, "p"]
    lower: Float64[Array, "p"]
    beta: Float64[Array, "p"]
    intercept: Float64[Array, "p"]
    sign: Int[Array, "p"]
    threshold: Float64[Array, "p"]
    f1_threshold: Float64[Array, "p"]
    train: NeuronMetrics
    test: NeuronMetrics | None

    def rows(self) -> list[dict[str, Any]]:
        """One flat record per neuron, best first, with train_ and test_ before the metrics."""
        columns: dict[str, list[Any]] = {"rank": list(range(1, len(self.column) + 1))}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, NeuronMetrics):
                for name, values in asdict(value).items():
                    columns[f"{one.name}_{name}"] = values.tolist()
            elif value is not None:
                columns[one.name] = list(value) if one.name == "name" else value.tolist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def rank_neurons(problem: Problem) -> Neurons:
    """Fit and measure every usable neuron; a few columns at a time are held in float64.

    Args:
        problem: data, loss and ridge; its k is not used.
    """
    data, usable = problem.data, problem.usable
    step = max(1, DOUBLE_BYTES // (8 * len(data.y)))
    with single_threaded_blas():
        parts = [_some(problem, usable[i : i + step]) for i in range(0, len(usable), step)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(found["objective"], kind="stable")
    found = {name: values[order] for name, values in found.items()}
    column = usable[order]
    measured = {
        side: NeuronMetrics(
            **{one.name: found.pop(f"{side}_{one.name}") for one in fields(NeuronMetrics)}
        )
        for side in ("train", "test")
        if f"{side}_f1" in found
    }
    return Neurons(
        column=column,
        name=tuple(data.names[j] for j in column),
        train=measured["train"],
        test=measured.get("test"),
        **found,
    )


def _some(problem: Problem, columns: Int[Array, "p"]) -> dict[str, Array]:
    """The fields of `Neurons` for some columns, with those of its metrics by prefix."""
    data, rows = problem.data, problem.rows
    Z = data.columns(columns, data.train)
    fits = fit_supports(signed(Z, rows), np.arange(len(columns))[:, None], rows)
    beta, intercept = fits.solution.T
    y_test = data.y[data.test]
    test = len(np.unique(y_test)) == 2
    held = data.columns(columns, data.test) if test else None
    step = max(1, SLICE // len(rows.y))

    def measure(part: slice) -> dict[str, Array]:
        sign = np.where(beta[part] < 0.0, -1.0, 1.0)[:, None]
        score = sign * Z[part]
        order = np.argsort(-score, axis=1)
        stairs = confusion.staircases(rows.y, score, order)
        gain = 2.0 * stairs.hits / (stairs.hits + stairs.alarms + stairs.hits[:, -1:])
        last = np.take_along_axis(order, np.argmax(gain, axis=1)[:, None], axis=1)
        cut = np.take_along_axis(score, last, axis=1)
        zero = beta[part, None] * Z[part] + intercept[part, None] > 0.0
        found = {"last": last[:, 0]} | _measured("train", rows.y, zero, score >= cut, stairs)
        if held is not None:
            score = sign * held[part]
            stairs = confusion.staircases(y_test, score, np.argsort(-score, axis=1))
            zero = beta[part, None] * held[part] + intercept[part, None] > 0.0
            found |= _measured("test", y_test, zero, score >= cut, stairs)
        return found

    slices = [slice(i, i + step) for i in range(0, len(columns), step)]
    parts = in_threads(measure, slices)
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _thresholds(data, columns, fits, found.pop("last")) | found


def _measured(
    side: str, y: Array, zero: Array, best: Array, stairs: confusion.Staircase
) -> dict[str, Array]:
    """`NeuronMetrics` from the calls at score 0 and at the best F1, and from all thresholds."""
    once = np.ones((1, len(y)))
    at_zero, at_best = (confusion.table(y, called, once) for called in (zero, best))
    found = {
        "f1": confusion.f1(at_zero),
        "balanced_accuracy": confusion.balanced_accuracy(at_zero),
        "mcc": confusion.mcc(at_zero),
        "roc_auc": confusion.roc_auc(stairs),
        "average_precision": confusion.average_precision(stairs),
        "pr_auc": confusion.pr_auc(stairs),
        "best_f1": confusion.f1(at_best),
        "best_mcc": confusion.mcc(at_best),
    }
    return {f"{side}_{name}": values for name, values in found.items()}


def _thresholds(
    data: Data, columns: Int[Array, "p"], fits: Fits, last: Int[Array, "p"]
) -> dict[str, Array]:
    """Fits and thresholds; `last` is the training row whose activation is the best F1's."""
    beta, intercept = fits.solution.T
    mean, scale = data.by.mean[columns], data.by.scale[columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        threshold = mean - intercept * scale / beta
    return {
        "objective": fits.primal,
        "lower": np.minimum(fits.lower, fits.primal),
        "beta": beta,
        "intercept": intercept,
        "sign": np.where(beta < 0.0, -1, 1),
        "threshold": threshold,
        "f1_threshold": _activations(data, data.train[last], columns),
    }


def _activations(
    data: Data, rows: Int[Array, "p"], columns: Int[Array, "p"]
) -> Float64[Array, "p"]:
    """X at (row, column) pairs, as given."""
    if isinstance(data.X, np.ndarray | RowSource):
        return data.X[rows, columns].astype(np.float64)
    import torch

    at = (torch.tensor(part, device=data.X.device) for part in (rows, columns))
    return data.X[tuple(at)].double().cpu().numpy()


def random_rotation(problem: Problem, seed: int = 0) -> Problem:
    """The same problem in a random orthonormal basis: what single directions do by chance.

        X' = Z Q,   Q from the QR decomposition of a Gaussian matrix, signs made uniform
                                                                            [Mezzadri 2007]

    with Z the usable columns standardised on the training rows. Everything a whole layer says is
    kept (distances, every probe on all columns), only the axes are lost: neurons that beat the
    rotated directions are a privileged basis. X' is held in memory in float32 (rows x columns),
    even where X is not.
    """
    data, usable = problem.data, problem.usable
    gauss = np.random.default_rng(seed).standard_normal((len(usable), len(usable)))
    X = np.empty((len(data.y), len(usable)), np.float32)
    everything = np.arange(len(X))
    with single_threaded_blas():
        Q, R = np.linalg.qr(gauss)
        Q = (Q * np.sign(np.diag(R))).astype(np.float32)
        for part in row_slices(*X.shape):
            X[part] = data.columns(usable, everything[part]).T.astype(np.float32) @ Q
    negative, positive = data.labels or (-1, 1)
    held = np.zeros(len(X), bool)
    held[data.test] = True
    return Problem.of(
        X,
        np.where(data.signs > 0, positive, negative),
        k=problem.k,
        lam=problem.lam,
        loss=problem.loss_name,
        weights=_weights(data),
        names=[f"direction {j}" for j in range(len(usable))],
        test=held,
        groups=data.groups,
        scale_floor=data.floor,
    )


def _weights(data: Data) -> Literal["balanced", "uniform"] | Float64[Array, "rows"]:
    """The weights that `Problem.of` was given."""
    if data.given is not None:
        return data.given
    return "uniform" if data.weighting == "uniform" else "balanced"
