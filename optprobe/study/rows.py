"""The rows on which a feature is probed, the same for every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int8, Shaped

from optprobe.features.sampling import sample
from optprobe.statistics import group_split

if TYPE_CHECKING:
    from optprobe.activations.rows import RowFacts
    from optprobe.features.base import Dataset, Feature
    from optprobe.study.schema import Sampling

Array = np.ndarray


@dataclass(frozen=True)
class FeatureRows:
    """One entry per stored row.

    Attributes:
        labels: -1 or +1; 0 where the feature says nothing.
        keep: True on the rows that are used.
        test: True on those of them that are held out.
        documents: the split's unit.
    """

    labels: Int8[Array, "rows"]
    keep: Bool[Array, "rows"]
    test: Bool[Array, "rows"]
    documents: Shaped[Array, "rows"]


def feature_rows(
    feature: Feature, dataset: Dataset, rows: RowFacts, sampling: Sampling
) -> FeatureRows:
    """Label, sample and split.

    Args:
        feature: of the data set.
        dataset: that was captured.
        rows: of the store.
        sampling: of the study.

    Raises:
        ValueError: no row of a class, or a class within one document; the feature is named.
    """
    labels = feature.labels(dataset, rows)
    given = sampling.skip_first
    documents = dataset.documents_of(rows)
    try:
        keep = sample(
            labels,
            rows,
            dataset.documents,
            ratio=sampling.ratio,
            limit=sampling.limit,
            skip_first=feature.skip_first if given is None else given,
            seed=sampling.seed,
        )
        held = group_split(
            labels[keep], documents[keep], test_size=sampling.test_size, seed=sampling.seed
        )
    except ValueError as error:
        raise ValueError(f"{feature.name}: {error}") from error
    test = np.zeros(len(keep), bool)
    test[keep] = held
    return FeatureRows(labels, keep, test, documents)
