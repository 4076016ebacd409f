"""YAML as its version 1.2 reads plain words, with the line of every key.

PyYAML follows version 1.1, where 1:4 is the number 64 (base sixty), 1e-4 is text and `no` is false.
Here a number is written as in JSON or Python, and only true and false are booleans [YAML 1.2.2,
section 10.3].
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yaml import Node

Place = tuple[int | str, ...]
"""The way to a value: keys of mappings and numbers of items."""

WORDS = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
"""What a plain word is, and the characters it may begin with (\\0: the empty word)."""


class DuplicateKeyError(ValueError):
    """A key that a mapping holds twice; the message has no file name."""


def load(text: str) -> tuple[Any, dict[Place, int]]:
    """The value of a document, and the line on which each of its keys and items begins.

    Lines count from 1; that of the document itself is 1, under the place ().

    Raises:
        yaml.MarkedYAMLError: the text is not YAML.
        DuplicateKeyError: a key is given twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {}  # noqa: RUF012 (PyYAML's own way to leave out its defaults)

    for kind, (pattern, first) in WORDS.items():
        starts = ["" if start == "\0" else start for start in first]
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{kind}", re.compile(f"(?:{pattern})$"), starts
        )
    Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Place, int] = {(): 1}
        if node is None:
            return None, lines
        _walk(node, (), lines)
        return loader.construct_document(node), lines
    finally:
        loader.dispose()


def _walk(node: Node, place: Place, lines: dict[Place, int]) -> None:
    """Note the lines below a node."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            at, line = (*place, str(key.value)), key.start_mark.line + 1
            if at in lines:
                raise DuplicateKeyError(
                    f"line {line}: {key.value!r} is given twice, first on line {lines[at]}; keep "
                    "one of them"
                )
            lines[at] = line
            _walk(value, at, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            lines[(*place, number)] = item.start_mark.line + 1
            _walk(item, (*place, number), lines)
