"""The evaluation card: its numbers are the JSON's, it stands alone and says where it is from."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import subprocess
import sys

import pytest

from cra_lib import cli
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.scoring import read_benchmark, score_files
from cra_lib.records import Prediction, Span, write_predictions
from cra_lib.reporting.card import write_card


def run(*arguments) -> None:
    before = sys.argv
    sys.argv = ["cra", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
    finally:
        sys.argv = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two sets of predictions for NExT-GQA's test split, and the cards of one and of both."""
    folder = tmp_path_factory.mktemp("card")
    truths = read_benchmark("nextgqa:test").truths
    answers = {k: t.answer if n % 3 else (t.answer + 1) % 5 for n, (k, t) in
               enumerate(truths.items())}  # fmt: skip
    spans = {k: [0.4 * t.duration, (0.5 + n % 3 / 10) * t.duration] for n, (k, t) in
             enumerate(truths.items())}  # fmt: skip
    (folder / "answers.json").write_text(json.dumps(answers))
    (folder / "a<b>&_%.json").write_text(json.dumps(spans))
    chances = {a: tuple(0.6 if i == a else 0.1 for i in range(5)) for a in range(5)}
    lines = [
        Prediction(k, n % 5, chances[n % 5], {"post-hoc": Span(2.0, 9.0)})
        for n, k in enumerate(truths)
    ]
    write_predictions(folder / "model.jsonl", lines)
    where = ["--truth", "nextgqa:test"]
    files = [folder / "answers.json", folder / "a<b>&_%.json"]
    run("evaluate", *files, *where, "--bootstrap", 30, "--json", folder / "one.json", "--html",
        folder / "one.html")  # fmt: skip
    run("compare", ", ".join(map(str, files)), folder / "model.jsonl", *where, "--bootstrap", 30,
        "--json", folder / "two.json", "--html", folder / "two.html")  # fmt: skip
    return folder


def embedded(page: str) -> dict:
    return json.loads(re.search(r'id="report">(.*?)</script>', page, re.S)[1])


def rows_of(page: str, label: str) -> dict[str, list[str]]:
    """The cells of the table with that label, by their row heading."""
    table = re.search(rf'aria-label="Table: {label}">(.*?)</table>', page, re.S)[1]
    rows = re.findall(r"<tr>(.*?)</tr>", table.split("<tbody>")[1], re.S)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]
    return {html.unescape(first): rest for first, *rest in cells}


def test_the_numbers_are_those_of_the_json(folder):
    page, report = (folder / "one.html").read_text(), json.loads((folder / "one.json").read_text())
    [carried] = embedded(page)["reports"].values()
    assert carried == report
    rows = rows_of(page, "scores predictions")
    blind = {f"blind: {name}": values for name, values in report["blind"].items()}
    for name, values in {**report["rules"], **blind}.items():
        assert rows[name] == [f"{values[m]:.2f}" for m in METRICS], name
    ends = report["intervals"]["given"]["mIoU"]
    assert f"{ends[0]:.1f} to {ends[1]:.1f}" in rows["95 % interval"]
    types = rows_of(page, "types predictions")
    for name, values in report["by_type"]["given"].items():
        assert types[name][1:] == [f"{values[m]:.2f}" for m in METRICS]
    [shares] = rows_of(page, "faithfulness predictions").values()
    assert shares == [f"{v:.2f}" for v in report["faithfulness"]["given"].values()]


def test_the_page_stands_alone_and_says_how_it_was_made(folder):
    page = (folder / "one.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page) and "@import" not in page
    assert page.count("data:image/png;base64,") == 4 and len(page) < 1_000_000
    assert "cra evaluate" in page and "--truth nextgqa:test" in page
    for name in ("answers.json", "a<b>&_%.json"):
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() in page
    assert "NExT-GQA at 8331fcce57, gsub_test.json" in page
    assert "a&lt;b&gt;&amp;_%.json" in page and "<b>" not in page.split("</title>")[1]
    latex = next(line for line in html.unescape(page).splitlines() if r"\_\%.json &" in line)
    assert latex.count(" & ") == len(METRICS) and latex.removesuffix("</pre>").endswith(r" \\")
    assert "@inproceedings{chen2025cra," in page


def test_the_twenty_questions_are_five_of_each_outcome(folder):
    page = (folder / "one.html").read_text()
    shown = re.findall(r'aria-label="Table: ([a-z ,]+) predictions">', page)
    outcomes = shown[-4:]
    assert outcomes[0] == "right for the wrong reason"
    report = score_files(
        [folder / "answers.json", folder / "a<b>&_%.json"], "nextgqa:test"
    ).questions()
    found = {row["key"]: row for row in report}
    for outcome in outcomes:
        rows = rows_of(page, f"{outcome} predictions")
        assert len(rows) == 5
        for key in rows:
            right = outcome.startswith("right")
            grounded = "grounded" in outcome or "found" in outcome
            assert (found[key]["right"], found[key]["grounded"]) == (right, grounded)


def test_the_rank_is_among_rows_of_the_same_kind(folder):
    page = html.unescape((folder / "two.html").read_text())
    assert re.search(r"model.jsonl: rank \d+ by Acc@GQA among 14 published rows with weak", page)
    assert "of them with the span rule “post-hoc”" in page
    assert "none of them states the span rule “given”" in page


def test_two_files_give_a_comparison(folder):
    page, result = (folder / "two.html").read_text(), json.loads((folder / "two.json").read_text())
    assert embedded(page)["comparison"] == result and len(embedded(page)["reports"]) == 2
    rows = rows_of(page, "difference")
    for metric, row in result["metrics"].items():
        assert rows[metric][:3] == [
            f"{row['first']:.2f}", f"{row['second']:.2f}", f"{row['difference']:+.2f}"
        ]  # fmt: skip
    assert "Expected calibration error" in page and page.count("data:image/png") == 5


@pytest.fixture(scope="module")
def subset(folder):
    """Forty questions."""
    path = folder / "keys.txt"
    path.write_text("\n".join(list(read_benchmark("nextgqa:test").truths)[:40]))
    return path


@pytest.mark.parametrize("name", ["answers.json", "a<b>&_%.json"])
def test_half_a_prediction_makes_a_card_without_a_rank(folder, subset, name, tmp_path):
    scored = score_files([folder / name], "nextgqa:test", subset=subset)
    page = write_card(tmp_path / "card.html", {name: scored}).read_text()
    assert "there is no Acc@GQA to compare with" in page and "nan" not in page.lower().split()
    assert "No rank among published rows: a subset was scored." in page


def test_without_drawing_the_command_says_what_to_install(folder, repository, tmp_path):
    script = "import sys; sys.modules['matplotlib'] = None\nfrom cra_lib.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "evaluate", str(folder / "model.jsonl"), "--truth",
         "nextgqa:test", "--html", str(tmp_path / "card.html")],
        env={**os.environ, "PYTHONPATH": str(repository)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "pip install 'cra-lib[drawing]'" in done.stderr
    assert not (tmp_path / "card.html").exists()
