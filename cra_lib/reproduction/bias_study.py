"""The bias study: models trained at several strengths of the confounders of `shapes`.

A run is an experiment, ``cra@data.bias=0.95,train.epochs=12``: at another strength than the default
on a dataset of its own, and always with the settings that the study was recorded with, whatever its
base profile trains today. What is measured was fixed before the runs:

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

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cra_lib.config import check_variant, run_config
from cra_lib.config.files import read_profile
from cra_lib.data.shapes.habits import DEFAULT_BIAS
from cra_lib.inference.settings import label_of, parse_settings
from cra_lib.paths import DataFiles, ResultFiles, RunFiles, clone_file
from cra_lib.records import InputError, is_finite_number
from cra_lib.reproduction.claims import FALL, VALUE, Claim, Outcome, Sources, evaluate, sources_of
from cra_lib.reproduction.expected import Expected
from cra_lib.reproduction.obtained import read_runs
from cra_lib.reproduction.verdicts import seed_interval

SPLITS = ("test_iid", "test", "test_ood")
OUTCOMES = ((FALL, "Acc@QA"), (FALL, "Acc@GQA"), (VALUE, "Acc@QA"))
"""Statistic and metric of each outcome of `Reliance`."""
SMALLEST = 5.0
"""Points of reliance: twice the standard error that five seeds leave at strength 0.95."""
PROFILE = "bias"
"""Name by which `./reproduce.sh --profile` knows the study."""
STUDIES = ("shapes-bias", "shapes-bias-noise")
"""Studies of the repository: on clean videos, and on noisy ones."""
KEYS = ("base", "set", "variants", "seeds", "strengths")


class Study(NamedTuple):
    """What is trained."""

    base: str
    """Profile whose settings hold for everything that is not said here."""
    settings: tuple[str, ...]
    """What the study changes of them, section.name=value each."""
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    strengths: tuple[float, ...]

    def changes(self, strength: float) -> list[str]:
        """All settings that a run at some strength has of its own."""
        return [*self.settings, *([] if strength == DEFAULT_BIAS else [f"data.bias={strength}"])]

    def label(self, variant: str, strength: float) -> str:
        """How a run is called.

        >>> study = Study("quick", ("train.epochs=12",), ("cra",), (1,), (0.5, 0.95))
        >>> study.label("cra", 0.95), study.label("cra", 0.5)
        ('cra@data.bias=0.95,train.epochs=12', 'cra@train.epochs=12')
        """
        return label_of(variant, self.changes(strength))

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on the videos, in grey levels of 255."""
        return float(parse_settings(self.settings).get("data", {}).get("noise") or 0)

    def data(self, usual: DataFiles, strength: float) -> DataFiles:
        """Where the dataset of some strength lies: beside the default one.

        >>> study = Study("quick", ("data.noise=60",), ("cra",), (1,), (0.5, 0.8))
        >>> study.data(DataFiles(Path("data/shapes")), 0.8).root.name
        'shapes-bias-0.8-noise-60'
        """
        name = usual.root.name
        if strength != DEFAULT_BIAS:
            name += f"-bias-{strength}"
        if self.noise:
            name += f"-noise-{self.noise:g}"
        return DataFiles(usual.root.with_name(name))

    def run(self, results: ResultFiles, variant: str, strength: float, seed: int) -> RunFiles:
        """Folder of one run."""
        return study_results(results).run(self.label(variant, strength), seed)


class Reliance(NamedTuple):
    """One variant at one strength; outcomes are in points or percent, over seeds and videos."""

    variant: str
    strength: float
    reliance: Outcome
    grounded: Outcome
    """Reliance in Acc@GQA."""
    answers: Outcome
    """Acc@QA on test, where there is no bias."""


def study_file(name: str = "shapes-bias") -> Path:
    """The file of one of STUDIES."""
    return clone_file("workflow", "studies", f"{name}.yaml")


def read_study(path: Path | None = None) -> Study:
    """The study that a file describes; None is the one on clean videos.

    Raises:
        InputError: another set of keys, or values that are no settings, variants, seeds or
            strengths.
    """
    path = path or study_file()
    chosen = read_profile(path)
    if set(chosen) != set(KEYS):
        found = ", ".join(sorted(map(str, chosen)))
        raise InputError(f"{path}: expected the keys {', '.join(KEYS)}; found {found}.")
    for name in KEYS[1:]:
        if not isinstance(chosen[name], list) or (name != "set" and not chosen[name]):
            raise InputError(f"{path}: {name} should be a list, got {chosen[name]!r}.")
    strengths, seeds = chosen["strengths"], chosen["seeds"]
    if not are_strengths(strengths):
        raise InputError(f"{path}: strengths should be numbers from 0 to 1, got {strengths!r}.")
    if not all(type(s) is int and s >= 0 for s in seeds):
        raise InputError(f"{path}: seeds should be whole numbers from 0 on, got {seeds!r}.")
    settings = tuple(map(str, chosen["set"]))
    run_config("shapes", overrides=parse_settings(settings))  # refuses what is no setting
    names = tuple(check_variant(str(name)) for name in chosen["variants"])
    return Study(str(chosen["base"]), settings, names, tuple(seeds), tuple(map(float, strengths)))


def are_strengths(values: Sequence[object]) -> bool:
    """Whether these are strengths of a confounder, at least one.

    >>> are_strengths([0, 0.95]), are_strengths([2.0]), are_strengths([])
    (True, False, False)
    """
    return bool(values) and all(is_finite_number(value) and 0 <= value <= 1 for value in values)


def study_results(results: ResultFiles) -> ResultFiles:
    """The runs of the study have a folder of their own, so that no table mixes datasets."""
    return ResultFiles(results.root / "bias")


def read_study_sources(results: ResultFiles) -> Sources:
    """Scores by video of every run of the study."""
    return sources_of(read_runs([study_results(results)], SPLITS))


def reliance_table(sources: Sources, study: Study) -> list[Reliance]:
    """A row for each variant and strength that has runs; intervals over seeds and videos."""

    def outcomes(label: str) -> list[Outcome]:
        found = [evaluate(_question(label, *outcome), sources) for outcome in OUTCOMES]
        return found if found[0].figure is not None else []

    return _rows(study, outcomes)


def recorded_reliance(expected: Expected, study: Study) -> list[Reliance]:
    """The same of the recorded numbers; their intervals are over seeds alone."""

    def outcomes(label: str) -> list[Outcome]:
        of = {FALL: expected.fall, VALUE: partial(expected.by_seed, split="test")}
        found = [
            list(of[statistic](label, metric=metric).values()) for statistic, metric in OUTCOMES
        ]
        if not all(found):
            return []
        return [Outcome("", *seed_interval(values), len(values)) for values in found]

    return _rows(study, outcomes)


def _rows(study: Study, outcomes: Callable[[str], list[Outcome]]) -> list[Reliance]:
    """A row for each variant and strength whose label has outcomes."""
    pairs = [(variant, strength) for variant in study.variants for strength in study.strengths]
    found = {pair: outcomes(study.label(*pair)) for pair in pairs}
    return [Reliance(*pair, *ones) for pair, ones in found.items() if ones]


def differences(sources: Sources, study: Study, base: str) -> list[tuple[str, float, Outcome]]:
    """Reliance of each variant minus that of ``base``, on the seeds that both have.

    Returns:
        Variant, strength and the outcome in points, for each pair that was run.
    """
    rows = []
    for strength in study.strengths:
        other = study.label(base, strength)
        for variant in study.variants:
            claim = _question(study.label(variant, strength), FALL, "Acc@QA", other)
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
