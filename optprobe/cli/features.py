"""`optprobe features`: which labelled features of text there are here, and how to get the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from rich.table import Table

    from optprobe.features import Collection, Dataset, Feature


def features(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A collection (pos), a feature (pos/NOUN), your own .csv or .jsonl, or a function "
            "module:function. Without it: every collection.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where treebanks, relations, code and LaTeX lie, with its subfolders."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the files that the folder lacks first.")
    ] = False,
) -> None:
    """List feature collections, or the features of one, with counts, source and licence.

    Counts are texts, or words for features of tokens: a model's tokens will be more.
    Exit codes: 0, done; 2, bad input; 3, Ctrl-C.
    """
    with common.stoppable(), common.bad_input(ValueError):
        if download:
            fetch(name, folder)
        if name is None:
            table = overview(folder)
        else:
            dataset, found = read(name, folder)
            table = listing(dataset, found)
    common.console().print(table)


def fetch(name: str | None, folder: Path | None) -> None:
    """Download the files of one collection, or of all; names them on stderr."""
    from optprobe.features import COLLECTIONS, get_collection
    from optprobe.features.sources import download

    if folder is None:
        raise ValueError("--download needs a place for the files; pass --folder DIR")
    wanted = list(COLLECTIONS.values()) if name is None else [get_collection(name.split("/")[0])]
    urls = {file: url for collection in wanted for file, url in collection.urls.items()}
    if not urls:
        raise ValueError(f"{wanted[0].name} has nothing to download: {wanted[0].how_to_get}")
    for path in download(urls, folder):
        typer.echo(f"wrote {path}", err=True)


def overview(folder: Path | None) -> Table:
    """One row per collection."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from optprobe.features import COLLECTIONS

    say = common.progress(quiet=False)
    table = Table(box=box.SIMPLE)
    table.add_column("collection", no_wrap=True)
    table.add_column("about", overflow="fold")
    for number in ("features", "texts"):
        table.add_column(number, justify="right", no_wrap=True)
    table.add_column("of", no_wrap=True)
    for column in ("source", "licence", "how to get it"):
        table.add_column(column, overflow="fold")
    total = 0
    for collection in COLLECTIONS.values():
        if say is not None:
            say(f"reading {collection.name}")
        number, texts, kinds, how = _state(collection, folder)
        total += number
        cells = (collection.name, collection.title, str(number), str(texts), kinds)
        rest = (collection.source, collection.licence, how)
        table.add_row(*(escape(cell) for cell in (*cells, *rest)))
    table.caption = f"{total} features here"
    return table


def _state(collection: Collection, folder: Path | None) -> tuple[int, int, str, str]:
    """Features, texts, their kinds, and what to do about what is not here or is damaged."""
    try:
        if not collection.available(folder):
            return 0, 0, "-", collection.how_to_get
        dataset = collection.load(folder)
    except ValueError as error:
        return 0, 0, "-", str(error)
    found = collection.features(dataset)
    kinds = ", ".join(sorted({f"{feature.kind}s" for feature in found}))
    return len(found), len(dataset.texts), kinds, "here"


def read(name: str, folder: Path | None) -> tuple[Dataset, list[Feature]]:
    """The features of a collection, or the one feature of that name."""
    from optprobe.features import COLLECTIONS, load_feature

    if name in COLLECTIONS:
        dataset = COLLECTIONS[name].load(folder)
        return dataset, COLLECTIONS[name].features(dataset)
    dataset, feature = load_feature(name, folder)
    return dataset, [feature]


def listing(dataset: Dataset, found: list[Feature]) -> Table:
    """One row per feature, most frequent first."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from optprobe.features.counting import count, word_rows

    title = (
        f"{dataset.name}: {len(dataset.texts)} texts of {len(set(dataset.documents))} documents\n"
        f"source: {dataset.source}\nlicence: {dataset.licence}"
    )
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE)
    table.add_column("feature", no_wrap=True)
    table.add_column("of", no_wrap=True)
    for sign in ("positive", "negative"):
        table.add_column(sign, justify="right", no_wrap=True)
    table.add_column("positive where", overflow="fold")
    words = word_rows(dataset)
    rows = [(*count(dataset, feature, words), feature) for feature in found]
    for positive, negative, feature in sorted(rows, key=lambda row: -row[0]):
        kind, meaning = f"{feature.kind}s", feature.description
        table.add_row(escape(feature.name), kind, str(positive), str(negative), escape(meaning))
    return table
