"""The winsorised dual step: every bound is met by an explicit dual point, in engine and checker."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from instances import brute_force, random_problem, random_targets
from nodes import Node, bracket, dual_value, moved, node

from optprobe import Limits, Problem, Status, solve
from optprobe.certificate import Kind
from optprobe.checker import filtered as checked
from optprobe.checker import parabola, verify
from optprobe.checker.columns import Columns
from optprobe.checker.data import source_of
from optprobe.checker.duals import Rows as CheckedRows
from optprobe.checker.form import claim_of
from optprobe.engine import centres, damping, filter, leaves, support_costs, tree
from optprobe.engine.damping import Moves
from optprobe.engine.support_costs import costs
from optprobe.losses import Logistic, Loss, SquaredError, SquaredHinge, get_loss
from optprobe.support import fit_supports, signed

GAP = 2e-7

LOSSES = ("logistic", "squared_hinge", "squared_error")


def explicit(at: Node, T: np.ndarray, d: np.ndarray, omega: np.ndarray) -> tuple[float, float]:
    """Dual value of a + delta for the support S + T, and how far it is from being a dual point."""
    rows = at.rows
    a = moved(at, T, d, omega)
    outside = max(rows.loss.lower - a.min(), a.max() - rows.loss.upper, 0.0)
    residual = abs((rows.w * a) @ rows.y)
    return dual_value(at, T, a), float(max(outside, residual))


def faults(seeds: range, name: str, compiled: bool = False) -> Iterator[bool]:
    """Of every step tried: whether no dual point meets its bound, or it leaves the polytope."""
    rng = np.random.default_rng(0)
    for seed in seeds:
        at = node(seed, name)
        reach = centres.REACHES[seed % 4] * filter.limits(at.rows).reach
        made = filter.quadratic(at.forced, at.free, at.margin, at.rows, reach, compiled=compiled)
        omega = filter.moves(at.rows.loss, at.point, reach).omega
        live, spread = np.flatnonzero(made.reach > 0.0), at.rows.spread
        for _ in range(20):
            T = rng.choice(live, int(rng.integers(1, 4)), replace=False)
            d = spread * rng.standard_normal(len(T)) * 10.0 ** rng.uniform(-1, 2)
            d *= min(1.0, filter.REACH / (np.abs(d) @ made.reach[T]))
            value, infeasible = explicit(at, T, d, omega)
            bound = made.value - bracket(made, T, d, at.rows.lam)
            scale = 1e-10 * (1.0 + spread * at.rows.size + abs(value))
            yield bool(bound > value + scale or infeasible > 1e-10 * at.rows.size)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_every_bound_has_its_dual_point(name: str, compiled: bool) -> None:
    assert list(faults(range(150), name, compiled)) == [False] * 3000


def with_moves(change: Callable[[Moves, np.ndarray], Moves]) -> tuple[str, Callable[..., Any]]:
    honest = filter.moves

    def moves(loss: Loss, dual: np.ndarray, reach: float) -> Moves:
        return change(honest(loss, dual, reach), dual)

    return "moves", moves


def altered(change: Callable[[filter.Quadratic], filter.Quadratic]) -> tuple[str, Any]:
    honest = filter.quadratic

    def quadratic(*arguments: Any, **named: Any) -> filter.Quadratic:
        return change(honest(*arguments, **named))

    return "quadratic", quadratic


def another_kappa() -> tuple[str, Any]:
    """The quadratic of directions that are clipped farther out than the proof says."""
    honest, narrow = filter.quadratic, filter.limits

    def quadratic(*given: Any, **named: Any) -> filter.Quadratic:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(filter, "limits", lambda rows: narrow(rows)._replace(clip=2.0))
            return honest(*given, **named)

    return "quadratic", quadratic


BOXED = LOSSES[:2]
BROKEN = {
    "psi = 1": (
        with_moves(lambda at, a: Moves(a * (1.0 - a), a * (1.0 - a), at.slope)),
        LOSSES[:1],
    ),
    "omega 5 % too large": (
        with_moves(lambda at, _: Moves(at.omega * 1.05, at.bend * 1.05, at.slope)),
        LOSSES,
    ),
    "omega = 2": (with_moves(lambda at, a: at._replace(omega=np.full_like(a, 2.0))), BOXED[1:]),
    "c 5 % too small": (with_moves(lambda at, _: at._replace(bend=0.95 * at.bend)), LOSSES),
    "slope of the wrong sign": (with_moves(lambda at, _: at._replace(slope=-at.slope)), LOSSES),
    "another kappa": (another_kappa(), BOXED),
    "half the length": (altered(lambda at: at._replace(reach=at.reach / 2)), BOXED),
    "h of the wrong sign": (altered(lambda at: at._replace(h=-at.h)), LOSSES),
    "K left out": (altered(lambda at: at._replace(K=0.0 * at.K)), LOSSES),
    "M transposed": (altered(lambda at: at._replace(M=at.M.T)), BOXED),
    "D0 too large": (altered(lambda at: at._replace(value=at.value + 1e-6 * at.v.max())), LOSSES),
}


@pytest.mark.parametrize(
    ("name", "loss"), [(name, loss) for name, (_, losses) in BROKEN.items() for loss in losses]
)
def test_a_broken_filter_is_caught(name: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter, *BROKEN[name][0])
    assert any(faults(range(40), loss))


@pytest.mark.parametrize("name", LOSSES)
def test_directions_that_are_not_orthogonal_are_caught(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clipped(
        forced: np.ndarray, free: np.ndarray, weight: np.ndarray, clip: float
    ) -> np.ndarray:
        return np.clip(free, -clip, clip)

    monkeypatch.setattr(filter, "directions", clipped)
    assert any(faults(range(40), name))


@pytest.mark.parametrize("name", LOSSES)
def test_costs_are_the_bracket_at_the_closed_form(name: str) -> None:
    for seed in range(30):
        at = node(seed, name)
        lam = at.rows.lam
        made = filter.quadratic(at.forced, at.free, at.margin, at.rows)
        own = np.where(made.reach > 0.0, np.diag(made.M), 1.0)
        ridge = np.where(made.reach > 0.0, lam * np.diag(made.K) / own, 1.0)
        goal = np.where(made.reach > 0.0, made.v - lam * made.h / own, 0.0)
        for size in (1, 2, 3):
            for T in np.concatenate(list(support_costs.subsets(len(at.free), size)), axis=1).T:
                d = np.linalg.solve(made.M[np.ix_(T, T)] + np.diag(ridge[T]), goal[T])
                d *= min(1.0, filter.REACH / max(np.abs(d) @ made.reach[T], 1e-300))
                assert costs(made, T[:, None], lam)[0] == pytest.approx(
                    bracket(made, T, d, lam), rel=1e-9, abs=1e-12 * at.rows.size**2
                )


GRID = np.concatenate([np.logspace(-250, -3, 2000), np.linspace(1e-3, 0.5, 20001)])


def engine_moves(loss: str, a: np.ndarray, reach: float) -> tuple[Loss, Moves]:
    losses: dict[str, Loss] = {"logistic": Logistic(), "squared_hinge": SquaredHinge()}
    found = losses.get(loss, SquaredError(np.sin(np.arange(len(a)))))
    return found, damping.moves(found, a, reach)


def checked_moves(loss: str, a: np.ndarray, reach: float) -> tuple[Loss, Moves]:
    found, _ = engine_moves(loss, a, reach)
    target = found.target if isinstance(found, SquaredError) else np.ones(len(a))
    rows = CheckedRows(np.ones(len(a)), target, len(a), loss, 1.0)
    at = parabola.parabola(rows, a, reach)
    assert (at.size >= np.abs(at.omega * at.slope) * (1.0 - 1e-15)).all()
    return found, Moves(at.omega, at.bend, at.slope)


@pytest.mark.parametrize("reach", [0.5, 2.0, 3.0])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("moves", [engine_moves, checked_moves], ids=["engine", "checker"])
def test_damped_moves_stay_above_the_parabola(
    reach: float, loss: str, moves: Callable[[str, np.ndarray, float], tuple[Loss, Moves]]
) -> None:
    """At 51 moves within reach, for 22,000 a of the box."""
    grids = {"logistic": (GRID, 1.0 - GRID), "squared_hinge": (20.0 * GRID,)}
    for a in grids.get(loss, (20.0 * GRID, -20.0 * GRID)):
        found, at = moves(loss, a, reach)
        assert (at.bend <= at.omega).all()
        inner = (a > 1e-12) & (a < 1 - 1e-12) if loss == "logistic" else np.abs(a) > 1e-12
        assert (at.omega[inner] > 0.0).all()
        for s in np.linspace(-reach, reach, 51):
            p = a + s * at.omega
            assert ((p >= found.lower) & (p <= found.upper)).all()
            parabolic = found.conjugate(a) + s * at.omega * at.slope - 0.5 * at.bend * s * s
            assert (parabolic <= found.conjugate(p) + 1e-13 * (1.0 + np.abs(a)) ** 2).all()


def test_damping_is_not_needlessly_small() -> None:
    a = np.array([1e-9, 0.01, 0.1, 0.3, 0.5])
    for omega in (damping.moves(Logistic(), a, 2.0).omega, parabola.omega(a, 2.0)):
        psi = omega / (a * (1.0 - a))
        assert psi == pytest.approx([0.5, 0.505, 0.55, 0.67, 0.85], abs=0.01)
    for loss in LOSSES:
        mine, theirs = engine_moves(loss, GRID, 2.0)[1], checked_moves(loss, GRID, 2.0)[1]
        for one, other in zip(mine, theirs, strict=True):
            assert one == pytest.approx(other, rel=1e-12, abs=1e-250)
    assert damping.moves(SquaredHinge(), np.array([0.0, 1.0, 5.0]), 2.0).omega == pytest.approx(
        [0, 0.5, 2]
    )


def test_the_hinge_has_no_parabola() -> None:
    with pytest.raises(ValueError, match="no parabola lies below the H of hinge"):
        damping.moves(get_loss("hinge"), GRID, 2.0)


def test_a_table_that_is_too_large_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = parabola._table(2.0)
    monkeypatch.setattr(parabola, "_table", lambda reach: 1.01 * honest)
    assert (parabola.omega(GRID, 2.0) == 0.0).all()


@pytest.mark.parametrize("seed", range(120))
@pytest.mark.parametrize("loss", LOSSES)
def test_filtered_searches_equal_brute_force(
    loss: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "FILTER_FROM", 0)
    monkeypatch.setattr(leaves, "LISTED", (3000, 0, 4)[seed % 3])
    monkeypatch.setattr(leaves, "MOST_LISTED", (3000, 0, 4)[seed % 3])
    monkeypatch.setattr(leaves, "ENOUGH", (0, 3000)[seed % 2])  # several centres, or one
    monkeypatch.setattr(leaves, "USEFUL", 1.0)
    monkeypatch.setattr(leaves, "CHILD", (40, 0, 1)[seed % 3])  # branched on, or split on hubs
    targets = loss == "squared_error"
    problem = random_targets(5000 + seed) if targets else random_problem(5000 + seed, loss=loss)
    gap = 10.0 * GAP if targets else GAP  # some targets are met all but exactly
    result = solve(problem, limits=Limits(gap=gap))
    optimum = brute_force(problem)
    assert result.objective == pytest.approx(optimum.value, rel=1e-7)
    assert result.status is Status.OPTIMAL
    assert result.verified is not None
    assert result.verified.lower <= optimum.value * (1 + 1e-12)
    assert result.verified.gap <= 1.1 * gap


def test_a_node_is_split_on_its_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three to add, a few columns in all that is left: a proof without a second relaxation."""
    monkeypatch.setattr(tree, "FILTER_FROM", 0)
    monkeypatch.setattr(tree, "ENUMERATE", 1)
    monkeypatch.setattr(leaves, "MOST_LISTED", 10)
    monkeypatch.setattr(leaves, "CHILD", 1)
    monkeypatch.setattr(leaves, "CHILD_NUMBER", 0.0)
    split: list[int] = []
    held = tree.Search.chain

    def watched(self: tree.Search, *given: Any) -> list[Any]:
        split.append(len(given[-1]))
        return held(self, *given)

    monkeypatch.setattr(tree.Search, "chain", watched)
    problem, X, y = hard_problem(3)
    result = solve(problem, limits=Limits(gap=1e-6))
    assert split
    assert 0 < split[0] < 16
    assert result.objective == pytest.approx(brute_force(problem).value, rel=1e-7)
    assert result.certificate is not None
    assert verify(result.certificate, X, y).gap <= 1.1e-6


def hard_problem(
    k: int, d: int = 16, loss: str = "logistic"
) -> tuple[Problem, np.ndarray, np.ndarray]:
    """Weak ridge and correlated columns; with the X and y that a verdict is asked on."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 5)) @ rng.standard_normal((5, d)) + rng.standard_normal((300, d))
    score = X[:, :6].sum(axis=1) + 3.0 * rng.standard_normal(300)
    y = score if loss == "squared_error" else score > 0
    return Problem.of(X, y, k=k, lam=1e-2, loss=loss), X, y


@pytest.mark.parametrize("k", [3, 4])
@pytest.mark.parametrize("loss", LOSSES)
def test_filtered_leaves_are_counted(loss: str, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "FILTER_FROM", 0)
    monkeypatch.setattr(tree, "ENUMERATE", 1)
    problem, X, y = hard_problem(k, loss=loss)
    result = solve(problem, limits=Limits(gap=1e-4))
    assert result.certificate is not None
    verdict = verify(result.certificate, X, y)
    assert verdict.valid
    assert verdict.filtered == (result.certificate.arrays["node_kind"] == Kind.FILTERED).sum() > 0
    assert verdict.screened > 100
    if k == 3:  # one leaf, nothing fixed: every support is covered in one way
        assert verdict.fitted + verdict.screened == math.comb(16, 3)
    assert result.statistics["supports_fitted"] < 1000


@pytest.mark.parametrize("loss", LOSSES)
def test_the_checker_bounds_what_the_engine_bounds(loss: str) -> None:
    """Its bound of every support lies below the optimum, and by rounding below the engine's."""
    problem, X, y = hard_problem(3, d=10, loss=loss)
    result = solve(problem)
    assert result.certificate is not None
    claim = claim_of(result.certificate)
    source = source_of(X, y, None, None, claim)
    arrays, rows = result.certificate.arrays, problem.rows
    scope = np.arange(10)
    columns = Columns(source, arrays["mean"], arrays["scale"], scope)
    order = np.concatenate([np.flatnonzero(source.positive), np.flatnonzero(~source.positive)])
    held = CheckedRows(rows.w[order], source.y[order], int(source.positive.sum()), loss, 1e-2)
    clip, reach = filter.limits(rows)
    Z = problem.matrix.columns(scope)
    for forced, size in (([], 3), ([2], 2), ([1, 7], 1), ([1, 7], 2)):
        free = np.setdiff1d(scope, forced)
        beta = np.full(10, 0.05)
        theta = centres.refit(Z[forced], beta[free] @ Z[free], np.zeros(len(forced) + 1), rows)
        beta[forced], intercept = theta[:-1], theta[-1]
        made = filter.quadratic(Z[forced], Z[free], rows.y * (beta @ Z + intercept), rows)
        parts = {
            "point_start": np.array([0, 10]),
            "point_column": scope,
            "point_beta": beta,
            "point_intercept": np.array([intercept]),
            "centre_point": np.array([0]),
            "centre_start": np.array([0, len(forced)]),
            "centre_forced": np.array(forced, int),
            "centre_clip": np.array([clip]),
            "centre_reach": np.array([reach]),
        }
        at = checked.Centres(columns, held, parts, scope).at(0, free, size)
        subsets = np.concatenate(list(support_costs.subsets(len(free), size)), axis=1)
        bounds = at.bounds(subsets)
        expected = made.value - costs(made, subsets, 1e-2)
        assert bounds == pytest.approx(expected, abs=1e-8 * rows.spread * rows.size)
        assert (bounds >= expected).all()  # what the engine prunes, the checker covers
        supports = np.column_stack([np.tile(forced, (subsets.shape[1], 1)), free[subsets.T]])
        fits = fit_supports(signed(Z, rows), supports.astype(int), rows)
        assert (bounds <= fits.primal).all()
        assert (fits.primal - bounds).min() < 0.2 * rows.spread**2


@pytest.mark.parametrize("loss", LOSSES)
def test_a_worse_centre_in_the_file_proves_less(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of the centres, altered one at a time: refused, or still true and covering."""
    monkeypatch.setattr(tree, "FILTER_FROM", 0)
    problem, X, y = hard_problem(3, d=12, loss=loss)
    honest = solve(problem, limits=Limits(gap=1e-4)).certificate
    assert honest is not None
    optimum = brute_force(problem).value
    arrays = honest.arrays
    point = int(arrays["centre_point"][0])
    refused = 0
    for name, value in [
        ("centre_clip", 1e-6),
        ("centre_clip", 100.0),
        ("centre_reach", 16.0),
        ("centre_reach", 0.0625),
        ("centre_reach", 1e3),
        ("centre_clip", -1.0),
        ("point_intercept", 3.0),
        ("point_beta", 5.0),
        ("node_fits", 0),
        ("node_centre", -1),
        ("centre_forced", 3),
    ]:
        array = arrays[name].copy()
        if name == "centre_forced":
            array = np.array([value], "<i4")
            changed = {name: array, "centre_start": np.array([0, 1], "<i8")}
        elif name == "point_beta":
            array[arrays["point_start"][point] : arrays["point_start"][point + 1]] = value
            changed = {name: array}
        else:
            array[point if name == "point_intercept" else ...] = value
            changed = {name: array}
        tampered = type(honest)(honest.header, arrays | changed)
        verdict = verify(tampered, X, y)
        assert not verdict.valid or verdict.lower <= optimum
        refused += not verdict.valid
    assert refused >= (8 if loss == "squared_error" else 9)  # whose reach may be a thousand
