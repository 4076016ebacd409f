"""Facts about people: Wikidata texts that end in a name, and relations. Read at the last token.

person/wikidata_occupation_isathlete, person/occupation=actor, ...
"""

from __future__ import annotations

from optprobe.features import relations, text_sets

COLLECTION = relations.collection("person", "facts about people", text_sets.PEOPLE, people=True)
