"""Annotation that comes with the package: NExT-GQA's, under the MIT licence of its authors.

Validation and test questions, segments, both stamp files, the video map, paraphrases, and the
open-ended training questions (NExT-OE). Features and videos are not here. The files are the
official ones, compressed; ``source.json`` beside them has repository, commit, size and sha256 of
each. All readers of this project read them in place, because `records.open_text` finds
``val.csv.bz2`` where ``val.csv`` is asked for.
"""

from __future__ import annotations

import hashlib
import lzma
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cra_lib.paths import DataFiles, atomic
from cra_lib.records import InputError, open_bytes, read_json, stored

FOLDER = Path(__file__).resolve().parent


def packaged_names() -> tuple[str, ...]:
    """Names of the datasets whose annotation comes with the package."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/source.json")))


def packaged_dataset(name: str) -> DataFiles:
    """The packaged annotation of a dataset, to be read in place.

    Raises:
        InputError: none comes with the package; the sentence lists those that do.
    """
    if name not in packaged_names():
        raise InputError(
            f"No annotation of {name!r} comes with the package; "
            f"there is: {', '.join(packaged_names())}. Give the folder of your own files."
        )
    return DataFiles(FOLDER / name)


def packaged_source(name: str) -> dict[str, Any]:
    """Licence, and for each file its repository, commit, size in bytes and sha256."""
    return read_json(packaged_dataset(name).root / "source.json")


def unpack_dataset(
    name: str, folder: Path, only: Iterable[str] | None = None, replace: bool = False
) -> DataFiles:
    """Write the packaged files as plain ones into a folder, each whole or not at all.

    A pipeline needs this, because it writes beside its annotation; scoring does not.

    Args:
        only: names of the files, as in `packaged_source`; None writes all.
        replace: overwrite files that are there; otherwise they stay, whatever they hold.

    Raises:
        InputError: no such dataset, or a packaged file that is not the recorded one.
    """
    packed, recorded = packaged_dataset(name), packaged_source(name)["files"]
    for file in recorded if only is None else only:
        target = Path(folder) / file
        if target.exists() and not replace:
            continue
        content = packaged_bytes(packed, file)
        if hashlib.sha256(content).hexdigest() != recorded[file]["sha256"]:
            raise InputError(f"{packed.root / file} is damaged; install the package again.")
        with atomic(target) as partial:
            partial.write_bytes(content)
    return DataFiles(Path(folder))


def packaged_bytes(files: DataFiles, name: str) -> bytes:
    """What the plain file would hold.

    Raises:
        InputError: it is missing, or cannot be unpacked.
    """
    path = stored(files.root / name)
    if path is None:
        raise InputError(f"{files.root / name} is missing; install the package again.")
    try:
        with open_bytes(path) as content:
            return content.read()
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}); install the package again.") from None
