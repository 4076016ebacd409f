"""Small treebanks written by hand, in the tests' own words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optprobe.activations.rows import RowFacts

SENTENCE = """\
# newdoc id = {document}
# sent_id = {document}-0001
# text = The dogs didn't bark.
1\tThe\tthe\tDET\tDT\tDefinite=Def|PronType=Art\t2\tdet\t_\t_
2\tdogs\tdog\tNOUN\tNNS\tNumber=Plur\t5\tnsubj\t_\t_
3-4\tdidn't\t_\t_\t_\t_\t_\t_\t_\t_
3\tdid\tdo\tAUX\tVBD\tTense=Past|VerbForm=Fin\t5\taux\t_\t_
4\tn't\tnot\tPART\tRB\tPolarity=Neg\t5\tadvmod\t_\t_
5\tbark\tbark\tVERB\tVB\tVerbForm=Inf\t0\troot\t_\tSpaceAfter=No
5.1\tbark\tbark\tVERB\tVB\t_\t_\t_\t0:root\tCopyOf=5
6\t.\t.\tPUNCT\t.\t_\t5\tpunct\t_\t_

# sent_id = {document}-0002
# text = A cat is heard here.
1\tA\ta\tDET\tDT\tDefinite=Ind|PronType=Art\t2\tdet\t_\t_
2\tcat\tcat\tNOUN\tNN\tNumber=Sing\t4\tnsubj:pass\t_\t_
3\tis\tbe\tAUX\tVBZ\tTense=Pres|VerbForm=Fin\t4\taux:pass\t_\t_
4\theard\thear\tVERB\tVBN\tTense=Past|VerbForm=Part|Voice=Pass\t0\troot\t_\t_
5\there\there\tADV\tRB\t_\t4\tadvmod\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t.\t_\t4\tpunct\t_\t_

"""

FRENCH = """\
# sent_id = fr-{number}
# text = Il parle du chien et du chat qui dorment ici.
1\tIl\til\tPRON\t_\t_\t2\tnsubj\t_\t_
2\tparle\tparler\tVERB\t_\t_\t0\troot\t_\t_
3-4\tdu\t_\t_\t_\t_\t_\t_\t_\t_
3\tde\tde\tADP\t_\t_\t5\tcase\t_\t_
4\tle\tle\tDET\t_\t_\t5\tdet\t_\t_
5\tchien\tchien\tNOUN\t_\t_\t2\tobl\t_\t_
6\tet\tet\tCCONJ\t_\t_\t9\tcc\t_\t_
7-8\tdu\t_\t_\t_\t_\t_\t_\t_\t_
7\tde\tde\tADP\t_\t_\t9\tcase\t_\t_
8\tle\tle\tDET\t_\t_\t9\tdet\t_\t_
9\tchat\tchat\tNOUN\t_\t_\t5\tconj\t_\t_
10\tqui\tqui\tPRON\t_\t_\t11\tnsubj\t_\t_
11\tdorment\tdormir\tVERB\t_\t_\t9\tacl\t_\t_
12\tici\tici\tADV\t_\t_\t11\tadvmod\t_\tSpaceAfter=No
13\t.\t.\tPUNCT\t_\t_\t2\tpunct\t_\t_

"""


def write_treebank(folder: Path, documents: int = 30) -> Path:
    """UD-like English and French files; every English document has the same two sentences."""
    names = [f"{('weblog', 'email')[i % 2]}-d{i}" for i in range(documents)]
    english = "".join(SENTENCE.format(document=name) for name in names)
    (folder / "en_ewt-ud-dev.conllu").write_text(english, encoding="utf-8")
    french = "".join(FRENCH.format(number=i) for i in range(documents))
    (folder / "fr_gsd-ud-dev.conllu").write_text(french, encoding="utf-8")
    return folder


def tokens(*texts: tuple[str, ...]) -> tuple[tuple[str, ...], RowFacts]:
    """Texts given as their tokens, and the rows of those tokens."""
    facts: list[tuple[int, int, int, int, int]] = []
    for number, text in enumerate(texts):
        start = 0
        for position, token in enumerate(text):
            facts.append((number, position, 0, start, start + len(token)))
            start += len(token)
    columns = np.array(facts, np.int64).reshape(-1, 5).T
    return tuple("".join(text) for text in texts), RowFacts(*columns)
