"""The dual points and the fitted supports of a certificate, evaluated in batches.

Both are (beta, b, mu). A dual point is multiplied with every column of the scope, and only when the
walk asks for it, together with those it will ask for next; a fitted support with its own columns.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.columns import Columns, among
from optprobe.checker.duals import Rows, box_point, duals, gains
from optprobe.checker.rounding import gamma
from optprobe.checker.side_by_side import side_by_side

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Array = np.ndarray

BATCH, BATCH_ROWS = 64, 2**21
"""At most so many dual points, and points x rows, in one matrix product."""

FIT_ROWS, FIT_COLUMNS = 2**18, 128
"""Fitted supports x rows handled at once, fewer where they have more columns between them."""

CACHE_BYTES = 2**26
"""Gains that are kept for nodes that come back to the same dual point."""


class Points:
    """`points[i]` is (value, gains over the scope) of dual point i, on the safe side.

    Args:
        columns, rows: the data.
        arrays: of the certificate.
        local: position in the scope of each column.
        order: the dual points as the walk is expected to meet them.
    """

    def __init__(
        self,
        columns: Columns,
        rows: Rows,
        arrays: dict[str, Array],
        local: Int[Array, "d"],
        order: Int[Array, "used"],
    ) -> None:
        self._columns, self._rows, self._arrays, self._local = columns, rows, arrays, local
        self._order = order
        self._place = np.zeros(len(arrays["point_mu"]), np.int64)
        self._place[order] = np.arange(len(order))
        self._batch = max(1, min(BATCH, BATCH_ROWS // columns.n))
        self._room = max(2 * self._batch, CACHE_BYTES // (8 * columns.p))
        self._kept: OrderedDict[int, tuple[float, Array]] = OrderedDict()

    def __getitem__(self, point: int) -> tuple[float, Float64[Array, "p"]]:
        if point not in self._kept:
            place = self._place[point]
            ahead = self._order[place : place + 4 * self._batch].tolist()
            new = [i for i in ahead if i not in self._kept][: self._batch]
            for i, value, gain in zip(new, *self._evaluate(np.array(new)), strict=True):
                self._kept[i] = (float(value), gain.copy())
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)
        self._kept.move_to_end(point)
        return self._kept[point]

    def _evaluate(
        self, points: Int[Array, "batch"]
    ) -> tuple[Float64[Array, "batch"], Float64[Array, "batch p"]]:
        arrays, columns, rows = self._arrays, self._columns, self._rows
        start = arrays["point_start"]
        length = start[points + 1] - start[points]
        owner = np.repeat(np.arange(len(points)), length)
        entries = np.arange(len(owner)) + (start[points + 1] - np.cumsum(length))[owner]
        used, place = np.unique(self._local[arrays["point_column"][entries]], return_inverse=True)
        beta = np.zeros((len(points), len(used)))
        np.add.at(beta, (owner, place), arrays["point_beta"][entries].astype(np.float64))
        scores = columns.scores(used, beta) + arrays["point_intercept"][points, None]
        batch = duals(rows, box_point(rows, scores, arrays["point_mu"][points]))
        v = columns.correlations(batch.u)
        gain = gains(batch, v, columns.norm[:-1], columns.peak[:-1], rows.lam)
        # A point whose numbers overflow proves nothing: any finite gains do beside -infinity.
        useful = np.isfinite(gain.sum(axis=1))
        return np.where(useful, batch.value, -np.inf), np.where(useful[:, None], gain, 0.0)


class Fits:
    """`fits.bounds(first, last)` are the dual values of fitted supports at their own columns.

    Only those of the nodes that are reached are evaluated; where Z is not held in memory, all of
    them at once, so that X is read few times.

    Args:
        columns, rows: the data.
        arrays: of the certificate.
        local: position in the scope of each column.

    Attributes:
        supports: `fit_support` as positions in the scope, p for padding.
    """

    def __init__(
        self, columns: Columns, rows: Rows, arrays: dict[str, Array], local: Int[Array, "d"]
    ) -> None:
        listed = arrays["fit_support"]
        self.supports: Int[Array, "m k"] = np.where(listed >= 0, local[listed], columns.p)
        self._columns, self._rows, self._arrays = columns, rows, arrays
        self._all: Float64[Array, "m"] | None = None

    def bounds(self, first: int, last: int) -> Float64[Array, "batch"]:
        """Lower bounds on P(S) for the fits first:last, rounded down."""
        if self._columns.held:
            return self._evaluate(slice(first, last))
        if self._all is None:
            self._all = self._evaluate(slice(0, len(self.supports)))
        return self._all[first:last]

    def _evaluate(self, part: slice) -> Float64[Array, "batch"]:
        bound = np.empty(part.stop - part.start)
        for group in self._columns.groups(self.supports[part]):
            rows = slice(part.start + group.start, part.start + group.stop)
            bound[group] = self._evaluate_group(rows)
        return bound

    def _evaluate_group(self, part: slice) -> Float64[Array, "batch"]:
        """Fits whose columns are held at once."""
        bound = np.empty(part.stop - part.start)
        step = max(1, FIT_ROWS // self._columns.n)
        block, place = self._columns.gather(self.supports[part])

        def work(first: int) -> None:
            few = slice(first, min(first + step, len(bound)))
            bound[few] = self._dual_values(block, place[few], part.start + few.start)

        side_by_side(work, range(0, len(bound), step))
        return bound

    def _dual_values(
        self, block: Float64[Array, "q n"], place: Int[Array, "batch k"], first: int
    ) -> Float64[Array, "batch"]:
        """Of the fits from `first` on, by two products with all the columns they have between
        them: neighbours in a list share most of theirs."""
        used, inside = among(place, len(block))
        if len(used) > FIT_COLUMNS and len(place) > 1:
            half = len(place) // 2
            parts = (place[:half], first), (place[half:], first + half)
            return np.concatenate([self._dual_values(block, few, at) for few, at in parts])
        part, every = slice(first, first + len(place)), np.arange(len(place))[:, None]
        arrays, columns, supports = self._arrays, self._columns, self.supports[part]
        beta = np.zeros((len(place), len(used)))
        beta[every, inside] = arrays["fit_beta"][part]
        few = block[used]
        scores = beta @ few
        scores += arrays["fit_intercept"][part, None]
        batch = duals(self._rows, box_point(self._rows, scores, arrays["fit_mu"][part]))
        v = (batch.u @ few.T)[every, inside]
        gain = gains(batch, v, columns.norm[supports], columns.peak[supports], self._rows.lam)
        total = np.where(supports < columns.p, gain, 0.0).sum(axis=1)
        slack = gamma(supports.shape[1] + 16) * (np.abs(batch.value) + total)
        bound = batch.value - total - slack
        return np.where(np.isnan(bound), -np.inf, bound)
