"""Other labelled texts, beyond the paper's ten: GLUE, headlines, ethics, emotions, arithmetic.

text/glue_cola, text/headline_istrump, ..., read at the last token.
"""

from __future__ import annotations

from optprobe.features import text_sets

COLLECTION = text_sets.collection("text", "other labelled texts", text_sets.is_other)
