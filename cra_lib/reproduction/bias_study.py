"""The bias study: models trained at several strengths of the confounders of `shapes`.

A run at another strength than the default is an experiment, ``cra@data.bias=0.95``, on a dataset
of its own. What is measured was fixed before the runs:

reliance
    Acc@QA on test_iid minus Acc@QA on test_ood, in points: what the bias of training is worth
    where it holds, over where it is turned around. Acc@GQA likewise.
habit share
    Of the wrong answers on test_ood, the share that follows the habit of training, and what wrong
    answers drawn at random from the other choices would give.
`SMALLEST`
    The smallest difference in reliance that is worth a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cra_lib.config import check_variant, read_profile
from cra_lib.data.shapes.habits import DEFAULT_BIAS
from cra_lib.inference.settings import label_of
from cra_lib.paths import DataFiles, ResultFiles, RunFiles, clone_file
from cra_lib.records import InputError, is_finite_number
from cra_lib.reproduction.claims import FALL, VALUE, Claim, Outcome, Sources, evaluate, sources_of
from cra_lib.reproduction.obtained import read_runs

SPLITS = ("test_iid", "test", "test_ood")
SMALLEST = 5.0
"""Points of reliance: twice the standard error that five seeds leave at strength 0.95."""
PROFILE = "bias"
"""Name by which `./reproduce.sh --profile` knows the study."""
KEYS = ("base", "variants", "seeds", "strengths")


class Study(NamedTuple):
    """What is trained."""

    base: str
    """Profile whose settings hold for everything but the strength."""
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    strengths: tuple[float, ...]


class Reliance(NamedTuple):
    """One variant at one strength; outcomes are in points or percent, over seeds and videos."""

    variant: str
    strength: float
    reliance: Outcome
    grounded: Outcome
    """Reliance in Acc@GQA."""
    answers: Outcome
    """Acc@QA on test, where there is no bias."""


def read_study(path: Path | None = None) -> Study:
    """The study that a file describes; None is the one of the repository.

    Raises:
        InputError: another set of keys, or values that are no variants, seeds or strengths.
    """
    path = path or clone_file("workflow", "studies", "shapes-bias.yaml")
    chosen = read_profile(path)
    if set(chosen) != set(KEYS):
        found = ", ".join(sorted(map(str, chosen)))
        raise InputError(f"{path}: expected the keys {', '.join(KEYS)}; found {found}.")
    strengths, seeds = chosen["strengths"], chosen["seeds"]
    if not isinstance(strengths, list) or not are_strengths(strengths):
        raise InputError(f"{path}: strengths should be numbers from 0 to 1, got {strengths!r}.")
    if not isinstance(seeds, list) or not all(type(s) is int and s >= 0 for s in seeds):
        raise InputError(f"{path}: seeds should be whole numbers from 0 on, got {seeds!r}.")
    names = tuple(check_variant(str(name)) for name in chosen["variants"])
    return Study(str(chosen["base"]), names, tuple(seeds), tuple(map(float, strengths)))


def are_strengths(values: Sequence[object]) -> bool:
    """Whether these are strengths of a confounder, at least one.

    >>> are_strengths([0, 0.95]), are_strengths([2.0]), are_strengths([])
    (True, False, False)
    """
    return bool(values) and all(is_finite_number(value) and 0 <= value <= 1 for value in values)


def study_label(variant: str, strength: float) -> str:
    """How a run at some strength is called; at the default one, it is the pipeline's own.

    >>> study_label("cra", 0.95), study_label("cra", 0.5)
    ('cra@data.bias=0.95', 'cra')
    """
    changes = [] if strength == DEFAULT_BIAS else [f"data.bias={strength}"]
    return label_of(variant, changes)


def study_data(data: DataFiles, strength: float) -> DataFiles:
    """Where the dataset of some strength lies: beside the default one."""
    if strength == DEFAULT_BIAS:
        return data
    return DataFiles(data.root.parent / f"{data.root.name}-bias-{strength}")


def study_results(results: ResultFiles) -> ResultFiles:
    """Runs at other strengths have a folder of their own, so that no table mixes datasets."""
    return ResultFiles(results.root / "bias")


def study_run(results: ResultFiles, variant: str, strength: float, seed: int) -> RunFiles:
    """Folder of one run."""
    place = results if strength == DEFAULT_BIAS else study_results(results)
    return place.run(study_label(variant, strength), seed)


def read_study_sources(results: ResultFiles) -> Sources:
    """Scores by video of every run of the study, the default strength's from the pipeline's
    folder."""
    return sources_of(read_runs([results, study_results(results)], SPLITS))


def reliance_table(
    sources: Sources, variants: Sequence[str], strengths: Sequence[float]
) -> list[Reliance]:
    """A row for each variant and strength that has runs."""
    rows = []
    for variant in variants:
        for strength in strengths:
            label = study_label(variant, strength)
            found = [
                evaluate(_question(label, statistic, metric), sources)
                for statistic, metric in ((FALL, "Acc@QA"), (FALL, "Acc@GQA"), (VALUE, "Acc@QA"))
            ]
            if found[0].figure is not None:
                rows.append(Reliance(variant, strength, *found))
    return rows


def differences(sources: Sources, study: Study, base: str) -> list[tuple[str, float, Outcome]]:
    """Reliance of each variant minus that of ``base``, on the seeds that both have.

    Returns:
        Variant, strength and the outcome in points, for each pair that was run.
    """
    rows = []
    for strength in study.strengths:
        other = study_label(base, strength)
        for variant in study.variants:
            claim = _question(study_label(variant, strength), FALL, "Acc@QA", other)
            outcome = evaluate(claim, sources)
            if variant != base and outcome.figure is not None:
                rows.append((variant, strength, outcome))
    return rows


def _question(label: str, statistic: str, metric: str, *against: str) -> Claim:
    return Claim(
        id=label, statement="", datasets=("shapes",), statistic=statistic,
        variants=(label, *against), metric=metric, split="test", bound=0.0, is_above=True,
        source="ours",
    )  # fmt: skip
