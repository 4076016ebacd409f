"""Programming language: pieces of source files by suffix, and the code sets of sae-probes.

Without a folder of code the files of the running Python and its packages are read where they lie.
A language and the projects written in it are hard to tell apart: few files are taken of each
project, and a project is one document, so that it never lies on both sides of a split.
"""

from __future__ import annotations

import os
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from optprobe.features import text_sets
from optprobe.features.base import Collection, Dataset, Feature
from optprobe.features.rules import signs
from optprobe.features.sources import HOW_TO_GET_WHEEL
from optprobe.features.text_labels import gather, join, text_features

SUFFIXES = {
    ".c": "C", ".h": "C", ".cc": "C++", ".cpp": "C++", ".hpp": "C++", ".css": "CSS",
    ".f90": "Fortran", ".go": "Go", ".html": "HTML", ".java": "Java", ".js": "JavaScript",
    ".pl": "Perl", ".py": "Python", ".rb": "Ruby", ".rs": "Rust", ".sh": "Shell", ".sql": "SQL",
    ".ts": "TypeScript",
}  # fmt: skip
PIECE = 1000
"""Characters of a file that make a text, from a third of it on, behind licence and imports."""
LONGEST_LINE = 300
"""A longer line on average is minified or data."""
SKIPPED = ("site-packages", "node_modules", "__pycache__")
"""Folders that hold other projects, or no source."""
PER_PROJECT = 5
PER_LANGUAGE = 200
HOW_TO_GET = f"put projects into DIR/code, one folder each, or {HOW_TO_GET_WHEEL}"
LEAST = 20
"""A language needs that many files, of two projects, to be a feature."""


def found(folder: Path | None) -> bool:
    """Always: the running Python has source files."""
    return True


def read(folder: Path | None, feature: str | None = None) -> Dataset:
    """Pieces of files in folder/code, or of the running Python; and the sets of the wheel."""
    wanted = text_sets.starts_with(text_sets.CODE)
    parts = gather(
        feature,
        lambda: read_files(roots(folder)),
        lambda: text_sets.read("programming", wanted, feature),
    )
    if not parts:
        where = ", ".join(map(str, roots(folder))) or "no folder"
        raise ValueError(f"{where}: no two languages with {LEAST} files each; {HOW_TO_GET}")
    return join("programming", parts)


def roots(folder: Path | None) -> list[Path]:
    """Where source files lie: folder/code, or the library, headers and packages of this Python."""
    if folder is not None and (folder / "code").is_dir():
        return [folder / "code"]
    paths = sysconfig.get_paths()
    return [Path(paths[key]) for key in ("stdlib", "include", "purelib")]


def read_files(folders: list[Path]) -> list[Dataset]:
    """One piece of each source file, one language against the others; nothing without two."""
    per_project = Counter[tuple[str, str]]()
    per_language = Counter[str]()
    kept: list[tuple[str, str, str]] = []
    for place, name, project in _walk(folders):
        language = SUFFIXES[_suffix(name)]
        if per_project[language, project] == PER_PROJECT or per_language[language] == PER_LANGUAGE:
            continue
        piece = _piece(place / name)
        if piece is not None:
            per_project[language, project] += 1
            per_language[language] += 1
            kept.append((piece, project, language))
    projects = Counter(language for language, _ in per_project)
    enough = sorted(one for one in per_language if per_language[one] >= LEAST and projects[one] > 1)
    kept = [entry for entry in kept if entry[2] in enough]
    if len(enough) < 2:
        return []
    texts, documents, languages = zip(*kept, strict=True)
    written = np.array(languages)
    return [
        Dataset(
            "source_files",
            texts,
            documents,
            "source files in " + ", ".join(map(str, folders)),
            "that of each project; read in place",
            {f"programming/{one}": signs(written == one) for one in enough},
            {f"programming/{one}": f"source file in {one}" for one in enough},
        )
    ]


def _walk(folders: list[Path]) -> Iterator[tuple[Path, str, str]]:
    """Folder and name of each source file, and the folder or file below the root that it is in."""
    for root in folders:
        for folder, inner, files in os.walk(root):
            inner[:] = sorted(name for name in inner if name not in SKIPPED)
            place = Path(folder)
            above = place.relative_to(root).parts
            for name in sorted(files):
                if _suffix(name) in SUFFIXES:
                    yield place, name, above[0] if above else name


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]


def _piece(path: Path) -> str | None:
    """Whole lines from a third of the file on, about PIECE characters; None for an unfit file."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if len(content) < PIECE or len(content) > LONGEST_LINE * (content.count("\n") + 1):
        return None
    start = content.find("\n", len(content) // 3) + 1
    piece = content[start : start + PIECE].rpartition("\n")[0]
    return piece if start and piece.strip() else None


def features(dataset: Dataset) -> list[Feature]:
    """programming/Python, programming/code_C, ..."""
    return text_features(dataset, "programming", "mean")


COLLECTION = Collection(
    "programming",
    "programming language",
    f"source files (DIR/code, or this Python's own); {text_sets.SOURCE}",
    f"that of each file; {text_sets.LICENCE}",
    HOW_TO_GET,
    found,
    read,
    features,
)
