"""Tables: every number comes from a file, and reads the same in Markdown, CSV and HTML."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from cra_lib.config import run_config
from cra_lib.config.files import save_config
from cra_lib.data.card import data_card
from cra_lib.evaluator.annotations import read_truths
from cra_lib.evaluator.metrics import METRICS, score
from cra_lib.paths import ResultFiles, published_csv
from cra_lib.records import InputError
from cra_lib.reporting import figures, report, tables
from cra_lib.reporting.figures import causal
from cra_lib.reporting.tables.writing import cell_text


@pytest.fixture(scope="module")
def reports(made_up):
    return tables.read_reports(made_up.results)


@pytest.fixture(scope="module")
def scores(reports):
    return tables.score_table(reports)


def test_scores_are_those_of_the_files(made_up, scores):
    content = json.loads(made_up.results.run("ng+", 2024).scores("test_ood").read_text())
    row = scores[(scores["variant"] == "ng+") & (scores["split"] == "test_ood")]
    for metric in METRICS:
        [value] = row[row["metric"] == metric]["value"]
        assert value == content["rules"]["post-hoc"][metric]
    assert len(scores) == len(made_up.variants) * len(made_up.splits) * len(METRICS)


def test_main_table_has_the_scores_recomputed_from_predictions(made_up, scores):
    table = tables.main_table(scores, "test").set_index("method")
    said = tables.predictions_of(made_up.results, "cra", 2024, "test")
    found = score(said, read_truths(made_up.data, "test"), "post-hoc")
    assert table.loc["CRA", "Acc@GQA"] == pytest.approx(found["Acc@GQA"])
    assert list(table.index)[:2] == ["CRA", "CRA (released)"]
    assert "from" not in table, "without published rows there is nothing to tell apart"


def test_published_rows_stand_above_ours(scores):
    published = tables.read_published(published_csv(), "nextgqa", "test")
    table = tables.main_table(scores, "test", published)
    ours = table[table["from"] == "this run"]
    assert set(table["from"]) == {"published", "this run"}
    assert ours.index.min() > table[table["from"] == "published"].index.max()
    [row] = table[table["method"] == "CRA, Temp[CLIP]"].to_dict("records")
    assert (row["Acc@GQA"], row["Acc@QA"], row["mIoU"]) == (18.2, 61.1, 14.2)


def test_star_and_unknown_files_of_published_numbers(tmp_path):
    assert len(tables.read_published(published_csv(), "star", "test"))
    assert tables.read_published(tmp_path / "none.csv", "shapes", "test").empty
    assert tables.read_published(published_csv(), "shapes", "test").empty


def test_several_seeds_become_mean_and_deviation(scores):
    twice = pd.concat([scores, scores.assign(seed=1, value=scores["value"] + 2)])
    cell = tables.main_table(twice, "test").set_index("method").loc["CRA", "Acc@QA"]
    [value] = scores.query("variant == 'cra' and split == 'test' and metric == 'Acc@QA'")["value"]
    assert cell == f"{value + 1:.1f} ± {np.sqrt(2):.1f}"
    seeds = tables.seed_table(twice, "test").set_index("method")
    assert seeds.loc["CRA", "seeds"] == 2
    assert seeds.loc["CRA", "Acc@QA sd"] == pytest.approx(np.sqrt(2))


def test_intervals_hold_their_value(scores):
    rows = scores.dropna()
    assert (rows["low"] <= rows["value"] + 1e-9).all() and (
        rows["value"] <= rows["high"] + 1e-9
    ).all()
    assert "[" in tables.interval_table(scores, "test").set_index("method").loc["CRA", "mIoU"]


def test_ablation_is_the_difference_of_the_scores(made_up, reports, scores):
    found = tables.ablation(made_up.results, reports, read_truths(made_up.data, "test"), samples=30)
    value = scores[scores["split"] == "test"].set_index(["variant", "metric"])["value"]
    for row in found.itertuples():
        assert row.difference == pytest.approx(
            value[row.variant, row.metric] - value["cra", row.metric]
        )
        assert row.low <= row.difference <= row.high
    assert set(found["variant"]) == set(made_up.variants) - {"cra"}


def test_intervals_of_several_seeds_include_the_seeds(made_up, three_seeds):
    scores = tables.read_scores(three_seeds)
    mine = scores.query("variant == 'cra' and split == 'test' and metric == 'Acc@QA'")
    assert mine["low"].nunique() == mine["high"].nunique() == 1, "one interval for the variant"
    assert mine["low"].iloc[0] < mine["value"].mean() < mine["high"].iloc[0]
    [alone] = (
        tables.read_scores(made_up.results)
        .query("variant == 'cra' and split == 'test' and metric == 'Acc@QA'")[["low", "high"]]
        .to_numpy()
    )
    assert mine["value"].max() - mine["value"].min() > 2, "made-up seeds differ"
    assert mine["high"].iloc[0] - mine["low"].iloc[0] > (alone[1] - alone[0]) / np.sqrt(3)
    assert tables.interval_table(scores, "test")["seeds"].tolist() == [3, 3]


def test_without_scores_by_video_several_seeds_have_no_interval(three_seeds, tmp_path):
    shutil.copytree(three_seeds.root, tmp_path / "copy")
    results = ResultFiles(tmp_path / "copy")
    results.run("cra", 2).video_scores("test").unlink()
    scores = tables.read_scores(results).query("split == 'test'")
    assert scores[scores["variant"] == "cra"]["low"].isna().all()
    assert scores[scores["variant"] != "cra"]["low"].notna().all()


def test_paired_differences_resample_seeds_and_videos(made_up, three_seeds):
    truths = read_truths(made_up.data, "test")
    reports = tables.read_reports(three_seeds)
    found = tables.ablation(three_seeds, reports, truths, samples=400)
    assert found["seeds"].eq(3).all() and set(found["variant"]) == {"no-causal"}
    value = tables.score_table(reports).query("split == 'test'")
    means = value.groupby(["variant", "metric"])["value"].mean()
    for row in found.itertuples():
        expected = means["no-causal", row.metric] - means["cra", row.metric]
        assert row.difference == pytest.approx(expected) and row.low < row.difference < row.high


def test_one_seed_supports_no_claim():
    assert "support no claim between methods" in tables.interval_meaning(1)
    assert "seeds and test videos together (3 seeds" in tables.interval_meaning(3)


def test_ablation_without_the_base_is_empty(made_up, reports):
    others = [report for report in reports if report.variant != "cra"]
    truths = read_truths(made_up.data, "test")
    found = tables.ablation(made_up.results, others, truths, samples=5)
    assert found.empty and tables.ablation_table(found).empty


def test_tables_by_type_and_outcome_add_up(reports):
    outcomes = tables.faithfulness_table(reports, "test")
    assert outcomes.iloc[:, :4].sum(axis=1).round(6).eq(100).all()
    kinds = tables.type_table(reports, "test")
    assert list(kinds.columns) == ["cra", "cra-released", "no-causal", "post-hoc", "ng+"]
    assert "CRA without ECI" in tables.labelled(kinds).columns
    assert tables.labelled(outcomes).index.name == "method"


def test_blind_rows_use_the_answers_of_the_leading_variant(reports, scores):
    table = tables.blind_table(reports, "test")
    [answers] = scores.query("variant == 'cra' and split == 'test' and metric == 'Acc@QA'")["value"]
    assert table["Acc@QA"].eq(answers).all() and "middle third" in set(table["interval"])


def test_bias_table_has_a_column_a_split(scores, made_up):
    table = tables.bias_table(scores, made_up.splits)
    assert list(table.columns) == ["metric", "method", *made_up.splits]
    assert len(table) == 3 * len(made_up.variants)


def test_dataset_table_is_the_card(made_up):
    card = data_card(made_up.data, "shapes")
    table = tables.dataset_table(card).set_index("split")
    assert table.loc["val", "questions"] == card["splits"]["val"]["questions"] == 100
    assert pd.isna(table.loc["train", "segments"])
    counts = tables.question_counts(card)
    assert list(counts.columns) == ["CW", "CH", "TN", "TP", "TC"]
    assert counts.loc["test"].sum() == 100


def test_random_examples_are_what_they_say(made_up):
    truths = read_truths(made_up.data, "test")
    said = tables.predictions_of(made_up.results, "cra", 2024, "test")
    keys = tables.random_examples(said, truths, "post-hoc")
    assert len(keys) == 6 and len({truths[key].video_id for key in keys}) == 6
    good = [score([said[key]], [truths[key]], "post-hoc")["Acc@GQA"] for key in keys]
    assert good == [100, 100, 100, 0, 0, 0]
    assert keys == tables.random_examples(said, truths, "post-hoc")


def test_a_table_reads_the_same_in_all_three_files(tmp_path, scores):
    table = tables.main_table(scores, "test")
    saved = tables.write_table(table, tmp_path, "main")
    back = pd.read_csv(tmp_path / "main.csv")
    assert back["Acc@GQA"].tolist() == pytest.approx(table["Acc@GQA"].tolist())
    shown = cell_text(table["Acc@GQA"].iloc[0])
    assert shown in (tmp_path / "main.md").read_text() and shown in saved.html
    assert saved._repr_html_() == (tmp_path / "main.html").read_text()
    assert repr(saved) == (tmp_path / "main.md").read_text()


def test_cells_are_escaped():
    table = pd.DataFrame({"method": ["<b>a|b</b>"], "value": [1.0]})
    assert "<b>" not in tables.to_html(table)
    assert tables.to_markdown(table).splitlines()[-1] == "| <b>a/b</b> | 1.0 |"


@pytest.mark.parametrize("text", ["{", "[]", '{"rules": []}'])
def test_a_damaged_score_file_is_named(made_up, tmp_path, text):
    run = ResultFiles(tmp_path).run("cra", 1)
    run.root.mkdir(parents=True)
    run.scores("test").write_text(text)
    with pytest.raises(InputError, match="scores_test"):
        tables.read_reports(ResultFiles(tmp_path))


def test_missing_predictions_say_what_to_run(made_up):
    with pytest.raises(InputError, match="notebook 04"):
        tables.predictions_of(made_up.results, "cra", 7, "test")


def test_runtimes_and_histories_of_all_runs(made_up, tmp_path):
    table = tables.read_runtimes(made_up.results)
    assert len(table) == len(made_up.variants) and table["epochs"].eq(10).all()
    assert tables.read_runtimes(ResultFiles(tmp_path)).empty
    copy = tmp_path / "copy"
    shutil.copytree(made_up.results.root, copy)
    shutil.copytree(copy / "runs/cra/seed2024", copy / "runs/cra/seed1")
    assert tables.read_histories(ResultFiles(copy))["cra"]["seed"].nunique() == 2


def test_scores_against_k_come_from_runs_that_differ_in_k_alone(made_up, three_seeds, tmp_path):
    results = ResultFiles(tmp_path / "results")
    shutil.copytree(three_seeds.root, results.root)
    for seed in (1, 2, 3):
        config = run_config("shapes", seed=seed, overrides={"causal": {"num_confounders": 64}})
        save_config(config, results.run("cra", seed).config)
    clusters = causal.cluster_sizes({"questions": [3, 2, 1]})
    figures.Shelf(results)("cluster_sizes", clusters)  # what notebook 02 leaves in that section
    before = tables.scores_by_confounders(results, tables.read_scores(results))
    assert before.empty and "--num-confounders 16" in tables.say_confounders(before, "shapes")
    assert "docs/causal.md says how" in report.write_report("shapes", results).read_text()
    for name, seeds in (("16", (1, 2)), ("128,train.epochs=3", (1,))):
        for seed in seeds:
            run = results.run(f"cra@causal.num_confounders={name}", seed)
            shutil.copytree(three_seeds.run("no-causal", seed).root, run.root)
    scores = tables.read_scores(results)
    found = tables.scores_by_confounders(results, scores)
    assert dict(zip(found["K"], found["seeds"], strict=True)) == {16: 2, 64: 3}
    row = found[(found["K"] == 64) & (found["metric"] == "mIoU")].iloc[0]
    mine = scores.query("variant == 'cra' and split == 'test' and metric == 'mIoU'")
    assert row["value"] == pytest.approx(mine["value"].mean()) and row["low"] < row["value"]
    said = tables.say_confounders(found, "shapes")
    assert said.startswith("From the lowest to the highest of K = 16, 64, in points: Acc@QA ")
    drawn = figures.confounder_scores(found)
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ["16", "64"]
    figures.Shelf(results)("confounder_scores", drawn)
    page = report.write_report("shapes", results).read_text()
    assert "Scores of CRA on the test split against the number" in page
    assert "docs/causal.md says how" not in page
