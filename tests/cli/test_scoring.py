"""The scoring commands from the outside: what they print, write and refuse."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cra_lib import cli
from cra_lib.evaluator.annotations import write_json, write_questions, write_segments, write_stamps
from cra_lib.evaluator.metrics import METRICS
from cra_lib.paths import DataFiles
from cra_lib.records import Prediction, Question, Span, write_predictions

NUM_FRAMES = 32


@pytest.fixture
def world(tmp_path):
    """Six questions on three videos in the normal form, with prediction files of every kind."""
    files = DataFiles(tmp_path / "truth")
    files.root.mkdir()
    questions = [
        Question(str(n // 2), str(n % 2), "why", ("a", "b", "c"), n % 3, ("CW", "TN", "TP")[n % 3])
        for n in range(6)
    ]
    write_questions(files.questions("val"), questions)
    segments = {
        str(v): {"duration": 40.0, "location": {"0": [[10, 20]], "1": [[20, 31]]}, "fps": 8.0}
        for v in range(3)
    }
    write_segments(files.segments("val"), segments)
    times = [1.0 + n for n in range(NUM_FRAMES)]
    write_stamps(files.stamps("val"), {str(v): times for v in range(3)})
    write_stamps(files.stamps("val", "upbd"), {str(v): [t + 5 for t in times] for v in range(3)})

    answers = {q.key: {"prediction": 0, "answer": q.answer} for q in questions}
    spans = {q.key: [12.0, 18.0] for q in questions}
    weights = {q.key: [1.0 if 12 <= n <= 17 else 0.0 for n in range(NUM_FRAMES)] for q in questions}
    found = SimpleNamespace(root=tmp_path, truth=files.root, questions=questions)
    for name, content in (("answers", answers), ("spans", spans), ("weights", weights)):
        path = tmp_path / f"{name}.json"
        write_json(path, content)
        setattr(found, name, path)
    found.fractions = tmp_path / "fractions.json"
    write_json(found.fractions, {key: [0.3, 0.45] for key in spans})
    found.lines = tmp_path / "predictions.jsonl"
    perfect = [
        Prediction(
            q.key, q.answer, spans={"merged": Span(21, 24) if q.qid == "1" else Span(10, 20)}
        )
        for q in questions
    ]
    write_predictions(found.lines, perfect)
    return found


@pytest.fixture
def cra(capsys, monkeypatch, world):
    """Runs `cra COMMAND ... --truth --split val`; gives exit code, output and errors."""

    def run(command, *arguments, truth=True):
        where = ["--truth", str(world.truth), "--split", "val"] if truth else []
        monkeypatch.setattr(sys, "argv", ["cra", command, *map(str, arguments), *where])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return SimpleNamespace(code=stop.value.code or 0, out=captured.out, err=captured.err)

    return run


def row_of(text: str, name: str) -> list[str]:
    """The cells of the first table row with that name."""
    line = next(line for line in text.splitlines() if line.startswith(f"{name}  "))
    return line.removeprefix(name).split()


def test_two_json_files_are_all_a_newcomer_needs(cra, world):
    result = cra("evaluate", "--answers", world.answers, "--spans", world.spans)
    assert result.code == 0 and result.err == ""
    assert result.out.startswith("split val; rules given; 6 questions on 3 videos; missing")
    assert row_of(result.out, "given")[:3] == ["16.67", "33.33", "50.00"]
    assert row_of(result.out, "blind: whole video")[2] == "26.25"


def test_kinds_are_recognised_without_options(cra, world):
    named = cra("evaluate", "--answers", world.answers, "--spans", world.spans)
    bare = cra("evaluate", world.spans, world.answers)
    assert bare.out == named.out


def test_fractions_in_seconds_score_like_seconds(cra, world):
    seconds = cra("evaluate", world.spans)
    fractions = cra("evaluate", world.fractions, "--fractions")
    assert row_of(seconds.out, "given") == row_of(fractions.out, "given")


def test_stamps_decide_what_weights_mean(cra, world):
    default = cra("evaluate", world.weights)
    assert "stamps frame2time" in default.out
    assert "rules post-hoc, windows, merged;" in default.out
    other = cra("evaluate", world.weights, "--stamps", "upbd", "--span-rule", "post-hoc")
    assert "rules post-hoc; stamps upbd" in other.out
    assert row_of(default.out, "post-hoc") != row_of(other.out, "post-hoc")


def test_stamps_named_outright_replace_given_intervals(cra, world):
    kept = cra("evaluate", world.lines, world.weights)
    replaced = cra("evaluate", world.lines, world.weights, "--stamps", "frame2time")
    assert row_of(kept.out, "merged")[0] == "100.00"
    assert row_of(replaced.out, "merged")[0] == "50.00"


def test_json_and_csv_carry_what_the_table_shows(cra, world):
    outs = world.root / "out.json", world.root / "out.csv"
    result = cra("evaluate", world.lines, "--by-type", "--bootstrap", 50, "--json", outs[0],
                 "--csv", outs[1])  # fmt: skip
    report = json.loads(outs[0].read_text())
    assert report["header"]["split"] == "val" and report["header"]["bootstrap"] == 50
    assert report["rules"]["merged"]["Acc@GQA"] == 100.0
    assert set(report["intervals"]["merged"]) == set(METRICS)
    assert "merged: TN+TP" in result.out and "95 % from" in result.out
    with open(outs[1], newline="") as file:
        rows = {(row["rule"], row["type"]): row for row in csv.DictReader(file)}
    assert float(rows["merged", "CW"]["mIoU"]) == report["by_type"]["merged"]["CW"]["mIoU"]
    assert ("blind: centre second", "") in rows


def test_every_file_written_is_named_on_a_line_of_its_own(cra, world):
    def written(*call, truth=True):
        out = cra(*call, truth=truth).out.splitlines()
        return [line.removeprefix("Written: ") for line in out if line.startswith("Written: ")]

    one, two, three = (str(world.root / name) for name in ("a.json", "b.csv", "c.csv"))
    more = "--json", one, "--csv", two
    assert written("evaluate", world.lines, *more, "--questions", three) == [one, two, three]
    assert written("compare", world.spans, world.lines, *more) == [one, two]
    assert written("blind", "--json", one) == [one]
    assert written("leaderboard", "--csv", two, truth=False) == [two]
    assert written("evaluate", world.lines) == []


def test_every_question_can_be_written_down(cra, world):
    out = world.root / "questions.csv"
    cra("evaluate", world.lines, world.weights, "--questions", out)
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 3
    assert {row["rule"] for row in rows} == {"post-hoc", "windows", "merged"}
    assert all(row["grounded"] == "True" for row in rows if row["rule"] == "merged")


def test_official_leaves_out_what_is_missing(cra, world):
    some = world.root / "some.json"
    write_json(some, {"0_0": [10.0, 20.0]})
    ours = row_of(cra("evaluate", world.answers, some).out, "given")
    official = row_of(cra("evaluate", world.answers, some, "--official").out, "given")
    assert ours[2] == "16.67" and ours[-2:] == ["6", "5"]
    assert official[2] == "100.00" and official[-2:] == ["1", "5"]


def test_subset_and_unknown_questions(cra, world):
    subset = world.root / "subset.txt"
    subset.write_text("0_0\n1_0\n")
    result = cra("evaluate", world.spans, "--subset", subset)
    assert "2 questions on 2 videos" in result.out
    assert result.err == (
        "cra: note: 4 predictions are about questions that are not scored; left out.\n"
    )


def test_stated_answers_that_differ_are_noted(cra, world):
    write_json(world.answers, {"0_0": {"prediction": 0, "answer": 2}})
    result = cra("evaluate", world.answers)
    assert "1 right answers stated in the file differ from the annotation" in result.err


REFUSED = {
    "no predictions": (lambda w: [], "No predictions given"),
    "missing file": (lambda w: ["none.json"], "Predictions not found"),
    "rule that is not there": (
        lambda w: [w.spans, "--span-rule", "merged"],
        "by the rule 'merged'; there are: given",
    ),
    "one thing twice": (lambda w: [w.spans, "--spans", w.spans], "both give"),
    "question of no split": (
        lambda w: [w.spans, "--subset", w.spans.with_name("predictions.jsonl")],
        "is no question of split",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_one_sentence_and_exit_2(cra, world, arguments, message):
    result = cra("evaluate", *arguments(world))
    assert result.code == 2 and result.out == ""
    assert message in result.err and result.err.count("\n") == 1
    assert result.err.startswith("cra: ")


CONTENT = {
    "wrong keys": ({"x_0": 1}, "mangled.json: none of the 1 predictions"),
    "answer out of range": ({"0_0": 3}, r"answer 3 is no index of a choice (0 to 2)"),
    "31 weights": ({"0_0": [0.5] * 31}, "expected 32 weights, one a time stamp, got 31"),
    "reversed interval": ({"0_0": [9, 3]}, "ends before it starts"),
}


@pytest.mark.parametrize(("content", "message"), CONTENT.values(), ids=CONTENT)
def test_impossible_predictions_are_refused(cra, world, content, message):
    path = world.root / "mangled.json"
    write_json(path, content)
    result = cra("evaluate", path)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err


def test_a_place_that_cannot_be_written_to_is_refused(cra, world):
    result = cra("evaluate", world.spans, "--json", world.spans / "out.json")
    assert result.code == 2 and "Cannot write" in result.err


def test_an_unknown_split_lists_those_there_are(cra, world):
    result = cra("evaluate", world.spans, "--truth", world.truth, "--split", "tets", truth=False)
    assert result.code == 2 and "No split 'tets'" in result.err and "there are: val" in result.err


def test_compare_names_winner_margin_and_questions(cra, world):
    table = world.root / "changes.csv"
    result = cra("compare", f"{world.answers},{world.spans}", world.lines, "--csv", table,
                 "--json", world.root / "c.json")  # fmt: skip
    assert result.code == 0
    assert row_of(result.out, "Acc@GQA")[:3] == ["16.67", "100.00", "+83.33"]
    assert "McNemar Acc@QA: A alone 0, B alone 4" in result.out
    assert table.read_text().splitlines()[1] == "0_1,win,TN"
    comparison = json.loads((world.root / "c.json").read_text())
    assert len(comparison["wins"]) == 5 and comparison["header"]["split"] == "val"


def test_blind_rows_need_no_model(cra, world):
    result = cra("blind", "--json", world.root / "b.json")
    assert row_of(result.out, "whole video")[:3] == ["-", "-", "26.25"]
    answered = cra("blind", "--answers", world.answers)
    assert row_of(answered.out, "middle third")[1] == "33.33"
    assert json.loads((world.root / "b.json").read_text())["first half"]["Acc@QA"] is None


def test_leaderboard_sets_scores_among_published_rows(cra, world, repository):
    scores = world.root / "mine.json"
    cra("evaluate", world.lines, "--json", scores)
    scores.write_text(scores.read_text().replace('"split": "val"', '"split": "test"'))
    where = ["--published", repository / "results" / "published.csv", "--dataset", "star"]
    out = world.root / "board.csv"
    result = cra("leaderboard", scores, *where, "--csv", out, truth=False)
    assert result.code == 0 and "> mine" in result.out and "GroundFormer" in result.out
    assert out.read_text().startswith("rank,method,backbone,supervision,span_rule,Acc@GQA")


def test_scoring_imports_nothing_heavy(world):
    script = (
        "import sys; from cra_lib import cli; "
        "import atexit; atexit.register(lambda: print(sorted("
        "{'torch', 'pandas', 'scipy', 'transformers', 'cra_lib.config'} & set(sys.modules)))); "
        "cli.main()"
    )
    command = [sys.executable, "-c", script, "evaluate", world.lines, "--truth", world.truth]
    done = subprocess.run(
        [*map(str, command), "--split", "val", "--bootstrap", "20"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
