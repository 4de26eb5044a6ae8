"""A clone in miniature: the real library and notebooks, a dataset of a few videos, one epoch."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def make_clone(root: Path, *, variants: tuple[str, ...] = ("cra",), epochs: int = 1) -> Path:
    """Links to this working copy, and a quick profile that takes a minute."""
    (root / "results").mkdir(parents=True)
    (root / "workflow" / "profiles").mkdir(parents=True)
    for name in ("cra_lib", "notebooks", "results/published.csv", "workflow/Snakefile"):
        (root / name).symlink_to(ROOT / name)
    profile = yaml.safe_load((ROOT / "workflow/profiles/shapes-quick.yaml").read_text())
    settings = profile["settings"]
    settings["data"] |= {"train_videos": 12, "eval_videos": 4}
    settings["causal"]["num_confounders"] = 8
    settings["train"] |= {"epochs": epochs, "batch_size": 32}
    profile["variants"] = list(variants)
    profile["seeds"] = [2024]
    text = yaml.safe_dump(profile)
    (root / "workflow/profiles/shapes-quick.yaml").write_text(text)
    return root


def environment(root: Path, **more: str) -> dict[str, str]:
    """Of a process that works in the clone and nowhere else."""
    search = [str(root), os.environ.get("PYTHONPATH", "")]
    own = {"CRA_ROOT": str(root), "PYTHONPATH": os.pathsep.join(filter(None, search))}
    return os.environ | own | more
