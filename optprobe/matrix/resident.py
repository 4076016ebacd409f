"""Columns resident on a torch device, standing where an array of them would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float64, Int

from optprobe.matrix.standardise import slices

if TYPE_CHECKING:
    import torch

Array = np.ndarray

GRAM_COLUMNS = 256
"""Columns that are weighted at once in a Gram matrix; no second copy of all of them is made."""


@dataclass(frozen=True, eq=False)
class Resident:
    """Columns in float64 on a device, one row per column.

    They are picked by position and multiplied there; products come back to the host, and
    `np.asarray` brings the columns themselves.
    """

    tensor: torch.Tensor

    __array_ufunc__ = None  # NumPy leaves `beta @ columns` to us

    @classmethod
    def of(cls, columns: Float64[Array, "q n"], device: torch.device) -> Resident:
        """A copy of the columns on the device."""
        import torch

        return cls(torch.tensor(columns, device=device))

    def put(self, values: Array) -> torch.Tensor:
        """A copy of an array beside the columns."""
        import torch

        return torch.tensor(values, device=self.tensor.device)

    @property
    def shape(self) -> tuple[int, int]:
        """(q, n)."""
        q, n = self.tensor.shape
        return q, n

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: slice | Int[Array, "p"]) -> Resident:
        return Resident(self.tensor[at if isinstance(at, slice) else self.put(at)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The columns on the host."""
        if copy is False:
            raise ValueError("a copy is needed: the columns are on a device")
        return self.tensor.cpu().numpy().astype(dtype or np.float64)

    def __matmul__(self, weights: Float64[Array, "n *m"]) -> Float64[Array, "q *m"]:
        """The products of every column with weights of the rows."""
        return (self.tensor @ self.put(weights)).cpu().numpy()

    def __rmatmul__(self, beta: Float64[Array, "q"]) -> Float64[Array, "n"]:
        """The sum of the columns, beta_j of each."""
        return (self.put(beta) @ self.tensor).cpu().numpy()

    def weighted(self, weights: Float64[Array, "n"], other: Resident) -> torch.Tensor:
        """X' diag(weights) Y for these columns X and others Y, on the device."""
        import torch

        row, found = self.put(weights), []
        for part in slices(len(other), GRAM_COLUMNS):
            found.append(self.tensor @ (other.tensor[part] * row).T)
        return torch.cat(found, 1)

    def after(self, columns: Float64[Array, "s n"]) -> Resident:
        """The same with some columns from the host before them."""
        import torch

        return Resident(torch.cat([self.put(columns), self.tensor]))

    def signed(self, y: Float64[Array, "n"]) -> Resident:
        """Columns times y, and y itself last; see `support.signed`."""
        import torch

        row = self.put(y)
        return Resident(torch.cat([self.tensor * row, row[None]]))


Block: TypeAlias = Float64[Array, "q n"] | Resident
"""Columns wherever they are."""
