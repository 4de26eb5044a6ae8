"""What a run of somebody else's dataset lacks, as one list instead of one stop after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from cra_lib.data.doctor import Finding, examine
from cra_lib.data.download import readable
from cra_lib.datasets import DATASETS
from cra_lib.reproduction.plan import Plan

BUILT_IN = {"hashed", "shapes-clip", "rules", "pixels"}


def missing_inputs(plan: Plan) -> list[Finding]:
    """Everything that the plan's stages would look for in vain; empty for a dataset made here."""
    if DATASETS[plan.dataset].is_made_here:
        return []
    found = [_as_planned(plan, finding) for finding in examine(plan.dataset, plan.data)]
    return [finding for finding in found if not finding.healthy]


def _as_planned(plan: Plan, finding: Finding) -> Finding:
    """A finding, required exactly where this plan needs it."""
    config = plan.config(*plan.runs[0])
    name, required = finding.name, finding.required
    from_nextoe = config.data.train_from == "nextoe"
    if name in ("train.csv", "nextoe/train.csv") and plan.dataset == "nextgqa":
        required = from_nextoe == (name != "train.csv")
    elif name.startswith("video_feature/"):
        required = not (_has_videos(plan) and _has_encoder(plan))
    elif name.startswith("model "):
        required = name.removeprefix("model ") in _models(plan)
    elif finding.source.startswith("`cra prepare"):
        required = False  # the first stage makes it
    return replace(finding, required=required)


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
    config = plan.config(*plan.runs[0])
    wanted = {config.model.text_encoder, config.causal.node_encoder} - BUILT_IN
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
