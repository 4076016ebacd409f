"""Facts about places, works and companies: names and relations. Read at the last token.

fact/us_state_FL, fact/landmark_on_continent=Europe, ...
"""

from __future__ import annotations

from optprobe.features import relations, text_sets

COLLECTION = relations.collection(
    "fact", "facts about places, works and companies", text_sets.FACTS, people=False
)
