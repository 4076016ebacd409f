"""Compiled loops over vectors that the compiled methods share; the processor runs them in lanes.

Float32 and float64 alike; all let go of the interpreter.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def add(total, factor, column):  # type: ignore
    """total += factor * column."""
    for i in range(len(total)):
        total[i] += factor * column[i]


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def times(total, factor, column):  # type: ignore
    """total = factor * column, entry by entry."""
    for i in range(len(total)):
        total[i] = factor[i] * column[i]


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def dot(a, b):  # type: ignore
    """a . b."""
    total = a.dtype.type(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def combine(theta, rows, total):  # type: ignore
    """total += theta . rows."""
    for p in range(len(rows)):
        add(total, theta[p], rows[p])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def descend(hessian, gradient, theta):  # type: ignore
    """theta -= hessian^-1 gradient by Cholesky, in place; False if that fails."""
    size = len(theta)
    for p in range(size):
        row = hessian[p]
        for q in range(p):
            row[q] = (row[q] - dot(row[:q], hessian[q, :q])) / hessian[q, q]
        pivot = row[p] - dot(row[:p], row[:p])
        if not pivot > 0.0:
            return False
        row[p] = np.sqrt(pivot)
        gradient[p] = (gradient[p] - dot(row[:p], gradient[:p])) / row[p]
    for p in range(size - 1, -1, -1):
        gradient[p] /= hessian[p, p]
        add(gradient[:p], -gradient[p], hessian[p, :p])
        theta[p] -= gradient[p]
    return True


CHUNK = 512
"""Entries of a row that a Gram matrix takes at once: some twenty such pieces stay in the cache."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def gram(rows, weight, out):  # type: ignore
    """out = rows diag(weight) rows', summed by chunks in the precision of the rows.

    Four rows against two at a time: what is read then serves several products. Half of the matrix
    is enough, which takes no longer than a library's product of all of it.
    """
    q, n = rows.shape
    whole = np.zeros((q + 3, q + 3))
    bent, nothing = np.zeros((4, CHUNK), rows.dtype), np.zeros(CHUNK, rows.dtype)
    for first in range(0, n, CHUNK):
        part = slice(first, min(first + CHUNK, n))
        width = part.stop - first
        for p in range(0, q, 4):
            for k in range(4):
                if p + k < q:
                    times(bent[k, :width], weight[part], rows[p + k, part])
                else:
                    bent[k] = 0.0
            for r in range(0, min(p + 4, q), 2):
                other = rows[r + 1, part] if r + 1 < q else nothing[:width]
                a, b, c, d = bent[0, :width], bent[1, :width], bent[2, :width], bent[3, :width]
                _tile(a, b, c, d, rows[r, part], other, whole[p : p + 4, r : r + 2])
    for p in range(q):
        for r in range(p + 1):
            out[p, r] = out[r, p] = whole[p, r]


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _tile(a, b, c, d, x, y, out):  # type: ignore
    """out += [a, b, c, d] [x, y]'; rows apart, of which it is known that they lie in one piece."""
    ax = bx = cx = dx = ay = by = cy = dy = x.dtype.type(0)
    for i in range(len(x)):
        ax += a[i] * x[i]
        bx += b[i] * x[i]
        cx += c[i] * x[i]
        dx += d[i] * x[i]
        ay += a[i] * y[i]
        by += b[i] * y[i]
        cy += c[i] * y[i]
        dy += d[i] * y[i]
    out[0, 0] += ax
    out[1, 0] += bx
    out[2, 0] += cx
    out[3, 0] += dx
    out[0, 1] += ay
    out[1, 1] += by
    out[2, 1] += cy
    out[3, 1] += dy
