"""The perspective relaxation against scipy, and its bounds against brute force."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from optprobe import demo
from optprobe.bounds import dual_points, node_bound, stored_as
from optprobe.hinge_relaxation import follow
from optprobe.losses import LOSSES, get_loss
from optprobe.matrix import DenseMatrix
from optprobe.prefilter import best_columns, root_relaxation
from optprobe.problem import Problem
from optprobe.relaxation import Nodes, Relaxed, relax, support_norm_prox, support_norm_squared
from optprobe.support import Rows, fit_support, fit_supports, signed

every_loss = pytest.mark.parametrize("loss", LOSSES)
SMOOTH = [name for name, loss in LOSSES.items() if np.isfinite(loss.lipschitz)]
every_smooth_loss = pytest.mark.parametrize("loss", SMOOTH)

entries = st.one_of(
    st.floats(-50.0, 50.0, allow_subnormal=False), st.sampled_from([0.0, 1.0, -1.0, 2.0, 1e-8])
)
vectors = st.lists(entries, min_size=1, max_size=8)


# ---- the r-support norm ----


def whole(values: np.ndarray) -> np.ndarray:
    return np.ones((1, len(values)), bool)


def prox(
    c: np.ndarray, r: int, rho: float, free: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One row of `support_norm_prox`."""
    mask = whole(c) if free is None else free[None]
    beta, z = support_norm_prox(c[None], mask, np.array([r]), rho)
    return beta[0], z[0]


def norm(beta: np.ndarray, r: int) -> float:
    return float(support_norm_squared(beta[None], whole(beta), np.array([r]))[0][0])


def norm_by_bisection(beta: np.ndarray, r: int) -> float:
    """min sum beta^2 / z with z_j = min(1, |beta_j| / t), t such that sum z = r."""
    size = np.abs(beta[beta != 0.0])
    if len(size) <= r:
        return float(size @ size)
    scale = size.max()
    size = size / scale

    def excess(t: float) -> float:
        return float(np.minimum(1.0, size / t).sum() - r)

    t = brentq(excess, 1e-300, 2.0 * size.sum() / r, xtol=1e-300, rtol=1e-14)
    return float(scale**2 * np.sum(size**2 / np.minimum(1.0, size / t)))


@given(values=vectors, r=st.integers(1, 9))
def test_the_norm_is_its_variational_form(values, r):
    beta = np.where(np.abs(values) < 1e-7, 0.0, values)
    assert norm(beta, r) == pytest.approx(norm_by_bisection(beta, r), rel=1e-9, abs=1e-300)


@given(values=vectors, r=st.integers(1, 9), seed=st.integers(0, 999))
def test_no_feasible_z_does_better_than_the_norm(values, r, seed):
    beta = np.array(values)
    z = np.random.default_rng(seed).dirichlet(np.ones(len(beta)), 20) * min(r, len(beta))
    z = np.clip(z, 1e-12, 1.0)
    assert np.all(norm(beta, r) <= np.sum(beta**2 / z, axis=1) * (1.0 + 1e-12) + 1e-300)


def test_the_norm_of_sparse_and_dense_vectors():
    beta = np.array([3.0, 0.0, -4.0, 0.0])
    assert norm(beta, 2) == pytest.approx(25.0)  # at most r entries: the Euclidean norm
    assert norm(beta, 3) == norm(beta, 4) == norm(beta, 9) == pytest.approx(25.0)
    assert norm(beta, 1) == pytest.approx(49.0)  # r = 1: the l1 norm
    assert norm(np.ones(6), 2) == pytest.approx(18.0)  # equal entries: sum^2 / r
    assert norm(np.zeros(3), 2) == 0.0
    assert norm(np.zeros(3), 0) == 0.0


@given(values=vectors, r=st.integers(1, 9))
def test_q_counts_the_saturated_entries(values, r):
    beta = np.array(values)
    (squared,), (q,) = support_norm_squared(beta[None], whole(beta), np.array([r]))
    size = np.sort(np.abs(beta))[::-1]
    if q == len(beta):
        assert squared == pytest.approx(np.sum(size**2))
        return
    shared = size[q:].sum()
    z = np.concatenate([np.ones(q), size[q:] * (r - q) / shared if shared else 0.0 * size[q:]])
    assert q < r
    assert np.all(z <= 1.0 + 1e-12)
    assert z.sum() <= r + 1e-9
    used = z > 0
    assert np.sum(size[used] ** 2 / z[used]) == pytest.approx(squared, rel=1e-9, abs=1e-200)


def test_norms_of_a_batch_and_of_masked_entries():
    rng = np.random.default_rng(0)
    beta = rng.standard_normal((5, 7))
    free = rng.random((5, 7)) < 0.6
    free[4] = False
    remaining = np.array([0, 1, 2, 7, 3])
    together, _ = support_norm_squared(beta, free, remaining)
    for i in range(1, 4):
        assert together[i] == pytest.approx(norm_by_bisection(beta[i, free[i]], remaining[i]))
    assert together[4] == 0.0


def prox_objective(beta: np.ndarray, c: np.ndarray, r: int, rho: float) -> float:
    return float(0.5 * np.sum((beta - c) ** 2) + 0.5 * rho * norm(beta, r))


@given(
    values=vectors,
    r=st.integers(0, 9),
    rho=st.sampled_from([1e-6, 1e-3, 0.1, 1.0, 30.0]),
    single=st.booleans(),
)
def test_the_prox_meets_its_optimality_conditions(values, r, rho, single):
    """z = clip(|c| theta - rho, 0, 1) with sum z = min(r, nonzeros), and beta = c z/(z + rho)."""
    c = np.array(values, np.float32 if single else np.float64)
    beta, z = prox(c, r, rho)
    c = c.astype(np.float64)
    assert np.all((z >= 0.0) & (z <= 1.0))
    assert z.sum() == pytest.approx(min(r, np.count_nonzero(c)), abs=1e-6)
    assert np.all(z[c == 0.0] == 0.0)
    np.testing.assert_allclose(beta, c * z / (z + rho), rtol=1e-6)
    # One theta fits every entry: those inside (0, 1) share it, the others lie beyond their end.
    size = np.abs(c)
    inside = (z > 1e-9) & (z < 1.0 - 1e-9)
    if r == 0:
        return
    thetas = (z[inside] + rho) / size[inside]
    lowest = np.max((1.0 + rho) / size[z == 1.0], initial=0.0)
    highest = np.min(rho / size[(z == 0.0) & (size > 0.0)], initial=np.inf)
    for theta in thetas:
        assert theta == pytest.approx(thetas[0], rel=1e-6)
        assert theta >= lowest * (1.0 - 1e-6)
        assert theta <= highest * (1.0 + 1e-6)
    assert lowest <= highest * (1.0 + 1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_the_prox_is_the_minimiser_that_scipy_finds(seed):
    rng = np.random.default_rng(seed)
    p, rho = int(rng.integers(2, 7)), float(10.0 ** rng.uniform(-2, 1))
    r = int(rng.integers(1, p + 1))
    c = rng.standard_normal(p) * (rng.random(p) < 0.8)
    if seed % 3 == 0:
        c[1] = -c[0]  # a tie
    beta, _ = prox(c, r, rho)
    found = minimize(
        lambda z: 0.5 * np.sum(c**2 * rho / (z + rho)),
        np.full(p, r / p),
        jac=lambda z: -0.5 * c**2 * rho / (z + rho) ** 2,
        bounds=[(0.0, 1.0)] * p,
        constraints={"type": "ineq", "fun": lambda z: r - z.sum(), "jac": lambda z: -np.ones(p)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    assert prox_objective(beta, c, r, rho) == pytest.approx(found.fun, rel=1e-8, abs=1e-12)
    np.testing.assert_allclose(beta, c * found.x / (found.x + rho), atol=1e-4)
    for _ in range(50):
        other = beta + rng.standard_normal(p) * 10.0 ** rng.uniform(-6, 0)
        assert prox_objective(beta, c, r, rho) <= prox_objective(other, c, r, rho) + 1e-12


def test_corners_of_the_prox():
    c = np.array([2.0, -2.0, 0.0, 1.0])
    assert not prox(c, 0, 0.5)[0].any()
    for r in (3, 4, 9):  # r reaches the number of nonzeros: plain ridge shrinkage
        np.testing.assert_allclose(prox(c, r, 0.5)[0], c / 1.5)
    beta, z = prox(np.full(4, 3.0), 2, 0.5)  # all tied: shared equally
    np.testing.assert_allclose(z, 0.5)
    np.testing.assert_allclose(beta, 1.5)
    np.testing.assert_allclose(prox(c, 1, 0.5)[1][:2], 0.5)
    assert not prox(np.zeros(3), 2, 0.5)[0].any()
    beta, z = prox(c, 2, 0.5, free=np.array([True, False, True, True]))
    assert beta[1] == z[1] == 0.0
    np.testing.assert_allclose(beta[[0, 3]], c[[0, 3]] / 1.5)


def test_the_prox_of_a_batch_is_that_of_its_rows():
    rng = np.random.default_rng(1)
    c = rng.standard_normal((6, 9)) * 10.0 ** rng.uniform(-4, 4, (6, 9))
    free = rng.random((6, 9)) < 0.7
    remaining = np.array([0, 1, 2, 3, 9, 4])
    beta, z = support_norm_prox(c, free, remaining, 0.3)
    assert not beta[~free].any()
    for i in range(6):
        one, own = prox(c[i], int(remaining[i]), 0.3, free[i])
        np.testing.assert_allclose(beta[i], one, rtol=1e-12)
        np.testing.assert_allclose(z[i], own, rtol=1e-12)


def test_the_prox_keeps_single_precision():
    c = np.array([[2.0, -1.0, 0.5]], np.float32)
    beta, _ = support_norm_prox(c, np.ones((1, 3), bool), np.array([1]), 0.2)
    exact, _ = support_norm_prox(c.astype(float), np.ones((1, 3), bool), np.array([1]), 0.2)
    np.testing.assert_allclose(beta, exact, rtol=1e-6)


# ---- the relaxation of a node ----

D = 6


@cache
def instance(loss: str, seed: int) -> tuple[DenseMatrix, Rows]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(25, 60))
    X = rng.standard_normal((n, D))
    if seed % 2:
        X[:, 1] = -X[:, 0] if seed % 4 == 1 else X[:, 0]  # opposite or equal columns
    if seed % 3 == 2:
        X[:, 3] = 0.0
    y = np.where(X[:, :3] @ rng.standard_normal(3) > rng.standard_normal(n), 1.0, -1.0)
    y[:2] = 1.0, -1.0
    w = (
        rng.uniform(0.1, 1.0, n)
        if seed % 2
        else np.where(y > 0, 1 / (y > 0).sum(), 1 / (y < 0).sum())
    )
    rows = Rows(y, w / w.sum(), LOSSES[loss], float(10.0 ** rng.uniform(-2, 0)))
    return DenseMatrix(np.ascontiguousarray(X.T)), rows


def every_node() -> tuple[Nodes, list[tuple[int, tuple[int, ...], tuple[int, ...]]]]:
    """Nodes of all kinds: (k, forced, out), the root and full nodes among them."""
    kinds: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []
    for k in (1, 2, 4, D):
        kinds += [(k, (), ()), (k, (2,), ()), (k, (), (0,)), (k, (), (0, 1, 2))]
        if k >= 2:
            kinds += [(k, (0, 4), ()), (k, (4,), (1, 5)), (k, (0, 1), (2, 3, 4, 5))]
    # Nothing more to choose although columns are free, and nothing free at all.
    kinds += [(2, (1, 3), ()), (2, (1, 3), (0, 2, 4, 5))]
    forced, free = np.zeros((len(kinds), D), bool), np.ones((len(kinds), D), bool)
    for i, (_, s1, s0) in enumerate(kinds):
        forced[i, list(s1)] = True
        free[i, [*s1, *s0]] = False
    remaining = np.array([k for k, _, _ in kinds]) - forced.sum(axis=1)
    return Nodes(forced, free, remaining), kinds


def cold(
    matrix: DenseMatrix, rows: Rows, nodes: Nodes, cutoff: float = np.inf, **options: float
) -> Relaxed:
    shape = nodes.free.shape
    return relax(matrix, rows, nodes, np.zeros(shape), np.zeros(shape[0]), cutoff, **options)


def node_optimum(
    matrix: DenseMatrix, rows: Rows, k: int, forced: tuple[int, ...], out: tuple[int, ...]
) -> float:
    """The best support of a node by listing them all."""
    free = [j for j in range(D) if j not in forced and j not in out]
    size = min(k - len(forced), len(free))
    supports = np.array([[*forced, *rest] for rest in combinations(free, size)], int)
    block = signed(matrix.transposed, rows)
    return float(fit_supports(block, supports, rows).primal.min())


def relaxation_by_scipy(
    matrix: DenseMatrix, rows: Rows, k: int, forced: tuple[int, ...], out: tuple[int, ...]
) -> float:
    """min over z of the fit with columns scaled by sqrt(z); its gradient in z is -g_j."""
    free = np.array([j for j in range(D) if j not in forced and j not in out], int)
    remaining = k - len(forced)

    def value(z: np.ndarray) -> tuple[float, np.ndarray]:
        scale = np.zeros(D)
        scale[list(forced)] = 1.0
        scale[free] = np.sqrt(np.maximum(z, 0.0))
        fit = fit_support(matrix.transposed * scale[:, None], rows)
        assert fit.point is not None
        v = matrix.transposed @ (rows.w * fit.point[0] * rows.y)
        return float(fit.primal[0]), -(v**2)[free] / (2.0 * rows.lam)

    p = len(free)
    if p <= remaining or remaining == 0:
        return value(np.full(p, float(remaining > 0)))[0]
    found = minimize(
        value,
        np.full(p, remaining / p),
        jac=True,
        bounds=[(0.0, 1.0)] * p,
        constraints={
            "type": "ineq",
            "fun": lambda z: remaining - z.sum(),
            "jac": lambda z: -np.ones(p),
        },
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 300},
    )
    return float(found.fun)


@every_loss
@pytest.mark.parametrize("seed", range(6))
def test_bounds_of_every_kind_of_node(loss, seed):
    matrix, rows = instance(loss, seed)
    nodes, kinds = every_node()
    found = cold(matrix, rows, nodes)
    assert np.all(found.bound <= found.primal + 1e-12)
    for i, kind in enumerate(kinds):
        optimum = node_optimum(matrix, rows, *kind)
        assert found.bound[i] <= optimum + 1e-9
        forced, free, remaining = nodes.forced[i], nodes.free[i], int(nodes.remaining[i])
        # The bound is that of its own numbers, which are those of its own coefficients.
        value, gain = float(found.value[i]), found.gain[i]
        assert found.bound[i] == pytest.approx(node_bound(value, gain, forced, free, remaining))
        margin = rows.y * (found.beta[i] @ matrix.transposed + found.intercept[i])
        a = rows.loss.smoothed(float(found.mu[i])).dual(margin[None])
        again = dual_points(matrix, a, rows.y, rows.w, rows.loss, rows.lam)
        assert again.value[0] == pytest.approx(value, abs=1e-9)
        np.testing.assert_allclose(again.gain[0], gain, atol=1e-8)
        used = found.beta[i] != 0.0
        assert not np.any(used & ~(forced | (free & (remaining > 0))))
    # A certificate stores it without loss.
    np.testing.assert_array_equal(found.beta, found.beta.astype(stored_as(rows.loss)))
    np.testing.assert_array_equal(found.intercept, found.intercept.astype(stored_as(rows.loss)))


@every_loss
@pytest.mark.parametrize("seed", range(4))
def test_the_relaxation_reaches_the_value_that_scipy_finds(loss, seed):
    matrix, rows = instance(loss, seed)
    nodes, kinds = every_node()
    found = cold(matrix, rows, nodes)
    # The hinge is smoothed, and its bound closes slowly.
    accuracy = 1e-4 if np.isfinite(rows.loss.lipschitz) else 0.1
    for i, kind in enumerate(kinds):
        if kind[0] == 4 and seed % 2:
            continue
        value = relaxation_by_scipy(matrix, rows, *kind)
        # Nothing lies on the wrong side of the value, up to scipy's own accuracy.
        assert found.bound[i] <= value + 1e-7
        assert found.primal[i] >= value - 1e-6
        assert value - found.bound[i] <= accuracy * value
        assert found.primal[i] - value <= accuracy * value


@every_smooth_loss
@pytest.mark.parametrize("seed", range(6))
def test_children_have_no_lower_bounds(loss, seed):
    matrix, rows = instance(loss, seed)
    k = 1 + seed % 4
    forced, free = np.zeros((1, D), bool), np.ones((1, D), bool)
    parent = cold(matrix, rows, Nodes(forced, free, np.array([k])), accuracy=1e-7)
    child_forced, child_free = np.zeros((2 * D, D), bool), np.ones((2 * D, D), bool)
    every = np.arange(D)
    child_free[every, every] = child_free[D + every, every] = False
    child_forced[every, every] = True
    remaining = np.repeat([k - 1, k], D)
    children = relax(
        matrix,
        rows,
        Nodes(child_forced, child_free, remaining),
        np.repeat(parent.beta, 2 * D, axis=0),
        np.repeat(parent.intercept, 2 * D),
        np.inf,
    )
    assert np.all(children.primal >= parent.bound[0] - 1e-12)
    assert np.all(children.bound >= parent.bound[0] - 1e-6 - 1e-4 * parent.bound[0])


@every_smooth_loss
def test_a_batch_gives_what_single_nodes_give(loss):
    matrix, rows = instance(loss, 2)
    nodes, _ = every_node()
    together = cold(matrix, rows, nodes)
    for i in range(len(nodes.remaining)):
        at = slice(i, i + 1)
        alone = cold(matrix, rows, Nodes(nodes.forced[at], nodes.free[at], nodes.remaining[at]))
        assert together.bound[i] == pytest.approx(alone.bound[0], rel=3e-6)


@every_loss
def test_a_start_at_the_solution_stays_there(loss):
    matrix, rows = instance(loss, 4)
    nodes, _ = every_node()
    first = cold(matrix, rows, nodes)
    start, intercept = first.beta.copy(), first.intercept.copy()
    warm = relax(matrix, rows, nodes, start, intercept, np.inf)
    scale = 2e-6 if loss in SMOOTH else 2e-2
    assert np.all(warm.bound >= first.bound - scale * first.primal)
    np.testing.assert_array_equal(start, first.beta)
    np.testing.assert_array_equal(intercept, first.intercept)


@every_loss
def test_a_start_outside_the_node_is_cut_to_it(loss):
    matrix, rows = instance(loss, 4)
    nodes, kinds = every_node()
    batch = len(kinds)
    found = relax(matrix, rows, nodes, np.full((batch, D), 7.0), np.full(batch, -3.0), np.inf)
    assert not np.any((found.beta != 0.0) & ~nodes.forced & ~nodes.free)
    for i, kind in enumerate(kinds):
        assert found.bound[i] <= node_optimum(matrix, rows, *kind) + 1e-9


@every_loss
def test_the_cutoff_stops_early_and_truthfully(loss):
    matrix, rows = instance(loss, 0)
    nodes = Nodes(np.zeros((1, D), bool), np.ones((1, D), bool), np.array([2]))
    value = float(cold(matrix, rows, nodes).bound[0])
    optimum = node_optimum(matrix, rows, 2, (), ())
    for cutoff in (0.5 * value, 0.9 * value, optimum, 2.0 * optimum, np.inf):
        found = cold(matrix, rows, nodes, cutoff)
        assert found.bound[0] <= optimum + 1e-9
        if cutoff < value:
            assert found.bound[0] > cutoff


@every_smooth_loss
def test_without_a_cutoff_the_gap_closes(loss):
    """An infinite cutoff asks for the relaxation's own value, not for the first bound at hand."""
    rng = np.random.default_rng(3)
    Z = rng.standard_normal((40, 200))
    y = np.where(Z[0] + Z[1] + rng.standard_normal(200) > 0, 1.0, -1.0)
    rows = Rows(y, np.full(200, 1 / 200), LOSSES[loss], 0.1)
    ks = np.array([1, 3, 8])
    found = cold(DenseMatrix(Z), rows, Nodes(np.zeros((3, 40), bool), np.ones((3, 40), bool), ks))
    assert np.all(found.primal - found.bound <= 2e-6 * found.primal)
    assert np.all(np.diff(found.bound) < 0.0)


@every_loss
@pytest.mark.parametrize("weights", ["equal", "given"])
def test_columns_of_very_different_kinds(loss, weights):
    """Opposite pairs, heavy tails and zeros: no warning, and no bound past the best fit."""
    rng = np.random.default_rng(9)
    half = np.clip(rng.standard_t(1.2, (5, 90)), -1e3, 1e3)
    Z = np.concatenate([half, -half, np.zeros((2, 90))])
    Z = (Z - Z.mean(axis=1, keepdims=True)) / np.maximum(Z.std(axis=1, keepdims=True), 1e-3)
    y = np.where(Z[0] + rng.standard_normal(90) > 0, 1.0, -1.0)
    w = np.ones(90) if weights == "equal" else rng.integers(0, 4, 90) + 1e-3
    rows = Rows(y, w / w.sum(), LOSSES[loss], 0.05)
    nodes = Nodes(np.zeros((2, 12), bool), np.ones((2, 12), bool), np.array([1, 2]))
    found = cold(DenseMatrix(Z), rows, nodes)
    block = signed(Z, rows)
    for i, k in enumerate((1, 2)):
        supports = np.array(list(combinations(range(12), k)))
        assert found.bound[i] <= fit_supports(block, supports, rows).primal.min() + 1e-9
        assert found.primal[i] - found.bound[i] <= 0.1 * found.primal[i]


@every_loss
def test_one_column_and_two_rows(loss):
    rows = Rows(np.array([1.0, -1.0]), np.array([0.5, 0.5]), LOSSES[loss], 0.5)
    Z = np.array([[1.0, -1.0]])
    nodes = Nodes(np.zeros((1, 1), bool), np.ones((1, 1), bool), np.array([1]))
    found = cold(DenseMatrix(Z), rows, nodes)
    exact = fit_support(Z, rows).primal[0]
    assert found.bound[0] == pytest.approx(exact, rel=1e-3)
    assert found.bound[0] <= exact + 1e-12


def test_the_hinge_s_path_goes_on_where_columns_repeat_each_other():
    """Rounding of float32 leaves no positive definite system there."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = np.tile(rng.standard_normal((12, 400)), (2, 1))
        score = rng.standard_normal(4) @ X[:4] + rng.standard_normal(400)
        y = np.where(score > 0.0, 1.0, -1.0)
        w = np.where(y > 0, 0.5 / (y > 0).sum(), 0.5 / (y < 0).sum())
        rows = Rows(y, w, get_loss("hinge"), 0.1)
        found = follow(signed(X, rows), rows, np.zeros(24, bool), 4, np.zeros(25), np.inf)
        assert found.primal - found.dual <= 1e-5 * found.primal


def test_the_hinge_s_path_ends_at_the_optimum_on_heavy_tailed_columns():
    """Samples of real activations, where a careless second-order step leaves the path."""
    whole = demo.activations().problem(k=3, lam=0.03)
    columns = best_columns(whole, 20)
    X = whole.data.columns(columns, whole.data.train).T
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(20, 200, 2)
        rows = np.concatenate(
            [
                rng.permutation(np.flatnonzero(whole.y == sign))[:size]
                for sign, size in zip((-1.0, 1.0), sizes, strict=True)
            ]
        )
        lam, k = float(10.0 ** rng.uniform(-2.5, 0)), int(rng.integers(1, 7))
        problem = Problem.of(X[rows], whole.y[rows], k=k, lam=lam, loss="hinge")
        usable = ~problem.data.by.constant
        found = root_relaxation(problem.matrix, problem.rows, k, usable, np.inf)
        assert found.primal[0] - found.bound[0] <= 1e-5 * found.primal[0], seed
