"""The 21 compound words of Gurnee et al. 2023: the text ends in "social security", or in one of the
two words with another partner. Read at the last token: compound/high-school, ..."""

from __future__ import annotations

from optprobe.features import text_sets

COLLECTION = text_sets.collection("compound", "compound words", text_sets.is_compound)
