"""Claims: what holds, fails or stays open, wrong files, and numbers that texts quote."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.video_scores import VideoScores
from cra_lib.paths import published_csv
from cra_lib.records import InputError
from cra_lib.reproduction import prose
from cra_lib.reproduction.claims import (
    Outcome,
    broken,
    evaluate,
    outcome_text,
    read_claims,
    whole_split,
)
from cra_lib.reproduction.expected import Expected, Key

ROW = {
    "id": "gsg",
    "statement": "Without smoothing fewer answers are right and grounded.",
    "dataset": ["shapes"],
    "statistic": "difference",
    "variant": "no-gsg",
    "against": "cra",
    "metric": "Acc@GQA",
    "below": 0,
    "source": "ours",
}


@pytest.fixture
def claim(tmp_path):
    """A function: the claim of ROW with changes; None removes a key."""

    def make(**changes):
        row = {key: value for key, value in (ROW | changes).items() if value is not None}
        path = tmp_path / "claims.yaml"
        path.write_text(yaml.safe_dump([row]))
        [found] = read_claims(path)
        return found

    return make


def runs(level: float, seeds: int = 5, offset: int = 0, grounded: float = 0.0):
    """Seed -> scores by video around a level; Acc@GQA lower by ``grounded``."""
    found = {}
    for seed in range(seeds):
        generator = np.random.default_rng(100 * offset + seed)
        sums = level * 4 + generator.normal(0, 8, (50, len(METRICS)))
        sums[:, list(METRICS).index("Acc@GQA")] -= 4 * grounded
        found[seed] = VideoScores(tuple(map(str, range(50))), np.full(50, 4), sums)
    return found


def test_a_clear_difference_holds_a_reversed_one_fails_a_small_one_is_open(claim):
    sources = {("cra", "test"): runs(70), ("no-gsg", "test"): runs(60, offset=1)}
    found = evaluate(claim(), sources)
    assert found.verdict == "holds" and found.low < found.figure < found.high < 0
    assert found.figure == pytest.approx(-10, abs=1) and found.seeds == 5
    assert evaluate(claim(below=None, above=0), sources).verdict == "fails"
    assert evaluate(claim(below=found.figure), sources).verdict == "undecided"


def test_one_seed_supports_no_claim(claim):
    sources = {("cra", "test"): runs(70, 1), ("no-gsg", "test"): runs(20, 1, offset=1)}
    assert evaluate(claim(), sources).verdict == "undecided"


def test_only_common_seeds_count_and_without_any_it_is_not_run(claim):
    some = dict(list(runs(60, offset=1).items())[:3])
    assert evaluate(claim(), {("cra", "test"): runs(70), ("no-gsg", "test"): some}).seeds == 3
    assert evaluate(claim(), {("cra", "test"): runs(70)}) == Outcome("not run")
    other = {9: runs(60)[0]}
    sources = {("cra", "test"): runs(70), ("no-gsg", "test"): other}
    assert evaluate(claim(), sources).verdict == "not run"


def test_an_order_is_as_strong_as_its_weakest_link(claim):
    order = claim(statistic="order", variants=["cra", "ng+", "post-hoc"], variant=None,
                  against=None, below=None, above=0)  # fmt: skip
    names = (("cra", "test"), ("ng+", "test"), ("post-hoc", "test"))
    levels = [runs(70), runs(60, offset=1), runs(50, offset=2)]
    assert evaluate(order, dict(zip(names, levels, strict=True))).verdict == "holds"
    levels[2] = runs(65, offset=2)
    found = evaluate(order, dict(zip(names, levels, strict=True)))
    assert found.verdict == "fails" and found.figure == pytest.approx(-5, abs=1)


def test_reliance_on_bias_is_the_fall_between_splits(claim):
    fall = claim(statistic="fall", variant="cra", against="no-causal", metric=None)
    sources = {
        ("cra", "test_iid"): runs(80), ("cra", "test_ood"): runs(70, offset=1),
        ("no-causal", "test_iid"): runs(80, offset=2),
        ("no-causal", "test_ood"): runs(50, offset=3),
    }  # fmt: skip
    found = evaluate(fall, sources)
    assert found.verdict == "holds" and found.figure == pytest.approx(-20, abs=1.5)


def test_unfaithful_answers_are_right_without_the_evidence(claim):
    unfaithful = claim(statistic="unfaithful", variant="cra", against=None, below=10)
    found = evaluate(unfaithful, {("cra", "test"): runs(70, grounded=5)})
    assert found.figure == pytest.approx(5, abs=1) and found.verdict == "holds"


def test_overlap_has_a_table_of_its_own(claim):
    overlap = claim(statistic="overlap", variant="cra", against=None, below=30)
    values = {seed: whole_split(dict.fromkeys(METRICS, 20.0 + seed)) for seed in range(4)}
    found = evaluate(overlap, {}, {("cra", "test"): values})
    assert (found.verdict, found.figure) == ("holds", 21.5)
    assert evaluate(overlap, {}, {}).verdict == "not run"


def test_a_claim_that_was_recorded_as_holding_and_fails_is_broken(claim):
    one = claim()
    held = {"gsg": {"verdict": "holds"}}
    assert broken([one], held, {"gsg": Outcome("fails")}) == [one]
    assert not broken([one], held, {"gsg": Outcome("undecided")})
    assert not broken([one], {}, {"gsg": Outcome("fails")})


WRONG = [
    ({"variant": "no-gsgg"}, r"claims.yaml, claim 'gsg': Unknown variant 'no-gsgg'; did you mean"),
    ({"variant": "cra@smoothing=softmax"}, "claim 'gsg': A setting is section.name=value"),
    ({"statistic": "ratio"}, "unknown statistic 'ratio'; choose from value, difference"),
    ({"metric": "F1"}, "unknown metric 'F1'"),
    ({"dataset": "shape"}, "unknown dataset 'shape'"),
    ({"split": "test_odd"}, "unknown split 'test_odd'"),
    ({"source": None}, "the key 'source' is missing"),
    ({"against": None}, "difference needs the key 'against'"),
    ({"below": None}, "give one bound"),
    ({"above": 1}, "give one bound"),
    ({"below": "low"}, "below should be a number, got 'low'"),
    ({"lead": "first"}, "lead should be true or false, got 'first'"),
    ({"colour": "red"}, "unknown key 'colour'"),
    ({"statistic": "order", "variants": ["cra"]}, "variants should be a list of two or more"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[m[-20:] for _, m in WRONG])
def test_a_wrong_entry_is_one_sentence(claim, change, message):
    with pytest.raises(InputError, match=message):
        claim(**change)


@pytest.mark.parametrize("text", ["a: [", "claims: 3", "- 3"])
def test_a_damaged_file_is_one_sentence(tmp_path, text):
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"claims.yaml: (not valid YAML|expected a list)"):
        read_claims(path)
    path.write_text(yaml.safe_dump([ROW, ROW]))
    with pytest.raises(InputError, match="two claims are called 'gsg'"):
        read_claims(path)


def test_the_papers_claims_are_in_the_list(repository):
    claims = {claim.id: claim for claim in read_claims(repository / "results" / "claims.yaml")}
    for name in ("order", "answers", "gsg", "cma", "lci", "vci", "eci", "unfaithful"):
        assert claims[name].source.startswith("CRA (arXiv 2503.07635)")
        assert "nextgqa" in claims[name].datasets and "shapes" in claims[name].datasets
    numbers = published_csv().read_text()
    assert all(f",{n}," in numbers for n in ("18.2", "16.0", "15.2", "26.8", "24.4"))


def test_marked_places_are_filled_and_typed_numbers_found(claim):
    one = claim()
    key = Key("cra", "test", "Acc@QA", "post-hoc")
    keys = [key, key._replace(metric="Acc@GQA"), key._replace(metric="mIoU")]
    recorded = Expected("shapes", "quick", {k: {"avx2": {1: 50.0, 2: 52.0}} for k in keys})
    recorded.claims = {"gsg": Outcome("holds", -3.21, -5.0, -1.4, 10)._asdict()}
    page = "a <!-- claim:gsg -->old<!-- /claim --> b <!-- scores:cra -->1<!-- /scores --> c"
    text = prose.filled(page, {"gsg": one}, recorded)
    assert "-3.2 points [-5.0, -1.4], 10 seeds: holds" in text
    assert "51.0 / 51.0 / 51.0 (2 seeds)" in text
    assert prose.filled(text, {"gsg": one}, recorded) == text
    assert not prose.typed_comparisons(text)
    assert prose.typed_comparisons("`cra` 86.0 / 81.8 / 61.5, and -5.0 [-8.9, -0.9]")
    assert prose.typed_comparisons("answers 79.7 % (standard deviation 6.5)")
    single = Expected("shapes", "quick", {k: {"avx2": {1: 50.0}} for k in keys})
    assert prose.scores_text(single, "cra") == "50.0 / 50.0 / 50.0 (one seed)"
    assert "not recorded yet" in prose.filled("<!-- scores:ng -->x<!-- /scores -->", {}, recorded)
    with pytest.raises(InputError, match="quotes the claim 'gsg', which is not in claims.yaml"):
        prose.filled(page, {}, recorded)


def test_outcomes_read_as_sentences(claim):
    assert outcome_text(claim(), Outcome("not run")) == "not run"
    assert outcome_text(claim(), Outcome("undecided", 1.0, 1.0, 1.0, 1)) == (
        "+1.0 points, one seed: undecided"
    )
