"""What the characters of a token look like: capitals, digits, spaces, punctuation, affixes.

A pure function of the token's text, the space before it included. Most of the list is that of
Gurnee et al. 2023.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from optprobe.features import treebank
from optprobe.features.base import Dataset, Feature
from optprobe.features.rules import ByTokenText

Test = Callable[[str], bool]

SUFFIXES = (
    "able", "al", "ed", "ence", "er", "est", "ful", "ing", "ity", "ive", "less", "ly", "ment",
    "ness", "ous", "tion",
)  # fmt: skip
PREFIXES = ("con", "de", "dis", "in", "non", "over", "pre", "re", "sub", "un")
LENGTHS = (1, 2, 3, 4, 5, 6)
LONG = 8


def word(token: str) -> str:
    """The token without white space around it, in lower case."""
    return token.strip().lower()


def all_of(kind: Test) -> Test:
    """Every visible character is of a kind, and there is one."""
    return lambda token: bool(token.strip()) and all(map(kind, token.strip()))


def some_of(characters: str) -> Test:
    """A character is one of these."""
    return lambda token: any(character in characters for character in token)


def ends_in(suffix: str) -> Test:
    """A word of letters, longer than the suffix, ends in it."""
    return lambda token: (
        word(token).isalpha() and len(word(token)) > len(suffix) and word(token).endswith(suffix)
    )


def starts_in(prefix: str) -> Test:
    """A word of letters, longer than the prefix, starts with it."""
    return lambda token: (
        word(token).isalpha() and len(word(token)) > len(prefix) and word(token).startswith(prefix)
    )


def is_punctuation(character: str) -> bool:
    """Unicode category P or S."""
    return unicodedata.category(character)[0] in "PS"


def is_long(token: str) -> bool:
    """At least LONG visible characters."""
    return len(token.strip()) >= LONG


def has_length(length: int) -> Test:
    """That many visible characters."""
    return lambda token: len(token.strip()) == length


TESTS: dict[str, tuple[str, Test]] = {
    "contains_digit": ("contains a digit", lambda token: any(map(str.isdigit, token))),
    "all_digits": ("only digits", all_of(str.isdigit)),
    "contains_capital": ("contains a capital", lambda token: any(map(str.isupper, token))),
    "leading_capital": ("starts with a capital", lambda token: token.strip()[:1].isupper()),
    "all_capitals": (
        "two capitals or more, nothing else",
        lambda token: len(token.strip()) > 1 and all_of(str.isupper)(token),
    ),
    "mixed_case": (
        "a capital behind its first character, and a small letter",
        lambda token: any(map(str.isupper, token.strip()[1:])) and any(map(str.islower, token)),
    ),
    "leading_space": ("starts with a space", lambda token: token[0] == " "),
    "word_inside": (
        "small letters that continue a word",
        lambda token: token.isalpha() and token.islower(),
    ),
    "contains_whitespace": ("contains white space", lambda token: any(map(str.isspace, token))),
    "all_whitespace": ("only white space", str.isspace),
    "contains_newline": ("contains a line break", some_of("\n\r")),
    "not_alphanumeric": ("no letter and no digit", lambda token: not any(map(str.isalnum, token))),
    "contains_non_ascii": ("contains a character outside ASCII", lambda token: not token.isascii()),
    "punctuation": ("only punctuation and symbols", all_of(is_punctuation)),
    "sentence_end": ("a full stop, question or exclamation mark", some_of(".?!")),
    "comma": ("contains a comma", some_of(",")),
    "quote": ("contains a quotation mark", some_of("\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb")),
    "opening_bracket": ("contains an opening bracket", some_of("([{<")),
    "closing_bracket": ("contains a closing bracket", some_of(")]}>")),
    "hyphen": ("contains a hyphen or dash", some_of("-\u2013\u2014")),
    "currency": ("contains a currency sign", some_of("$€£¥฿₹")),
    "vowel_first": ("its first letter is a vowel", lambda token: word(token)[:1] in set("aeiou")),
    "honorific": (
        "Mr, Ms, Mrs, Dr, Prof, Hon or Rev",
        lambda token: token.strip().rstrip(".") in {"Mr", "Ms", "Mrs", "Dr", "Prof", "Hon", "Rev"},
    ),
    "long": (f"at least {LONG} visible characters", is_long),
    **{f"length_{n}": (f"{n} visible characters", has_length(n)) for n in LENGTHS},
    **{f"ends_in_{end}": (f"a word that ends in -{end}", ends_in(end)) for end in SUFFIXES},
    **{f"starts_with_{start}": (f"a word in {start}-", starts_in(start)) for start in PREFIXES},
}
"""Name -> meaning and test; an empty token has no property."""


def features(dataset: Dataset) -> list[Feature]:
    """token/contains_digit, token/leading_space, ...; they fit any texts."""
    return [
        Feature(f"token/{name}", f"token: {meaning}", "token", ByTokenText(test))
        for name, (meaning, test) in TESTS.items()
    ]


COLLECTION = treebank.collection("token", "the token's text", features, computed=True)
