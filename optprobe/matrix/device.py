"""Z resident on a torch device (a GPU, or the CPU in tests)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int

from optprobe.matrix.protocol import DesignMatrix
from optprobe.matrix.standardise import NotFiniteError, Standardisation, row_slices

if TYPE_CHECKING:
    import torch

Array = np.ndarray


def standardise_tensor(X: torch.Tensor, train: Int[Array, "n"], floor: float) -> Standardisation:
    """Mean, scale and constant columns of a tensor over the rows `train`, on its device.

    Raises:
        NotFiniteError: a NaN or an infinity anywhere in X.
    """
    import torch

    rows = torch.tensor(train, device=X.device)
    total = torch.zeros(X.shape[1], dtype=torch.float64, device=X.device)
    low = torch.full_like(total, torch.inf)
    high = torch.full_like(total, -torch.inf)
    for part in row_slices(*X.shape):
        finite = torch.isfinite(X[part])
        if not bool(finite.all()):
            row, column = (int(i) for i in (~finite).nonzero()[0])
            value = float(X[part.start + row, column])
            raise NotFiniteError(part.start + row, column, value)
    for part in row_slices(len(train), X.shape[1]):
        block = X[rows[part]].double()
        total += block.sum(0)
        low = torch.minimum(low, block.amin(0))
        high = torch.maximum(high, block.amax(0))
    mean = total / len(train)
    squares = torch.zeros_like(total)
    for part in row_slices(len(train), X.shape[1]):
        squares += ((X[rows[part]].double() - mean) ** 2).sum(0)
    variance = squares / len(train)
    scale = variance.sqrt().clamp(min=floor)
    found = (mean, variance, scale, low == high)
    return Standardisation(*(values.cpu().numpy() for values in found))


def accelerator(matrix: DesignMatrix) -> torch.device | None:
    """The CUDA device that holds Z, if one does."""
    if isinstance(matrix, DeviceMatrix) and matrix.transposed.is_cuda:
        return matrix.transposed.device
    return None


@dataclass(frozen=True)
class DeviceMatrix:
    """Z^T (d x n) as one float32 tensor; products run on its device, float64 comes back."""

    transposed: torch.Tensor

    @classmethod
    def standardised(
        cls, X: torch.Tensor, train: Int[Array, "n"], by: Standardisation
    ) -> DeviceMatrix:
        """Standardise the training rows of X on its device; constant columns become 0."""
        import torch

        rows = torch.tensor(train, device=X.device)
        mean = torch.tensor(by.mean, device=X.device)
        scale = torch.tensor(by.scale, device=X.device)
        out = torch.empty((X.shape[1], len(train)), dtype=torch.float32, device=X.device)
        for part in row_slices(len(train), X.shape[1]):
            out[:, part] = ((X[rows[part]].double() - mean) / scale).T.float()
        out[torch.tensor(by.constant, device=X.device)] = 0.0
        return cls(out)

    def _tensor(self, values: Array) -> torch.Tensor:
        import torch

        return torch.tensor(values, device=self.transposed.device)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        d, n = self.transposed.shape
        return n, d

    @property
    def roundoff(self) -> float:
        """float32."""
        return 2.0**-24

    def scores(
        self, columns: Int[Array, "p"], beta: Float64[Array, "batch p"]
    ) -> Float64[Array, "batch n"]:
        """beta Z_J^T, in float64 on the device."""
        block = self.transposed[self._tensor(columns)].double()
        return (self._tensor(beta) @ block).cpu().numpy()

    def correlations(self, duals: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u Z, in float32 on the device."""
        return (self._tensor(duals).float() @ self.transposed.T).double().cpu().numpy()

    def squares(self, weights: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u (Z o Z), in float32 on the device, a block of columns at a time."""
        found = np.empty((len(weights), len(self.transposed)))
        left = self._tensor(weights).float()
        for part in row_slices(*self.transposed.shape):
            found[:, part] = (left @ self.transposed[part].square().T).double().cpu().numpy()
        return found

    def columns(self, columns: Int[Array, "p"]) -> Float64[Array, "p n"]:
        """Z_J^T in float64, on the host."""
        return self.transposed[self._tensor(columns)].double().cpu().numpy()

    def gram(self, columns: Int[Array, "p"], weights: Float64[Array, "n"]) -> Float64[Array, "p p"]:
        """Z_J^T diag(weights) Z_J, in float64 on the device."""
        block = self.transposed[self._tensor(columns)].double()
        return ((block * self._tensor(weights)) @ block.T).cpu().numpy()

    def restrict(self, columns: Int[Array, "p"]) -> DeviceMatrix:
        """A copy of the columns J on the same device."""
        return DeviceMatrix(self.transposed[self._tensor(columns)])
