"""Why a bound computed in floating point is a proof: the error of every number, and its sign.

Assumed of the machine: IEEE double precision, rounding to nearest; sums and matrix products add
their n products in any order, fused or not, but by no other formula (no Strassen); numpy's exp,
log and log1p are within 4 ulp (relative 8u); sqrt is correctly rounded. u = 2^-53 and

    gamma(n) = n u / (1 - n u)                                              [Higham 2002, lemma 3.1]

bounds the relative error of n roundings in a row; every use below counts a few more than needed,
which pays for the rounding of the allowances themselves. Underflow, gradual or to zero, costs less
than TINY per operation.

Data. Z is by definition the float64 rounding of (x - mean) / scale with the stored mean and scale;
so are the weights w and the signs or targets y what they are in float64. None of them carries an
error.

A dual point. a(m) is computed with whatever error, clipped into the box of the loss and scaled per
class; the float64 numbers a_i that come out lie in the box (all 0 where one is NaN) and are from
here on the exact dual point. What remains to bound is:

 1. Intercept condition. With A_c the sum of w a over class c and rho = |A_+ - A_-|, the point that
    equals s a on the heavier class, s = 1 - rho / A_c, satisfies it exactly and lies in the box.
    Sums of n terms by way of blocks of B have error gamma(n / B + B) A_c, whatever the order
    within, hence rho <= |computed| + gamma(n / B + B) (A_+ + A_-).
    H is concave with H(0) = 0, so H(s a) >= s H(a): the entropy falls by at most (1 - s) times the
    class's own, itself at most E, the sum of the absolute values of all its terms; and 1 - s <= 1.
    v_j = sum w a y z_j moves by at most (1 - s) sum_c w a |z_ij| <= rho max_i |z_ij|.
 2. Entropy. sum w H(a) has error gamma(n) E, plus for the logistic loss 64 u sum w: a ln a and
    (1-a) ln(1-a) are at most 1/e, a logarithm adds 8u relative, and replacing 1 - a by its
    rounding moves r ln r by at most |r (1 + ln r)| u <= u: 16 u sum w, also in E of section 1. The
    logarithms are of numbers that the smallest normal one was added to, which only lowers the sum.
 3. Correlations. v_j has error gamma(n) sum |w a z_ij| <= gamma(n) ||w a||_2 ||z_j||_2, both norms
    rounded up.
 4. Gains. g_j = (|v_j| + its error)^2 / (2 lam), rounded up; sums of r gains have error
    gamma(r) times the sum.
 5. Squared error. There is no box and every sign is +1; its point is y - t less a computed mean,
    again with whatever error. Of its residual r = sum w a only |r| <= rho is known, with rho =
    |computed| + gamma(n / B + B) sum |w a|. With W = sum w, the point a - r / W satisfies the
    condition exactly, and H(a) = a y - a^2/2 gives
        sum w H(a - r/W) = sum w H(a) - (r/W) sum w y + r^2/(2 W) >= sum w H(a) - (rho/W) sum w |y|
    while v_j moves by at most (rho / W) sum w |z_ij| <= rho max_i |z_ij|, as in 1. The sums of 2.
    are sum w a y and sum w a^2/2: error gamma(n) E with E = sum |w a y| + sum w a^2/2, and an
    underflow of w a costs TINY max |y|. Sections 3 and 4 hold as they are.

So value - (1., 2., 5.) is at most, and each g_j at least, the true number of a feasible dual point,
and every difference value - sum g that is formed from them is charged gamma of its length times the
sum of its absolute values.

A filtered node (notation of `certificate`; e is the reach, L_j = max_i |G_ij|, A = sum w omega,
W = sum w, all rounded up). The float64 numbers a_i, omega_i and G_ij that come out are exact from
here on: the claim holds for every a in the box, every omega that `parabola` lets pass and every
matrix G, if what is not orthogonal is charged. Its d, whatever it is, has sum |d_j| L_j <= e, with
2^-40 to spare for rounding; so an error of eps L_j in some quantity that is multiplied with d_j
costs e eps, whatever T and d are. A direction with a small L_j is set to zero, which is G_j = 0.

 6. Intercept. a' = a - omega y (G d) has sum w a' y = sum w a y - (1' Omega G) d, at most
    rho = rho(a) + e (max_j |(1' Omega G)_j| / L_j + gamma(n + 8) A) in absolute value. Scaling the
    heavier class c by s = 1 - rho / A_c makes it 0, A_c = sum over c of w a' >= rho, and sum w H
    falls by at most (rho / A_c) sum_c w H(a'). Squared hinge: H(a) <= a, so by at most rho.
    Logistic: sum_c w H(a') <= A_c (1 + ln(W / A_c)), for entropy is concave and h(p) <= p (1 - ln
    p): by at most rho (1 + ln(W / rho)), which rises with rho; with rho taken to be 2^-80 at least
    and W <= 2, by at most 64 rho. Squared error: by at most (rho / W) sum w |y|, as in 5. Every
    v_j moves by rho max_i |x_ij| at most.
 7. Correlations. |sum_i x_ij Omega_i G_ik| <= ||x_j|| ||Omega|| L_k, and it is computed with an
    error of gamma(n + 8) times that; so v_j - (M d)_j is at most size_j = ||x_j|| (||w a|| + e
    ||Omega||) and has the error eps_j = gamma(n + 32) size_j + rho max_i |x_ij|, the latter from 6.
    For j in S there is also e max_k |(x_j' Omega G)_k| / L_k, which would be 0 for an exact C. T
    then costs at most (2 size_j eps_j + eps_j^2) / (2 lam) more per column than is computed.
 8. Curvature. c <= omega, and c has the error 2u, its square root taken once more u, twice: d' K d
    is computed with an error of gamma(n + 8) e^2 A at most.
 9. Slope. Let N = sum w size, size_i at least omega_i |H'(a_i)| and such that this product has the
    error 16 u size_i: then h has the error (16 u + gamma(n + 8)) N L_j. Where H' is one subtraction
    of float64 numbers, its relative error is u and size = omega |H'| will do. Logistic: H' =
    ln(1 - a) - ln a is computed with an error of 16 u (|ln a| + |ln(1 - a)| + |H'|), and omega <=
    a (1 - a), where a (1 - a) times that bracket is at most 1: size = 1.
10. Evaluation. At most 32 operations per column, each relative to a term that is bounded in 7., 8.
    or 9.: gamma(64) times size_j^2 / (2 lam) per column, e^2 A and e N. Along a line the squares
    are taken apart, (R - M_ll d)^2 = R^2 - 2 R M_ll d + (M_ll d)^2 and likewise for the columns of
    the head. Their terms are of one sign at worst, and (|R| + |M_ll d|)^2 <= size_l^2 too: of
    what size_l allows for a step of length e, R holds the head's part and M_ll d that of l. Where
    R is taken apart once more, into v_l and the head's columns, the same sum of sizes bounds it.

11. Sums over pairs. The numbers of section 7 to 9 bound every step; what is left is the evaluation
    of E_pq from M, K, v, h and d as they are, some 20 operations, and of sums of at most r (r - 1)
    / 2 <= 15 of them, in any order: each of these sums has an error of gamma(256) times r (r - 1) /
    2 times the largest sum of absolute values of the terms of an E_pq. A sum is taken to exceed
    what it should not if it does so by less than that.

Together one number for all supports of the node, so their computed bounds need only be compared.

The incumbent. The margin m_i has error gamma(s) (sum_j |z_ij beta_j| + |b|); the loss does not
increase, so its value at m_i minus that error is an upper bound; squared error grows with the
distance |y_i - m_i|, so its value at that distance plus the error is one. exp, log1p and the other
operations of a loss, that distance among them, add 64 u relative; `math.fsum` adds no more than one
rounding.
"""

from __future__ import annotations

U = 2.0**-53
"""Unit roundoff of float64."""

TINY = 2.0**-1000
"""More than underflow can cost in one operation."""

UP = 1.0 + 2.0**-48
"""Factor that more than undoes a handful of roundings of a positive number."""


def gamma(n: int) -> float:
    """n u / (1 - n u): relative error of n roundings in a row."""
    return n * U / (1.0 - n * U)
