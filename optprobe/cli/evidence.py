"""`optprobe evidence`: what a neuron does, beside the feature that it is to stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from rich.table import Table

    from optprobe.evidence import Evidence


def evidence(
    store: Annotated[
        Path, typer.Argument(metavar="STORE", help="Folder that `optprobe capture` wrote.")
    ],
    feature: Annotated[
        str, typer.Argument(metavar="FEATURE", help="collection/feature, or a file of your own.")
    ],
    neuron: Annotated[
        str, typer.Option(help="Layer and number, such as L12N77; several with commas.")
    ],
    model: Annotated[
        str, typer.Option(help="The model that was captured, as for `optprobe capture`.")
    ],
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the feature's texts lie."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    texts: Annotated[int, typer.Option(help="Texts on which ablation is measured.")] = 100,
    top: Annotated[int, typer.Option(help="Contexts and tokens on each side.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the draw of those texts.")] = 0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where DIR/NEURON/ goes for each neuron.")
    ] = Path("optprobe-evidence"),
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress lines, no table.")] = False,
) -> None:
    """Show what a neuron does for a feature.

    Activations by class, the contexts of the largest and smallest ones, what
    its ablation does to the next-token loss by class, and the tokens its output
    weights speak for. Exit codes: 0, done; 2, bad input; 3, Ctrl-C.
    """
    with common.stoppable(), common.bad_input(ValueError, TypeError, ImportError):
        from optprobe.activations.store import Store
        from optprobe.evidence import Neuron, neuron_evidence, open_model, write_evidence
        from optprobe.features import load_feature
        from optprobe.storage import require_package

        require_package("pyarrow", "evidence on a neuron", "study")
        neurons = [Neuron.parse(name.strip()) for name in neuron.split(",")]
        held = Store.open(store)
        dataset, labelled = load_feature(feature, folder)
        labels = labelled.labels(dataset, held.rows)
        early = (held.rows.position >= 0) & (held.rows.position < labelled.skip_first)
        labels[early] = 0  # as for probes: activations there are unlike any other
        language = open_model(model, device=device)
        for one in neurons:
            found = neuron_evidence(
                language,
                one,
                labelled.name,
                one.activations(held),
                labels,
                held.rows,
                dataset.texts,
                dataset.documents,
                ablated_texts=texts,
                count=top,
                seed=seed,
                log=common.progress(quiet),
            )
            place = out / one.name
            try:
                write_evidence(place, found)
            except OSError as error:
                raise ValueError(
                    f"{place} cannot be written ({error}); pass another --out"
                ) from error
            if not quiet:
                _show(found, place)


def _show(found: Evidence, place: Path) -> None:
    """The table of effects, the tokens, and where the files are."""
    from optprobe.evidence.files import FILES

    console = common.console()
    console.print(effects_table(found))
    for name, tokens in (("promotes", found.promotes), ("suppresses", found.suppresses)):
        shown = " ".join(repr(token.token) for token in tokens[:10])
        console.print(f"{name}: {shown}", markup=False)
    for name, contexts in (("largest", found.top), ("smallest", found.bottom)):
        for one in contexts[:3]:
            text = f"{one.before}>>{one.token}<<{one.after}".replace("\n", " ")
            console.print(f"{name} {one.activation:+.3f}: {text}", markup=False)
    console.print(f"Written to {place}: {', '.join(FILES)}", markup=False)


def effects_table(found: Evidence) -> Table:
    """The increase of the next-token loss by class."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = escape(f"{found.neuron.name} and {found.feature}, {found.model}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for name in ("set to", "class", "rows", "documents", "loss, nats", "increase", "s.e."):
        table.add_column(name, justify="left" if name in ("set to", "class") else "right")
    for one in found.effects:
        table.add_row(
            "0" if one.ablation == "zero" else f"mean {found.mean:.4g}",
            "positive" if one.label > 0 else "negative",
            str(one.rows),
            str(one.documents),
            f"{one.loss:.4f}",
            f"{one.effect:+.5f}",
            "-" if one.standard_error is None else f"{one.standard_error:.5f}",
        )
    return table
