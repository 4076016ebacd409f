"""A study file, read and checked: every error names its line and what is allowed there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optprobe.files import InputError
from optprobe.storage import require_package
from optprobe.study.yaml12 import DuplicateKeyError, Place, load

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from optprobe.study.schema import Study


FILE = re.compile(r"\.csv$|\.jsonl$|\.py:\w+$")
"""How features that lie in a file end."""

PLAIN = {
    "Input should": "it should",
    "valid tuple|[Tt]uple": "list",
    " after validation": "",
    "valid dictionary or instance of .*": "section with keys of its own, indented under it",
}
"""pydantic's words, and those of somebody who writes YAML."""


def read_study(path: Path) -> Study:
    """The study in a YAML file; relative places in it are relative to the file.

    Raises:
        InputError: no such file, not YAML, or a key that is unknown, missing, given twice or
            wrong: the first of these, with its line.
        ValueError: pydantic, PyYAML or pyarrow is not installed.
    """
    for package in ("pydantic", "yaml", "pyarrow"):
        require_package(package, "a study file", "study")
    import pydantic
    import yaml

    from optprobe.study.schema import Study

    try:
        held, lines = load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error.reason})") from error
    except DuplicateKeyError as error:
        raise InputError(f"{path}, {error}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = 1 if mark is None else mark.line + 1
        raise InputError(f"{path}, line {line}: not YAML ({error.problem})") from error
    if not isinstance(held, dict):
        raise InputError(f"{path}, line 1: a study is a mapping such as 'model: smollm2'")
    try:
        study = Study.model_validate(held)
    except pydantic.ValidationError as error:
        told = sorted(_sentence(one, lines) for one in error.errors())
        line, sentence = told[0]
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        raise InputError(f"{path}, line {line}: {sentence}{more}") from error
    home = path.parent
    return study.model_copy(
        update={
            "folder": None if study.folder is None else home / study.folder,
            "features": tuple(_beside(home, feature) for feature in study.features),
        }
    )


def _beside(home: Path, feature: str) -> str:
    """A feature's own file, relative to the study file; anything else as it is."""
    return str(home / feature) if FILE.search(feature) else feature


def _sentence(error: ErrorDetails, lines: dict[Place, int]) -> tuple[int, str]:
    """The line of an error, and what is wrong and allowed there."""
    place: Place = error["loc"]
    known = place
    while known not in lines:  # a key that is missing, or a step that the file does not show
        known = known[:-1]
    name = ".".join(str(part) for part in place)
    if error["type"] == "extra_forbidden":
        return lines[known], f"unknown key {name!r}; {_allowed(place)}"
    if error["type"] == "missing":
        return lines[known], f"{name!r} is missing; add it"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return lines[known], f"{name}: {message}"
    for pythonic, plain in PLAIN.items():
        message = re.sub(pythonic, plain, message)
    return lines[known], f"{name} is {error['input']!r}; {message[0].lower()}{message[1:]}"


def _allowed(place: Sequence[int | str]) -> str:
    """The keys of the section that an unknown one stands in, near ones first."""
    from optprobe.study.schema import Study

    section: type[BaseModel] = Study
    for part in place[:-1]:
        kind: Any = section.model_fields[str(part)].annotation
        section = kind
    keys = list(section.model_fields)
    near = difflib.get_close_matches(str(place[-1]), keys, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Allowed are {', '.join(keys)}"
