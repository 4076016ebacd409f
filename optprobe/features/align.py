"""Which annotated characters a token stands for, by character offsets.

White space never counts: many tokenizers put the space before a word into its token. A token that
straddles several words takes the first, and every token of a word takes the word's label, as in
Gurnee et al. 2023. A token is inside a span if one of its visible characters is.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64

from optprobe.activations.rows import RowFacts
from optprobe.features.base import Characters, Spans, Words

Array = np.ndarray


def word_of(characters: Characters, words: Words, rows: RowFacts) -> Int64[Array, "rows"]:
    """The first word with a visible character among the row's characters; -1 for none."""
    total = len(characters.visible)
    owner = np.full(total, -1, np.int64)
    lengths = words.stop - words.start
    before = np.cumsum(lengths) - lengths
    owned = np.arange(lengths.sum()) + np.repeat(
        characters.first[words.text] + words.start - before, lengths
    )
    owner[owned] = np.repeat(np.arange(len(words)), lengths)
    owner[~characters.visible] = -1
    here = np.where(owner >= 0, np.arange(total), total)
    following = np.append(np.minimum.accumulate(here[::-1])[::-1], total)
    begin = characters.first[rows.text]
    nearest = following[begin + rows.start]
    return np.where(nearest < begin + rows.stop, np.append(owner, -1)[nearest], -1)


def inside(characters: Characters, spans: Spans, rows: RowFacts) -> Bool[Array, "rows"]:
    """Whether a visible character of the row lies in a span; spans may overlap."""
    begin = characters.first[spans.text]
    edges = np.zeros(len(characters.visible) + 1, np.int64)
    np.add.at(edges, begin + spans.start, 1)
    np.add.at(edges, begin + spans.stop, -1)
    covered = (np.cumsum(edges)[:-1] > 0) & characters.visible
    count = np.append(0, np.cumsum(covered))
    begin = characters.first[rows.text]
    return count[begin + rows.stop] > count[begin + rows.start]
