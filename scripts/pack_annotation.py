"""Pack official annotation files into the package, each checked against its recorded hash.

Usage: python scripts/pack_annotation.py FOLDER

FOLDER holds the plain files named in ``cra_lib/evaluator/packaged/nextgqa/source.json``, which
`cra data fetch` puts there as well. The same files give the same bytes.
"""

from __future__ import annotations

import bz2
import hashlib
import json
import lzma
import sys
from pathlib import Path

from cra_lib.evaluator.packaged import FOLDER

PRESET = 9 | lzma.PRESET_EXTREME


def main(source: Path, packed: Path) -> None:
    """Write each file by whichever method makes it smaller."""
    for name, entry in json.loads((packed / "source.json").read_text())["files"].items():
        content = (source / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise SystemExit(f"{source / name} is not the recorded file.")
        versions = {
            ".xz": lzma.compress(content, preset=PRESET),
            ".bz2": bz2.compress(content, 9),
        }
        suffix = min(versions, key=lambda s: len(versions[s]))
        target = packed / (name + suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(versions[suffix])
        print(f"{target.relative_to(packed)}  {len(content):,} -> {len(versions[suffix]):,}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), FOLDER / "nextgqa")
