"""The card of a small model that a script of ours trains: settings, scores, versions, hashes."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from cra_lib.paths import sha256


def write_training_card(
    folder: Path, script: str, settings: Mapping[str, Any], files: Iterable[str], **facts: Any
) -> None:
    """Write ``card.json`` beside the files that it vouches for.

    Args:
        settings: arguments of the script; where it wrote (``out``) is left out.
        files: names below the folder, hashed.
        facts: what else there is to say, such as scores and seconds.
    """
    card = {
        "script": script,
        "settings": {name: value for name, value in settings.items() if name != "out"},
        **facts,
        "versions": {"torch": str(torch.__version__), "python": platform.python_version()},
        "sha256": {name: sha256(folder / name) for name in files},
    }
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
