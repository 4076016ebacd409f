"""Grids: TOML files whose entries hold a value or a list of values a key, and mean the product.

[[synthetic]]
n = 2000                      rows
d = 200                       columns
relevant = 5                  columns that the labels come from
rho = [0.5, 0.9]              default 0.5
snr = 6.0                     default 6
placement = "equal"           or "random"; default "equal"
loss = ["hinge", "logistic"]  default "logistic"
lam = "1/sqrt(n)"             or numbers; this is the default
k = 5                         default: relevant
candidates = "all"            or numbers of columns; default "all"

[[real]]
file = "demo"                 the packaged activations (default), or a path from this file
loss = "logistic"
lam = [1.0, 0.1, 0.01]        this is the default
k = [1, 2, 4, 8]              this is the default
candidates = 50               this is the default
weights = "balanced"          or "uniform"; default "balanced"
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

from optprobe.bench.instances import Instance, Real, Source, Synthetic

PACKAGED = ("quick", "synthetic", "real")
"""Grids of the package, by the name of their file in grids/."""

INVERSE_ROOT = "1/sqrt(n)"

DEFAULTS: dict[str, dict[str, Any]] = {
    "synthetic": {
        "n": None,
        "d": None,
        "relevant": None,
        "rho": 0.5,
        "snr": 6.0,
        "placement": "equal",
        "loss": "logistic",
        "lam": INVERSE_ROOT,
        "k": "relevant",
        "candidates": "all",
    },
    "real": {
        "file": "demo",
        "loss": "logistic",
        "lam": [1.0, 0.1, 0.01],
        "k": [1, 2, 4, 8],
        "candidates": 50,
        "weights": "balanced",
    },
}
"""Kind of entry -> key -> value where it is left out; None has to be given."""

KINDS: dict[str, tuple[type, ...]] = {
    "n": (int,),
    "d": (int,),
    "relevant": (int,),
    "rho": (int, float),
    "snr": (int, float),
    "placement": (str,),
    "loss": (str,),
    "lam": (int, float),
    "k": (int,),
    "candidates": (int,),
    "file": (str,),
    "weights": (str,),
}
WORDS = {"lam": INVERSE_ROOT, "k": "relevant", "candidates": "all"}
"""Words that stand for a number."""


@dataclass(frozen=True)
class Overrides:
    """What the command line puts in place of a grid's own values; None leaves them."""

    loss: Sequence[str] | None = None
    lam: Sequence[float | str] | None = None
    k: Sequence[int] | None = None
    candidates: Sequence[int | str] | None = None

    def over(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The entry with these values in it."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return {**entry, **given}


def read_grid(name: str) -> tuple[dict[str, Any], Path]:
    """The TOML of a packaged grid or a path, and the folder that its files are relative to.

    Raises:
        ValueError: neither a packaged grid nor a file, or no TOML.
    """
    if name in PACKAGED:
        held = (resources.files("optprobe.bench") / "grids" / f"{name}.toml").read_text("utf-8")
        return tomllib.loads(held), Path()
    path = Path(name)
    if not path.is_file():
        raise ValueError(
            f"unknown grid {name!r}; choose {', '.join(PACKAGED)} or the path of a TOML file"
        )
    try:
        return tomllib.loads(path.read_text("utf-8")), path.parent
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error


def instances(
    grid: str | None,
    files: Iterable[Path] = (),
    *,
    seeds: int = 1,
    overrides: Overrides | None = None,
) -> list[Instance]:
    """Every instance of a grid and of further activation files, each id once.

    Args:
        grid: name or path, None for the files alone.
        files: each an entry of kind "real" with its defaults.
        seeds: 0, ..., seeds - 1: one synthetic data set each, and one solver seed each.
        overrides: in place of the grid's values.

    Raises:
        ValueError: what cannot be read or makes no sense; the sentence names the key or file.
    """
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: pass at least 1")
    found: dict[str, Instance] = {}
    for kind, entry, folder in _entries(grid, files):
        chosen = (overrides or Overrides()).over(entry)
        for instance in _expand(kind, chosen, folder):
            for seed in range(seeds):
                seeded = replace(instance, seed=seed)
                found.setdefault(seeded.id, seeded)
    if not found:
        raise ValueError(f"the grid {grid!r} holds no instance; add [[synthetic]] or [[real]]")
    return list(found.values())


def _entries(
    grid: str | None, files: Iterable[Path]
) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    """(kind, entry, folder) of everything asked for."""
    if grid is not None:
        held, folder = read_grid(grid)
        for kind, entries in held.items():
            if kind not in DEFAULTS or not isinstance(entries, list):
                raise ValueError(
                    f"grid {grid}: unknown key {kind!r}; entries are [[synthetic]] and [[real]]"
                )
            for entry in entries:
                _check_keys(f"grid {grid}, [[{kind}]]", kind, entry)
                yield kind, entry, folder
    for path in files:
        yield "real", {"file": str(path)}, Path()


def _check_keys(where: str, kind: str, entry: Mapping[str, Any]) -> None:
    """Unknown keys, missing keys and values of the wrong type."""
    known = DEFAULTS[kind]
    for key, value in entry.items():
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; choose among {', '.join(known)}")
        for one in _many(value):
            right = isinstance(one, KINDS[key]) and not isinstance(one, bool)
            if not right and one != WORDS.get(key):
                raise ValueError(f"{where}: {key} = {one!r} has the wrong type")
    missing = [key for key, value in known.items() if value is None and key not in entry]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} must be given")


def _expand(kind: str, entry: Mapping[str, Any], folder: Path) -> Iterator[Instance]:
    """The product of an entry's values, with seed 0."""
    full = {**DEFAULTS[kind], **entry}
    files = {name: _real(name, folder) for name in _many(full.get("file", []))}
    for values in product(*(_many(value) for value in full.values())):
        one = dict(zip(full, values, strict=True))
        source = (
            replace(files[one["file"]], weights=one["weights"])
            if kind == "real"
            else _synthetic(one)
        )
        yield Instance(
            source,
            one["loss"],
            _lam(one["lam"], source),
            _cardinality(one["k"], source),
            None if one["candidates"] == "all" else one["candidates"],
            seed=0,
        )


def _many(value: Any) -> list[Any]:
    """A value as a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _real(name: str, folder: Path) -> Real:
    """The rows of a file."""
    return Real.of(None if name == "demo" else folder / name)


def _synthetic(one: Mapping[str, Any]) -> Synthetic:
    """The rows of one combination of values."""
    return Synthetic(
        one["n"], one["d"], one["relevant"], float(one["rho"]), float(one["snr"]), one["placement"]
    )


def _cardinality(value: int | str, source: Source) -> int:
    """A cardinality as a number."""
    if not isinstance(value, str):
        return value
    if not isinstance(source, Synthetic):
        raise ValueError(f"k = {value!r} is for synthetic rows; pass numbers")
    return source.relevant


def _lam(value: float | str, source: Source) -> float:
    """A ridge as a number."""
    if value != INVERSE_ROOT:
        return float(value)
    if not isinstance(source, Synthetic):
        raise ValueError(f"lam = {INVERSE_ROOT!r} is for synthetic rows; pass numbers")
    return 1.0 / math.sqrt(source.n)
