"""CoNLL-U files: sentences, and words with the characters they stand for.

Format: https://universaldependencies.org/format.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COLUMNS = 10


@dataclass(frozen=True)
class Word:
    """One syntactic word.

    Attributes:
        form, upos, deprel: its columns.
        feats: morphological features, "Number" -> "Plur".
        start, stop: characters of the sentence's text; equal where the word has none of its own,
            as the two words in French "du".
    """

    form: str
    upos: str
    deprel: str
    feats: dict[str, str]
    start: int
    stop: int


@dataclass(frozen=True)
class Sentence:
    """One sentence.

    Attributes:
        name: its sent_id, or "" without one.
        document: of the last "# newdoc" before it, or "" where the file names none.
        text: of "# text", or rebuilt from the forms and SpaceAfter=No.
        words: in order; empty nodes are left out.
    """

    name: str
    document: str
    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True)
class _Line:
    """One token line: a word, or the surface token of the words first..last."""

    number: int
    first: int
    last: int
    surface: bool
    cells: tuple[str, ...]

    @property
    def form(self) -> str:
        return self.cells[1]

    @property
    def space_after(self) -> bool:
        return "SpaceAfter=No" not in self.cells[9].split("|")


def read_conllu(path: Path) -> list[Sentence]:
    """The sentences of a file.

    A word of a multiword token has the characters of its own form where the forms together spell
    the token ("do" + "n't"), and none where they do not ("de" + "le" for "du").

    Raises:
        ValueError: not UTF-8, no sentence, or a line that is not CoNLL-U or does not fit its
            "# text"; the file and the line are named.
    """
    sentences: list[Sentence] = []
    document = ""
    for comments, lines in _blocks(path):
        if "newdoc" in comments:
            document = comments["newdoc"][0]
        if lines:
            sentences.append(_sentence(path, comments, lines, document))
    if not sentences:
        raise ValueError(f"{path} holds no sentence; pass a CoNLL-U file")
    return sentences


Comments = dict[str, tuple[str, int]]
"""Key -> value and line number."""


def _blocks(path: Path) -> Iterator[tuple[Comments, list[_Line]]]:
    """The comments and token lines of each sentence."""
    comments: Comments = {}
    lines: list[_Line] = []
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text ({error})") from error
    for number, raw in enumerate(content.split("\n"), 1):
        line = raw.rstrip("\r")
        if not line.strip():
            if comments or lines:
                yield comments, lines
            comments, lines = {}, []
        elif line.startswith("#"):
            key, _, value = line[1:].partition("=")
            key = key.strip()
            if key.split(" ")[0] == "newdoc":
                comments["newdoc"] = (value.strip() or f"document at line {number}", number)
            else:
                comments[key] = (value.strip() if key == "sent_id" else value[1:], number)
        else:
            lines.extend(_token_line(path, number, line))
    if comments or lines:
        yield comments, lines


def _token_line(path: Path, number: int, line: str) -> list[_Line]:
    """The token of one line; nothing for an empty node such as 8.1."""
    cells = tuple(line.split("\t"))
    if len(cells) != COLUMNS:
        raise ValueError(
            f"{path}, line {number}: {len(cells)} columns; a CoNLL-U word has {COLUMNS}, "
            "separated by tabs"
        )
    name, _, last = cells[0].partition("-")
    whole, dot, part = name.partition(".")
    if dot and not last and whole.isdecimal() and part.isdecimal():
        return []
    if not name.isdecimal() or (last and not last.isdecimal()) or not cells[1]:
        raise ValueError(
            f"{path}, line {number}: id {cells[0]!r} with form {cells[1]!r}; an id is a number "
            "(4), a range (4-5) or an empty node (4.1), and a form is not empty"
        )
    return [_Line(number, int(name), int(last or name), bool(last), cells)]


def _sentence(path: Path, comments: Comments, lines: list[_Line], document: str) -> Sentence:
    """One sentence with its words laid over its text."""
    words = [line for line in lines if not line.surface]
    for expected, line in enumerate(words, 1):
        if line.first != expected:
            raise ValueError(
                f"{path}, line {line.number}: word id {line.first} where {expected} follows"
            )
    surfaces = _surfaces(path, lines, len(words))
    text, place = comments.get("text", (_rebuilt(surfaces), surfaces[0].number))
    bounds: dict[int, tuple[int, int]] = {}
    cursor = 0
    for line in surfaces:
        while cursor < len(text) and text[cursor].isspace():
            cursor += 1
        if not text.startswith(line.form, cursor):
            raise ValueError(
                f"{path}, line {line.number}: {line.form!r} does not follow in '# text' of line "
                f"{place}, where {text[cursor : cursor + 20]!r} does"
            )
        bounds.update(_word_bounds(line, words, cursor))
        cursor += len(line.form)
    if text[cursor:].strip():
        raise ValueError(
            f"{path}, line {place}: '# text' goes on with {text[cursor:][:20]!r} after the last "
            "word of its sentence"
        )
    name = comments.get("sent_id", ("", 0))[0]
    return Sentence(name, document, text, tuple(_word(line, bounds[line.first]) for line in words))


def _surfaces(path: Path, lines: list[_Line], count: int) -> list[_Line]:
    """The tokens that stand in the text: ranges, and words outside them."""
    found: list[_Line] = []
    done = 0
    for line in lines:
        if line.surface and not done < line.first <= line.last <= count:
            raise ValueError(
                f"{path}, line {line.number}: range {line.cells[0]} in a sentence of {count} words"
            )
        if line.first > done:
            found.append(line)
            done = line.last
    if not found:
        raise ValueError(f"{path}, line {lines[0].number}: a sentence without words")
    return found


def _word_bounds(surface: _Line, words: list[_Line], start: int) -> dict[int, tuple[int, int]]:
    """The characters of the words of one surface token, by word id."""
    inner = words[surface.first - 1 : surface.last]
    if "".join(line.form for line in inner) != surface.form:
        return {line.first: (start, start) for line in inner}
    bounds: dict[int, tuple[int, int]] = {}
    for line in inner:
        bounds[line.first] = (start, start + len(line.form))
        start += len(line.form)
    return bounds


def _rebuilt(surfaces: list[_Line]) -> str:
    """The text of a sentence without "# text"."""
    spaced = [line.form + " " * line.space_after for line in surfaces]
    return "".join(spaced).rstrip()


def _word(line: _Line, bounds: tuple[int, int]) -> Word:
    pairs = [pair.partition("=") for pair in line.cells[5].split("|") if "=" in pair]
    feats = {key: value for key, _, value in pairs}
    return Word(line.form, line.cells[3], line.cells[7], feats, *bounds)
