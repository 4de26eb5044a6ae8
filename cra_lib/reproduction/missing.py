"""What a run of somebody else's dataset lacks, as one list instead of one stop after another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from cra_lib.config.profiles import ANNOTATION
from cra_lib.data.doctor import Finding, examine
from cra_lib.data.download import readable
from cra_lib.datasets import DATASETS, Dataset
from cra_lib.evaluator.packaged import packaged_names, packaged_source, unpack_dataset
from cra_lib.paths import DataFiles
from cra_lib.reproduction.plan import Plan

BUILT_IN = {"hashed", "shapes-clip", "shapes-lm", "rules", "pixels"}
FRAMES = ("video_feature/", "videos/")
"""How the names of frame features and of videos begin."""


def profile_there_is(entry: Dataset, data: DataFiles) -> tuple[str, str]:
    """The profile of a call that names none, and a sentence where it is not the dataset's usual
    one: without frame features, and videos to extract them from, nothing can be trained."""
    if entry.is_made_here or any(next(data.root.glob(p), None) for p in entry.frames):
        return entry.default_profile, ""
    return ANNOTATION, (
        f"No frame features and no videos of {entry.name} were found, so the profile is "
        f"{ANNOTATION!r}: what the annotation alone can show, without training. The report lists "
        f"what is missing for more; --profile {entry.default_profile} asks for it."
    )


def missing_inputs(plan: Plan) -> list[Finding]:
    """Everything that the plan's stages would look for in vain; empty for a dataset made here."""
    if DATASETS[plan.dataset].is_made_here:
        return []
    packaged = packaged_files(plan)
    found = [_as_planned(plan, finding, packaged) for finding in examine(plan.dataset, plan.data)]
    return [finding for finding in found if not finding.healthy]


def _as_planned(plan: Plan, finding: Finding, packaged: tuple[str, ...]) -> Finding:
    """A finding, required exactly where this plan needs it."""
    config = plan.config(*plan.runs[0])
    name, required = finding.name, finding.required
    if name.startswith(FRAMES) and not plan.trained_runs:
        return replace(finding, required=False, status="missing")  # nobody looks at them
    if name in packaged:
        required = False  # `unpack_annotation` puts it there
    elif name in ("train.csv", "nextoe/train.csv") and plan.dataset == "nextgqa":
        required = (config.data.train_from == "nextoe") == (name != "train.csv")
    elif name.startswith("video_feature/"):
        required = not (_has_videos(plan) and _has_encoder(plan))
    elif name.startswith("model "):
        required = name.removeprefix("model ") in _models(plan)
    elif finding.source.startswith("`cra prepare"):
        required = False  # the first stage makes it
    return replace(finding, required=required)


def packaged_files(plan: Plan) -> tuple[str, ...]:
    """Files of the dataset that come with the package and can be written into its folder."""
    folder = plan.data.root
    while not folder.exists():
        folder = folder.parent
    if plan.dataset not in packaged_names() or not os.access(folder, os.W_OK):
        return ()
    return tuple(packaged_source(plan.dataset)["files"])


def unpack_annotation(plan: Plan) -> None:
    """Put the packaged annotation where the plan looks for it; files that are there stay.

    Raises:
        InputError: a packaged file is damaged.
    """
    if files := packaged_files(plan):
        unpack_dataset(plan.dataset, plan.data.root, only=files)


def _has_videos(plan: Plan) -> bool:
    folder = plan.data.root / "videos"
    return folder.is_dir() and any(folder.iterdir())


def _has_encoder(plan: Plan) -> bool:
    """Whether frames could be encoded: weights were named, or the hub's cache may hold them."""
    from cra_lib.video.encoders import CLIP_NAME, hub_folder

    encoder = plan.config(*plan.runs[0]).data.encoder
    return bool(plan.weights) or encoder != "clip-vit-l14" or hub_folder(CLIP_NAME).is_dir()


def _models(plan: Plan) -> set[str]:
    """Hub names of the pre-trained models that the plan's settings ask for."""
    wanted = {plan.config(*plan.runs[0]).causal.node_encoder}
    for config in (plan.config(*run) for run in plan.trained_runs):
        model = config.model
        wanted.add(model.language_model if model.is_frozen else model.text_encoder)
    wanted -= BUILT_IN
    return {name for name in wanted if not Path(name).expanduser().is_dir()}


def listed(findings: list[Finding]) -> Iterator[str]:
    """One line for each missing piece: name, size, state, and where it comes from."""
    yield f"Missing or damaged ({len(findings)}):"
    for finding in findings:
        size = "size unknown" if finding.size is None else readable(finding.size)
        yield f"  {finding.name}: {finding.status}, {size}; from {finding.source or 'its authors'}"


def parser_there_is(wanted: str) -> str:
    """The parser of the questions: the wanted one, or the project's own rules where it is not
    installed (the card of the confounders says which)."""
    installed = wanted == "rules" or find_spec(wanted) is not None or Path(wanted).is_dir()
    return wanted if installed else "rules"
