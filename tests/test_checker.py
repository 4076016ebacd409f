"""The checker accepts proofs and nothing else: whatever it accepts is true by brute force."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drafts import (
    BUILDERS,
    LOSSES,
    WEIGHTS,
    Draft,
    branched,
    changed,
    enumerated,
    fixed,
    make,
    small,
    with_entry,
)

from optprobe.certificate import Kind
from optprobe.checker import columns as kept
from optprobe.checker import data, verify
from optprobe.checker import points as batches


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighting", WEIGHTS)
@pytest.mark.parametrize("builder", BUILDERS)
def test_true_claims_are_accepted(loss: str, weighting: str, builder: str, tmp_path: Path) -> None:
    case = small(loss, weighting)
    for lower in (case.provable, 0.98 * case.optimum):
        certificate = BUILDERS[builder](case, lower).certificate()
        certificate.write(tmp_path / "proof.npz")
        verdict = case.check(tmp_path / "proof.npz")
        assert verdict.valid, verdict.reason
        assert verdict.reason == ""
        assert verdict.lower == lower <= case.optimum
        assert (
            case.optimum * (1 - 1e-9) <= verdict.upper <= certificate.header["upper"] * (1 + 1e-12)
        )
        assert verdict.gap == pytest.approx((verdict.upper - lower) / verdict.upper)
        assert (verdict.k, verdict.scope, verdict.columns) == (3, "all columns", 7)
        own = case.problem.data.weighting
        assert (verdict.loss, verdict.weighting, verdict.lam) == (loss, own, 0.05)
        assert verdict.points == len(certificate.arrays["point_mu"])
        assert verdict.seconds > 0.0
    if builder == "enumerated":
        assert (verdict.fitted, verdict.excluded, verdict.enumerated) == (35, 0, 1)


@pytest.mark.parametrize("loss", LOSSES)
def test_dual_points_bound_leaves(loss: str) -> None:
    case = make(loss, lam=0.05)
    verdict = case.check(branched(case, 0.999 * case.optimum).certificate())
    assert verdict.valid, verdict.reason
    assert verdict.bounded > 0
    assert verdict.nodes > verdict.bounded


@pytest.mark.parametrize("loss", LOSSES)
def test_dual_points_exclude_supports(loss: str) -> None:
    """The fit of the best support is a dual point that most others need not be fitted for."""
    case = make(loss, lam=0.1, d=9)
    supports, fits = case.brute
    best = int(np.argmin(fits.primal))
    beta = np.zeros(9)
    beta[supports[best]] = fits.beta[best]
    draft = Draft(case, 0.95 * case.optimum)
    draft.points.append((beta, float(fits.intercept[best]), 1e-2))
    draft.node(Kind.ENUMERATED, point=0, fits=draft.list_fits(supports))
    verdict = case.check(draft.certificate())
    assert verdict.valid, verdict.reason
    assert verdict.excluded > 0
    assert 0 < verdict.fitted + verdict.excluded <= len(supports)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("builder", BUILDERS)
def test_a_lower_bound_above_the_optimum_is_refused(loss: str, builder: str) -> None:
    case = small(loss)
    honest = BUILDERS[builder](case, case.provable).certificate()
    for lower in (case.optimum + 1e-9, 1.01 * case.optimum, 10.0):
        for upper in (honest.header["upper"], 20.0):
            verdict = case.check(changed(honest, {"lower": lower, "upper": upper}))
            assert not verdict.valid
            assert verdict.lower == -math.inf
            assert verdict.gap == math.inf
            assert verdict.reason


def test_the_reason_names_the_leaf() -> None:
    case = make(lam=0.3)
    draft = Draft(case, case.provable)
    point, bound, _ = draft.relaxed([], [])
    draft.node(Kind.BOUNDED, point=point)
    reason = case.check(draft.certificate()).reason
    assert bound < case.provable
    for part in ("node 0", "bounded", "7 free", f"{bound:.12g}"[:9], f"{case.provable:.12g}"):
        assert part in reason


def test_every_fit_is_needed() -> None:
    case = small()
    draft = enumerated(case, case.provable)
    whole = draft.certificate()
    rows = len(whole.arrays["fit_mu"])
    for gone in range(rows):
        keep = np.arange(rows) != gone
        fewer = {name: whole.arrays[name][keep] for name in whole.arrays if name.startswith("fit")}
        verdict = case.check(changed(whole, **fewer, node_fits=np.array([[0, rows - 1]], "<i4")))
        assert not verdict.valid
        columns = tuple(whole.arrays["fit_support"][gone].tolist())
        assert f"the support {columns}" in verdict.reason
        assert "not fitted" in verdict.reason


def test_fits_that_are_moved_or_outside_the_range_are_refused() -> None:
    case = small()
    whole = enumerated(case, case.provable).certificate()
    best = int(np.argmin(case.brute[1].dual))
    moved = with_entry(whole.arrays["fit_support"], best, whole.arrays["fit_support"][best - 1])
    assert "not fitted" in case.check(changed(whole, fit_support=moved)).reason
    shorter = np.array([[0, 34]], "<i4")
    assert "not fitted" in case.check(changed(whole, node_fits=shorter)).reason
    swapped = whole.arrays["fit_beta"][::-1].copy()
    verdict = case.check(changed(whole, fit_beta=swapped))
    assert "its fit bounds the support" in verdict.reason


def test_swapped_children_are_refused() -> None:
    case = make(lam=0.2)
    draft = branched(case, case.provable)
    honest = draft.certificate()
    assert case.check(honest).valid
    branch = int(np.argmax(honest.arrays["node_kind"] == Kind.BRANCH))
    child = honest.arrays["node_child"].copy()
    child[branch] = child[branch, ::-1]
    assert not case.check(changed(honest, node_child=child)).valid
    child[branch] = [-1, honest.arrays["node_child"][branch, 1]]
    assert "has no child 0" in case.check(changed(honest, node_child=child)).reason


@pytest.mark.parametrize("loss", LOSSES)
def test_another_problem_is_refused(loss: str) -> None:
    case = small(loss)
    honest = enumerated(case, case.provable).certificate()
    others = [{"loss": other} for other in LOSSES if other != loss]
    own = case.problem.data.weighting
    weighting = "balanced" if own == "uniform" else "uniform"
    others += [{"lam": 0.04}, {"lam": 0.06}, {"weighting": weighting}, {"k": 2}, {"k": 4}]
    for header in others:
        assert not case.check(changed(honest, header)).valid, header
    refused = verify(honest, case.X, case.y, test=case.options["test"], weights=weighting)
    assert f"weighting is '{own}'" in refused.reason


def test_other_data_are_refused() -> None:
    case = small()
    honest = enumerated(case, case.provable).certificate()
    X, y, test = case.X, case.y, case.options["test"]
    flipped = with_entry(y, 5, "no" if y[5] == "yes" else "yes")
    calls = [
        (with_entry(X, (3, 4), X[3, 4] + 1e-3), y, test),
        (X.astype(np.float64), y, test),
        (X, flipped, test),
        (X[:, :6], y, test),
        (X, y, None),
        (X, y, np.roll(test, 1)),
    ]
    for other_X, other_y, other_test in calls:
        verdict = verify(honest, other_X, other_y, test=other_test)
        assert not verdict.valid
        assert verdict.reason
    numbered = np.where(y == "yes", 7, -3)
    assert verify(honest, X, numbered, test=test.astype(int), weights="balanced").valid


def test_given_weights_must_be_passed() -> None:
    case = small("logistic", "given")
    honest = enumerated(case, case.provable).certificate()
    assert (
        "pass the same weights" in verify(honest, case.X, case.y, test=case.options["test"]).reason
    )
    ones = np.ones(len(case.y))
    assert (
        "SHA-256" in verify(honest, case.X, case.y, test=case.options["test"], weights=ones).reason
    )


def test_unusable_data_are_an_error() -> None:
    case = small()
    honest = enumerated(case, case.provable).certificate()
    with pytest.raises(ValueError, match="two"):
        verify(honest, case.X, np.zeros(60))
    with pytest.raises(ValueError, match="one label a row"):
        verify(honest, case.X, case.y[:-1])
    with pytest.raises(ValueError, match="float"):
        verify(honest, case.X[0], case.y)
    with pytest.raises(ValueError, match="held out"):
        verify(honest, case.X, case.y, test=np.zeros(3, bool))
    with pytest.raises(FileNotFoundError):
        verify("nowhere.npz", case.X, case.y)


def test_standardisation_and_scope_are_checked() -> None:
    case = make(constant=True)
    honest = enumerated(case, case.provable).certificate()
    assert case.check(honest).valid
    scale, mean = honest.arrays["scale"], honest.arrays["mean"]
    for name, array in (("scale", scale), ("mean", mean)):
        moved = with_entry(array, 1, array[1] + 1e-6)
        assert "column 1" in case.check(changed(honest, **{name: moved})).reason
    everything = np.arange(7, dtype="<i4")
    assert "constant" in case.check(changed(honest, scope=everything)).reason
    assert "not agree" in case.check(changed(honest, {"scale_floor": 5.0})).reason
    candidates = Draft(case, case.provable, scope=np.array([0, 1, 3, 5, 6]))
    listed = case.supports(candidates.scope)
    candidates.node(Kind.ENUMERATED, fits=candidates.list_fits(listed))
    partial = candidates.certificate()
    verdict = case.check(partial)
    assert verdict.valid, verdict.reason
    assert (verdict.scope, verdict.columns) == ("these candidates", 5)
    assert "leaves out 1" in case.check(changed(partial, {"scope": "all columns"})).reason


def test_the_incumbent_is_recomputed() -> None:
    case = small()
    honest = enumerated(case, case.provable).certificate()
    upper = honest.header["upper"]
    assert (
        "below the incumbent's objective"
        in case.check(changed(honest, {"upper": 0.99 * upper})).reason
    )
    loose = case.check(changed(honest, {"upper": 5.0}))
    assert loose.valid
    assert upper <= loose.upper <= upper * (1 + 1e-12)
    worse = case.check(changed(honest, {"upper": 50.0}, beta=np.array([1.0, 2.0, 3.0])))
    assert worse.valid
    assert worse.upper > upper
    empty = {"support": np.empty(0, "<i4"), "beta": np.empty(0)}
    assert case.check(changed(honest, {"upper": 5.0}, **empty)).valid
    outside = case.check(changed(honest, support=np.array([0, 1, 70], "<i4")))
    assert "support" in outside.reason
    huge = case.check(changed(honest, beta=np.array([1e200, 1e200, 1e200])))
    assert not huge.valid


@pytest.mark.parametrize("loss", LOSSES)
def test_streaming_gives_the_same_verdict(
    loss: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = make(loss, lam=0.2, constant=True)
    dtype = np.float64 if loss == "hinge" else np.float32
    certificate = branched(case, 0.999 * case.optimum).certificate(dtype)
    held = case.check(certificate)
    assert held.valid, held.reason
    mapped = np.memmap(tmp_path / "X", np.float32, "w+", shape=case.X.shape)
    mapped[:] = case.X
    monkeypatch.setattr(kept, "HELD_BYTES", 16 * 60 * 4)
    monkeypatch.setattr(data, "BLOCK_BYTES", 8 * 7 * 10)
    monkeypatch.setattr(batches, "BATCH", 2)
    monkeypatch.setattr(batches, "CACHE_BYTES", 1)
    streamed = verify(certificate, mapped, case.y, **case.options)
    assert replace(streamed, seconds=0.0, upper=0.0) == replace(held, seconds=0.0, upper=0.0)
    assert streamed.upper == pytest.approx(held.upper, rel=1e-13)


@pytest.mark.parametrize("seed", range(4))
def test_weak_dual_points_shared_by_all_nodes(seed: int) -> None:
    """One dual point at the root serves FIX, BRANCH and ENUMERATED nodes below it."""
    case = make(seed=seed, lam=0.4, d=8)
    lower = 0.995 * case.optimum
    draft = Draft(case, lower)
    point, _, gain = draft.relaxed([], [])
    best = int(np.argmax(gain))
    rest = [j for j in range(8) if j != best]
    draft.node(Kind.FIX, point=point, child=[1, -1])
    draft.node(Kind.BRANCH, column=best, child=[2, 3])
    with_best = [s for s in case.supports().tolist() if best in s]
    draft.node(Kind.ENUMERATED, point=point, fits=draft.list_fits(with_best))
    draft.node(Kind.ENUMERATED, point=point, fits=draft.list_fits(case.supports(rest)))
    verdict = case.check(draft.certificate())
    assert verdict.valid, verdict.reason
    assert case.check(draft.certificate(lower=case.optimum * 1.0001, upper=2.0)).valid is False


def test_fits_belong_to_one_node() -> None:
    case = small()
    draft = Draft(case, case.provable)
    draft.node(Kind.BRANCH, column=0, child=[1, 2])
    shared = draft.list_fits(case.supports())
    draft.node(Kind.ENUMERATED, fits=shared)
    draft.node(Kind.ENUMERATED, fits=shared)
    assert "same fits to several nodes" in case.check(draft.certificate()).reason


def test_fewer_free_columns_than_the_support_may_take() -> None:
    """k beyond the scope: one support remains, and a fit of it covers everything."""
    case = make(k=3)
    draft = Draft(case, 0.0, scope=np.array([1, 4]))
    pair = np.array([[1, 4]])
    fits = case.fits(pair)
    draft.lower = float(fits.dual[0]) * (1 - 1e-9)
    draft.node(Kind.ENUMERATED, fits=(0, 1))
    certificate = draft.certificate(upper=5.0)
    arrays = {
        "support": np.array([1, 4], "<i4"),
        "beta": fits.beta[0],
        "intercept": fits.intercept,
        "fit_support": np.array([[1, 4, -1]], "<i4"),
        "fit_beta": np.array([[*fits.beta[0], 9.0]]),
        "fit_intercept": fits.intercept,
        "fit_mu": fits.mu,
    }
    verdict = case.check(changed(certificate, **arrays))
    assert verdict.valid, verdict.reason
    single = np.array([[1, -1, -1]], "<i4")
    assert (
        "not fitted" in case.check(changed(certificate, **arrays | {"fit_support": single})).reason
    )
    gap = np.array([[1, -1, 4]], "<i4")
    assert (
        "-1 only at its end"
        in case.check(changed(certificate, **arrays | {"fit_support": gap})).reason
    )


def test_a_deep_tree_needs_no_recursion() -> None:
    """3000 branchings on one column, where Python recurses 1000 deep: only the first counts."""
    case = small()
    depth = 3_000
    draft = Draft(case, case.provable)
    for level in range(depth):
        draft.node(Kind.BRANCH, column=0, child=[-1, level + 1])
    draft.node(Kind.ENUMERATED, fits=draft.list_fits(case.supports(range(1, 7))))
    inside = [s for s in case.supports().tolist() if 0 in s]
    draft.nodes[0]["child"] = [draft.node(Kind.ENUMERATED, fits=draft.list_fits(inside)), 1]
    verdict = case.check(draft.certificate())
    assert verdict.valid, verdict.reason
    assert verdict.nodes == depth + 2


ALONE = """
import sys
import numpy as np
from optprobe.checker import verify
content = np.load(sys.argv[2])
verdict = verify(sys.argv[1], content["X"], content["y"], test=content["test"])
assert verdict.valid, verdict.reason
solvers = ("scipy", "torch", "sklearn", "highspy", "jaxtyping", "typer", "optprobe.bounds")
loaded = [name for name in solvers if name in sys.modules]
assert not loaded, loaded
"""


def test_the_checker_stands_alone(tmp_path: Path) -> None:
    case = small()
    fixed(case, case.provable).certificate().write(tmp_path / "proof.npz")
    np.savez(tmp_path / "data.npz", X=case.X, y=case.y, test=case.options["test"])
    command = [sys.executable, "-c", ALONE, tmp_path / "proof.npz", tmp_path / "data.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
