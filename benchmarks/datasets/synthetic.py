"""Correlated Gaussian rows with a known support, see optprobe.bench.instances."""

from __future__ import annotations

from benchopt import BaseDataset

from optprobe.bench.instances import Synthetic


class Dataset(BaseDataset):
    """Rows of N(0, rho^|i-j|); labels from `relevant` columns and noise."""

    name = "synthetic"
    parameters = {  # noqa: RUF012
        "n, d, relevant": [(1000, 50, 5), (2000, 200, 5)],
        "rho": [0.5],
        "snr": [6.0],
        "placement": ["equal"],
        "seed": [0],
    }
    test_parameters = {"n, d, relevant": [(60, 8, 2)]}  # noqa: RUF012

    def get_data(self) -> dict:
        """The rows of one seed."""
        source = Synthetic(self.n, self.d, self.relevant, self.rho, self.snr, self.placement)
        return {
            "activations": source.activations(self.seed),
            "weights": source.weights,
            "seed": self.seed,
        }
