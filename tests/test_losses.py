"""Every registered loss is its conjugate pair: value, dual, H, derivative and curvature agree."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optprobe.losses import LOSSES, BarrierHinge, Loss, SoftHinge, SquaredHinge, get_loss

SMOOTH = [loss for loss in LOSSES.values() if np.isfinite(loss.lipschitz)]
EVERY = [*LOSSES.values(), BarrierHinge(0.5), BarrierHinge(1e-3), SoftHinge(0.5)]
MARGINS = np.concatenate([np.linspace(-12.0, 12.0, 241), [-1e4, -300.0, 300.0, 1e4]])
EXTREME = np.array([-1e4, -5e3, -800.0, 800.0, 5e3, 1e4])


def label(loss: Loss) -> str:
    """Its name in test ids, with the smoothing."""
    return f"{loss.name}-{loss.mu}" if isinstance(loss, BarrierHinge) else loss.name


every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=label)
every_smoothing = pytest.mark.parametrize("mu", [0.5, 0.05, 1e-3, 1e-6, 1e-9])


def box(loss: Loss, points: int = 4001) -> np.ndarray:
    """A grid of the box of a, both ends included (to 2.1e4 where it has no upper end)."""
    if np.isfinite(loss.upper):
        return np.linspace(0.0, loss.upper, points)
    return np.concatenate([np.linspace(0.0, 40.0, points), np.geomspace(40.0, 2.1e4, points)])


def objective(loss: Loss, dual: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """-a m + H(a)."""
    return -dual * margin + loss.conjugate(dual)


def penalised(loss: Loss, dual: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """-a m + H(a) with the barrier of the smoothed hinge."""
    value = objective(loss, dual, margin)
    if isinstance(loss, BarrierHinge):
        value = value + loss.mu * (np.log(dual) + np.log1p(-dual))
    return value


@pytest.mark.parametrize("loss", EVERY, ids=label)
def test_value_is_the_largest_over_the_box(loss):
    margin = np.linspace(-8.0, 8.0, 65)
    grid = box(loss)
    if isinstance(loss, BarrierHinge):
        grid = grid[1:-1]  # the barrier is infinite at both ends
    values = penalised(loss, grid[:, None], margin)
    assert np.all(values <= loss.value(margin) + 1e-13)
    # The grid step bounds how far the best grid point may lie below the maximum.
    np.testing.assert_allclose(values.max(axis=0), loss.value(margin), rtol=0, atol=2e-3)


@every_loss
def test_fenchel_equality_at_the_maximiser(loss):
    dual = loss.dual(MARGINS)
    found = objective(loss, dual, MARGINS)
    np.testing.assert_allclose(found, loss.value(MARGINS), rtol=1e-13, atol=1e-13)


@every_loss
@given(margin=st.floats(-50.0, 50.0), share=st.floats(0.0, 1.0))
def test_fenchel_inequality(loss, margin, share):
    dual = np.array([share * min(loss.upper, 200.0)])
    limit = loss.value(np.array([margin]))
    assert objective(loss, dual, np.array([margin])) <= limit + 1e-12 * (1.0 + abs(margin))


@pytest.mark.parametrize("loss", EVERY, ids=label)
def test_derivative_is_minus_the_dual(loss):
    step = 1e-6
    # Off the kink at m = 1, further than the step.
    margin = np.array([-7.3, -2.1, -0.4, 0.0, 0.2, 0.9, 0.997, 1.003, 1.1, 2.6, 8.4])
    slope = (loss.value(margin + step) - loss.value(margin - step)) / (2.0 * step)
    np.testing.assert_allclose(slope, -loss.dual(margin), rtol=1e-6, atol=3e-7)


@pytest.mark.parametrize("loss", EVERY, ids=label)
def test_curvature_is_minus_the_derivative_of_the_dual(loss):
    step = 1e-6
    margin = np.array([-7.3, -2.1, -0.4, 0.0, 0.2, 0.9, 0.997, 1.003, 1.1, 2.6, 8.4])
    slope = (loss.dual(margin + step) - loss.dual(margin - step)) / (2.0 * step)
    found = loss.terms(margin).curvature
    np.testing.assert_allclose(found, -slope, rtol=1e-5, atol=1e-8)
    assert np.all(found <= loss.lipschitz * (1.0 + 1e-12))


@pytest.mark.parametrize("loss", [*SMOOTH, BarrierHinge(0.3), SoftHinge(0.3)], ids=label)
def test_largest_curvature_is_reached(loss):
    found = loss.terms(np.linspace(-3.0, 3.0, 6001)).curvature
    assert found.max() == pytest.approx(loss.lipschitz, rel=1e-6)


def test_the_soft_hinge_is_above_the_hinge_by_mu_log_2_at_most():
    above = SoftHinge(0.3).value(MARGINS) - LOSSES["hinge"].value(MARGINS)
    assert above.min() >= 0.0
    assert above.max() == pytest.approx(0.3 * np.log(2.0), rel=1e-12)  # at m = 1


@pytest.mark.parametrize("loss", EVERY, ids=label)
def test_terms_repeat_value_and_dual(loss):
    terms = loss.terms(MARGINS)
    # One rounding of a number as large as the margin is all that terms may lose.
    allowance = 4.0 * np.finfo(float).eps * np.maximum(1.0, np.abs(MARGINS))
    assert np.all(np.abs(terms.value - loss.value(MARGINS)) <= allowance)
    assert np.all(np.abs(terms.dual - loss.dual(MARGINS)) <= allowance)
    assert np.all(terms.curvature >= 0.0)
    assert [part.shape for part in terms] == [MARGINS.shape] * 3


@every_loss
def test_extreme_margins_have_exact_limits(loss):
    value, dual = loss.value(EXTREME), loss.dual(EXTREME)
    negative = EXTREME < 0
    slack = {"logistic": -EXTREME, "hinge": 1.0 - EXTREME, "squared_hinge": (1.0 - EXTREME) ** 2}
    steep = 2.0 * (1.0 - EXTREME) if isinstance(loss, SquaredHinge) else np.ones_like(EXTREME)
    np.testing.assert_array_equal(value[negative], slack[loss.name][negative])
    np.testing.assert_array_equal(dual[negative], steep[negative])
    assert np.all((value[~negative] >= 0.0) & (value[~negative] < 1e-300))
    assert np.all((dual[~negative] >= 0.0) & (dual[~negative] < 1e-300))
    assert np.all(np.isfinite(loss.conjugate(dual)))
    for part in loss.terms(EXTREME):
        assert np.all(np.isfinite(part))


@every_smoothing
def test_smoothed_hinge_is_finite_at_extreme_margins(mu):
    loss = BarrierHinge(mu)
    dual = loss.dual(EXTREME)
    assert np.all((dual > 0.0) & (dual < 1.0))
    assert np.all(np.isfinite(loss.value(EXTREME)))
    for part in loss.terms(EXTREME):
        assert np.all(np.isfinite(part))


@every_smoothing
def test_smoothed_dual_solves_the_central_path(mu):
    """1 - m + mu/a - mu/(1-a) = 0 at the maximiser."""
    margin = np.linspace(-2.0, 4.0, 601)
    loss = BarrierHinge(mu)
    # 1 - a is taken as a(2 - m): next to a = 1 the difference itself would lose its digits.
    dual, rest = loss.dual(margin), loss.dual(2.0 - margin)
    residual = (1.0 - margin) + mu / dual - mu / rest
    np.testing.assert_allclose(residual, 0.0, atol=1e-12)
    np.testing.assert_allclose(dual + rest, 1.0, rtol=0, atol=2e-16)


@every_smoothing
@given(margin=st.floats(-1e4, 1e4))
def test_smoothed_dual_points_lose_at_most_two_mu(mu, margin):
    hinge = get_loss("hinge")
    at = np.array([margin])
    dual = hinge.smoothed(mu).dual(at)
    assert np.all((dual > 0.0) & (dual < 1.0))
    lost = hinge.value(at) - objective(hinge, dual, at)
    assert -1e-15 * (1.0 + abs(margin)) <= lost <= 2.0 * mu + 1e-15 * (1.0 + abs(margin))


def test_smoothing_takes_one_mu_per_row_of_a_batch():
    margin = np.linspace(-3.0, 5.0, 9)
    mu = np.array([0.4, 1e-3, 1e-7])
    together = get_loss("hinge").smoothed(mu[:, None]).dual(np.tile(margin, (3, 1)))
    for row, one in zip(together, mu, strict=True):
        np.testing.assert_array_equal(row, BarrierHinge(float(one)).dual(margin))


@pytest.mark.parametrize("loss", SMOOTH, ids=label)
def test_smooth_losses_are_their_own_smoothing(loss):
    assert loss.smoothed(0.1) is loss


@pytest.mark.parametrize("loss", EVERY, ids=label)
@given(first=st.floats(-1e4, 1e4), second=st.floats(-1e4, 1e4), share=st.floats(0.0, 1.0))
def test_losses_are_convex_and_do_not_increase(loss, first, second, share):
    ends = loss.value(np.array([first, second]))
    middle = loss.value(np.array([share * first + (1.0 - share) * second]))[0]
    chord = share * ends[0] + (1.0 - share) * ends[1]
    assert middle <= chord + 1e-12 * (1.0 + abs(chord))
    low, high = loss.value(np.array([min(first, second), max(first, second)]))
    assert high <= low + 1e-12 * (1.0 + abs(low))


@every_loss
@given(first=st.floats(0.0, 1.0), second=st.floats(0.0, 1.0), share=st.floats(0.0, 1.0))
def test_the_conjugate_is_concave(loss, first, second, share):
    scale = min(loss.upper, 50.0)
    ends = loss.conjugate(scale * np.array([first, second]))
    middle = loss.conjugate(scale * np.array([share * first + (1.0 - share) * second]))[0]
    chord = share * ends[0] + (1.0 - share) * ends[1]
    assert middle >= chord - 1e-12 * (1.0 + abs(chord))


@every_loss
def test_the_conjugate_is_zero_at_zero(loss):
    """Concavity and H(0) = 0 give H(s a) >= s H(a): scaling a class down is safe."""
    assert loss.conjugate(np.zeros(3)).tolist() == [0.0] * 3
    dual = box(loss, 51)
    for scale in (0.0, 0.3, 0.99):
        assert np.all(loss.conjugate(scale * dual) >= scale * loss.conjugate(dual) - 1e-12)


def test_entropy_vanishes_at_both_ends_of_the_box():
    entropy = get_loss("logistic").conjugate(np.array([0.0, 0.5, 1.0]))
    assert entropy.tolist() == pytest.approx([0.0, np.log(2.0), 0.0])


def test_duals_are_inside_their_box():
    for loss in EVERY:
        dual = loss.dual(MARGINS)
        assert np.all((dual >= 0.0) & (dual <= loss.upper))
        assert np.all(np.diff(loss.dual(np.linspace(-20.0, 20.0, 999))) <= 0.0)


@pytest.mark.parametrize("loss", [*SMOOTH, BarrierHinge(0.05)], ids=label)
def test_single_precision_stays_single(loss):
    """The first-order steps of the relaxation run in float32."""
    margin = np.linspace(-90.0, 90.0, 721, dtype=np.float32)
    dual = loss.dual(margin)
    assert dual.dtype == np.float32
    np.testing.assert_allclose(dual, loss.dual(margin.astype(float)), rtol=1e-5, atol=1e-6)


def test_names_and_registry_agree():
    for name, loss in LOSSES.items():
        assert get_loss(name) is loss
        assert loss.name == name
        with pytest.raises(dataclasses.FrozenInstanceError):
            loss.name = "other"  # type: ignore[misc]


def test_unknown_loss_names_the_choices():
    with pytest.raises(ValueError, match="unknown loss 'probit'; choose one of logistic, "):
        get_loss("probit")
