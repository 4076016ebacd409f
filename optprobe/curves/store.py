"""Records as they come, in memory and in a folder, so that an interruption loses nothing.

DIR/settings.json          what all records share; a folder with other settings is refused
DIR/points/KEY.json        one record per method and k
DIR/paths/METHOD.json      a method that has done all its k, and why it stopped early if it did
DIR/certificates/          the proofs of the exact solves
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optprobe.curves.records import Point
from optprobe.storage import finite, write_json

Key = tuple[str, str, int, int]


class Store:
    """The records of one curve.

    Args:
        folder: where they are kept; None keeps them in memory only.
        shared: what identifies the curve, as plain JSON values.

    Raises:
        ValueError: a folder that cannot be written, or that holds a curve with other settings.
    """

    def __init__(self, folder: Path | None, shared: dict[str, Any]) -> None:
        self.folder = folder
        self.points: dict[Key, Point] = {}
        self.stopped: dict[str, str | None] = {}
        if folder is None:
            return
        try:
            for part in ("points", "paths", "certificates"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            self._same(folder / "settings.json", json.loads(json.dumps(shared)))
        except OSError as error:
            raise ValueError(f"{folder} cannot be written ({error}); pass another one") from error
        for path in sorted((folder / "points").glob("*.json")):
            point = _read(path)
            self.points[point.key] = point
        for path in sorted((folder / "paths").glob("*.json")):
            held = json.loads(path.read_text("utf-8"))
            self.stopped[held["path"]] = held["stopped"]

    @property
    def certificates(self) -> Path | None:
        """Where proofs go."""
        return None if self.folder is None else self.folder / "certificates"

    def add(self, point: Point) -> None:
        """Keep a record, in place of an earlier one with its key."""
        self.points[point.key] = point
        if self.folder is not None:
            name = ".".join(str(part) for part in point.key)
            write_json(self.folder / "points" / f"{name}.json", finite(asdict(point)))

    def finish(self, path: str, stopped: str | None) -> None:
        """Note that a method's path over k need not be walked again, and why it ended early."""
        self.stopped[path] = stopped
        if self.folder is not None:
            write_json(self.folder / "paths" / f"{path}.json", {"path": path, "stopped": stopped})

    @staticmethod
    def _same(path: Path, shared: dict[str, Any]) -> None:
        """Write what all records share, or refuse to mix curves that differ in it."""
        if not path.exists():
            write_json(path, shared)
            return
        held = json.loads(path.read_text("utf-8"))
        differing = [key for key in shared if held.get(key) != shared[key]]
        if differing:
            first = differing[0]
            raise ValueError(
                f"{path.parent} holds a curve with another {', '.join(differing)} ({first}: "
                f"{held.get(first)} there, {shared[first]} now); pass another folder"
            )


def _read(path: Path) -> Point:
    """A record.

    Raises:
        ValueError: a damaged file, or one of another version.
    """
    try:
        return Point.from_json(json.loads(path.read_text("utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no record of a curve ({error}); remove it, and it is computed again"
        ) from error
