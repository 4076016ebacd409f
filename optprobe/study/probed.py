"""What a study probed, drawn again: the rows of its store that a certificate is checked against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int8

from optprobe.activations.manifest import text_digest
from optprobe.files import InputError
from optprobe.study.rows import feature_rows
from optprobe.study.run import stored_layers, study_features

if TYPE_CHECKING:
    from optprobe.activations.array import StoredArray
    from optprobe.activations.store import Store
    from optprobe.study.schema import Study

Array = np.ndarray


def probed_rows(
    store: Store, study: Study, feature: str | None = None, layer: int | None = None
) -> tuple[StoredArray, Int8[Array, "n"], Bool[Array, "n"]]:
    """X and y of a feature's probes at a layer, and which rows were held out; X is read in place.

    Labels, sample and split are made from the study's texts and settings, not from its results.

    Args:
        store: of the study's activations.
        study: as `read_study` gives it.
        feature: by name, as in the study's table; None for its only one.
        layer: None for the store's only one.

    Raises:
        InputError: a feature or a layer that is not there, or not said where there are several; a
            store of other texts.
        ValueError: as `load_feature` and `feature_rows`.
    """
    features = {one.name: (dataset, one) for dataset, one in study_features(study)}
    if feature is None and len(features) > 1:
        raise InputError(f"the study has several features: pass one of {', '.join(features)}")
    name = next(iter(features)) if feature is None else feature
    if name not in features:
        raise InputError(f"the study has no feature {name!r}; it has {', '.join(features)}")
    sites = dict(stored_layers(study, store))
    known = ", ".join(map(str, sites))
    if layer is None and len(sites) > 1:
        raise InputError(f"{store.path} has several layers: pass one of {known}")
    at = next(iter(sites)) if layer is None else layer
    if at not in sites:
        raise InputError(f"{store.path} has no layer {at}; it has {known}")
    dataset, found = features[name]
    if store.manifest.text_digest != text_digest(dataset.texts):
        raise InputError(f"{store.path} holds activations of other texts than {dataset.name}")
    rows = feature_rows(found, dataset, store.rows, study.sampling)
    kept = np.flatnonzero(rows.keep)
    return store.array([sites[at]], kept), rows.labels[kept], rows.test[kept]
