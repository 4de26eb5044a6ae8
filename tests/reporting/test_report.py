"""The report: self-contained, complete about what it has and about what it lacks."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest
from PIL import Image

from cra_lib.paths import ResultFiles, claims_yaml, repository_root
from cra_lib.records import InputError
from cra_lib.reporting import figures, lead, pages, report, report_tables, tables
from cra_lib.reporting.figures.catalogue import FIGURES, TABLES
from cra_lib.reproduction import manifest
from cra_lib.reproduction.claims import Outcome, read_claims
from cra_lib.reproduction.expected import Expected, Key, write_expected


@pytest.fixture(autouse=True)
def small_repository(tmp_path, monkeypatch) -> None:
    """Two short pages in the place of all of them: writing those takes a second."""
    root = tmp_path / "repository"
    (root / "docs").mkdir(parents=True)
    (root / "README.md").write_text(
        "# Title\n[what differs](DEVIATIONS.md#losses), [code](cra_lib/)"
    )
    (root / "DEVIATIONS.md").write_text("| a | b |\n|---|---|\n| 1 | [data](docs/data.md) |")
    (root / "docs" / "data.md").write_text("[home](../README.md)\n![none](absent.png)")
    monkeypatch.setattr(pages, "repository_root", lambda: root)


@pytest.fixture
def results(made_up, tmp_path) -> ResultFiles:
    """A copy of the made-up results with two tables, one figure and a manifest."""
    files = ResultFiles(tmp_path / "shapes")
    shutil.copytree(made_up.results.root, files.root)
    scores = tables.read_scores(files)
    tables.write_table(tables.main_table(scores, "test"), files.tables, "main")
    figures.Shelf(files)("main_scores", figures.score_points(scores, "test"))
    files.notebooks.mkdir()
    (files.notebooks / "03_train_cra_seed2024.html").write_text("<p>run</p>")
    cell = {"cell_type": "code", "id": "c7", "source": ['show("main_scores", drawn) < 1']}
    for suffix, content in (("ipynb", json.dumps({"cells": [cell]})), ("html", "<p>05</p>")):
        (files.notebooks / f"05_figures.{suffix}").write_text(content)
    Image.new("RGB", (1400, 900)).save(files.run("cra", 2024).root / "examples.png")
    entry = {
        "notebook": "notebooks/03_train.ipynb",
        "executed": "notebooks/03_train_cra_seed2024.ipynb",
        "parameters": {"VARIANT": "cra", "SEED": 2024},
        "seed": 2024,
        "commit": {"hash": "0123abcd", "dirty": True},
        "inputs": {},
        "outputs": {"model.safetensors": "f" * 64},
        "device": {"cpu": "A processor", "gpu": None, "cores": 2},
        "versions": {"python": "3.11.9", "torch": "2.15.0"},
        "started": 0.0,
        "seconds": 61.2,
        "exit_state": "ok",
        "error": None,
    }
    manifest.record(files.manifest, "03_train_cra_seed2024", entry)
    drawn = entry | {"executed": "notebooks/05_figures.ipynb", "seed": None}
    manifest.record(files.manifest, "05_figures", drawn)
    failed = entry | {"exit_state": "cell failed", "error": "a <cell> failed"}
    failed |= {"executed": "notebooks/04_evaluate.ipynb"}
    manifest.record(files.manifest, "04_evaluate", failed)
    return files


@pytest.fixture
def expected(monkeypatch, tmp_path):
    """Recorded numbers: one met, one missed, one of a variant that was not run."""
    path = tmp_path / "expected.json"

    def record(values: dict[tuple[str, str], float]):
        recorded = Expected("shapes", "quick")
        for (variant, metric), value in values.items():
            seeds = {seed: value + seed for seed in (-1, 0, 1)}
            recorded.cells[Key(variant, "test", metric, "post-hoc")] = {"avx2": seeds}
        write_expected(path, recorded)
        monkeypatch.setattr(report_tables, "expected_json", lambda dataset: path)

    return record


VOID = ("meta", "link", "img", "br", "hr", "input")
"""Tags that hold nothing and are not closed."""


class Page(HTMLParser):
    """Tags, addresses and texts of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:  # "<img ... />" counts as both
            return
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(results: ResultFiles) -> tuple[str, Page]:
    text = report.write_report("shapes", results).read_text(encoding="utf-8")
    return text, Page(text)


def test_the_page_needs_no_network_and_no_other_file(results):
    text, page = page_of(results)
    sources = [tag.get("src", "") for tag in page.all("img")]
    assert sources and all(source.startswith("data:") for source in sources)
    assert not any("src" in tag for tag in page.all("script"))
    assert not re.search(r"url\(|@import", text)
    outside = [tag["href"] for tag in page.all("a") if "://" in tag["href"]]
    assert re.findall(r"https?://[^\s\"<]+", text) == outside, "links for readers, and no other"
    assert all(tag["href"].startswith("data:") for tag in page.all("link"))
    assert not page.open, "every tag is closed"


def test_links_lead_to_files_and_headings_that_exist(results):
    _, page = page_of(results)
    names = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for tag in page.all("a"):
        address, _, part = tag["href"].partition("#")
        if "://" in address or address.startswith("data:"):
            continue
        known = (results.root / address).is_file() if address else part in names
        assert known, f"dead link {tag['href']}"


def test_links_hold_when_the_folder_is_moved(results, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "repository_root", repository_root)  # the real pages, once
    report.write_report("shapes", results)
    moved = ResultFiles(results.root.rename(tmp_path / "elsewhere"))
    for path in (moved.report, *moved.root.glob("pages/*.html")):
        for link in re.findall(r'<a [^>]*?href="([^"]*)"', path.read_text(encoding="utf-8")):
            address = link.partition("#")[0]
            if address and "://" not in address and not address.startswith(("data:", "mailto:")):
                assert (path.parent / address).is_file(), f"{path.name}: dead link {address}"


def test_figures_come_first_and_are_numbered(results):
    text, _ = page_of(results)
    assert "<b>Figure 1.</b> Answer accuracy" in text and "<b>Table 1.</b>" in text
    assert text.index("<b>Figure 1.</b>") < text.index("<b>Table 1.</b>")


def test_a_mailed_page_carries_cell_commit_and_numbers(results):
    text, page = page_of(results)
    assert "show(&#34;main_scores&#34;, drawn) &lt; 1" in text
    assert 'href="notebooks/05_figures.html#cell-id=c7"' in text
    [link] = [tag["href"] for tag in page.all("a") if tag.get("download") == "main_scores.csv"]
    carried = base64.b64decode(link.removeprefix("data:text/csv;base64,"))
    assert carried == (results.figures / "main_scores.csv").read_bytes()


def test_examples_of_each_run_are_shown_small(results):
    text, page = page_of(results)
    [example] = [tag for tag in page.all("img") if tag["src"].startswith("data:image/webp")]
    assert "<summary>CRA, seed 2024</summary>" in text and len(example["src"]) < 100_000


def test_seeds_and_devices_read_as_names(results):
    results.run("cra", 2024).runtime.write_text(json.dumps({"device": "x86_64", "epochs": 7}))
    table = report_tables.run_table(results, manifest.read_manifest(results.manifest))
    row = table.set_index("variant").loc["CRA"]
    assert row["seed"] == "2024" and row["device"] == "A processor"
    assert "2,024" not in page_of(results)[0]


def test_paper_code_and_pages_are_linked(results):
    _, page = page_of(results)
    links = {tag["href"] for tag in page.all("a")}
    assert {"https://arxiv.org/abs/2503.07635", "pages/DEVIATIONS.html"} <= links
    readme = (results.root / "pages" / "README.html").read_text()
    assert '<a href="DEVIATIONS.html#losses">what differs</a>, code' in readme
    assert '<a href="README.html">home</a>' in (results.root / "pages" / "data.html").read_text()


def test_readers_who_cannot_see_are_told(results):
    _, page = page_of(results)
    assert all(len(tag["alt"]) > 30 for tag in page.all("img"))
    assert page.all("html")[0]["lang"] == "en"
    assert all(tag["scope"] in ("col", "row") for tag in page.all("th"))
    regions = [tag for tag in page.all("div") if tag.get("role") == "region"]
    assert regions and all(tag["aria-label"] and tag["tabindex"] == "0" for tag in regions)


def test_numbers_on_the_page_are_those_of_the_files(results):
    text, _ = page_of(results)
    content = json.loads(results.run("cra", 2024).scores("test").read_text())
    assert f"{content['rules']['post-hoc']['Acc@GQA']:.1f} [" in text
    assert (results.tables / "main.html").read_text() in text


def test_the_page_says_what_its_intervals_cover(results, three_seeds, tmp_path):
    text, _ = page_of(results)
    assert text.count("one seed, which support no claim between methods") >= 2
    shutil.copytree(three_seeds.root, tmp_path / "three")
    text, _ = page_of(ResultFiles(tmp_path / "three"))
    assert "over seeds and test videos together (3 seeds" in text and "no claim" not in text


def test_claims_stand_on_the_page_with_their_outcome(results, three_seeds, tmp_path):
    text, _ = page_of(results)
    assert "Without both interventions fewer answers are right." in text
    assert "one seed: undecided" in text and ": holds" not in text and ": fails" not in text
    shutil.copytree(three_seeds.root, tmp_path / "several")
    text, _ = page_of(ResultFiles(tmp_path / "several"))
    assert re.search(r"points \[[-+.\d]+, [-+.\d]+\], 3 seeds: (holds|fails|undecided)", text)


def test_the_report_opens_with_claims_and_what_one_seed_is_worth(results, three_seeds, tmp_path):
    text, _ = page_of(results)
    found = re.search(r'<ul class="found">(.*?)</ul>', text, re.S)[1]
    assert text.index('class="found"') < text.index('class="tiles"')
    first, *claims = re.findall(r"<li>(.*?)</li>", found, re.S)
    assert re.match(r"CRA answers [\d.]+ % \[[\d.]+, [\d.]+\] of the test questions right", first)
    assert 4 <= len(claims) <= 5 and all("test videos of one seed" in claim for claim in claims)
    assert all('<b class="soft">Undecided.</b>' in claim for claim in claims), "no colour"
    assert re.search(r"CRA \(released\) minus CRA: [+-][\d.]+ points \[[+-].*?\]", found)
    assert "support no\nclaim between variants" in text
    shutil.copytree(three_seeds.root, tmp_path / "several")
    text, _ = page_of(ResultFiles(tmp_path / "several"))
    found = re.search(r'<ul class="found">(.*?)</ul>', text, re.S)[1]
    assert found.count("3 seeds.") == 2 and "support no\nclaim" not in text


@pytest.mark.parametrize(
    ("verdict", "colour"), [("holds", "ok"), ("fails", "outside"), ("undecided", "")]
)
def test_a_sentence_has_its_verdict_and_what_was_measured(verdict, colour):
    asked = {claim.id: claim for claim in read_claims(claims_yaml())}
    outcome = Outcome(verdict, -1.25, -2.0, -0.5, seeds=6)
    sentence = lead.claim_sentence(asked["bias"], outcome)
    assert (sentence.verdict, sentence.colour) == (verdict, colour)
    assert sentence.text == (
        "The interventions lower the reliance on the bias of training. Fall of Acc@QA from "
        "test_iid to test_ood, CRA minus CRA without ECI: -1.2 points [-2.0, -0.5], 6 seeds."
    )
    alone = lead.claim_sentence(asked["listens"], Outcome("undecided", 20.0, 20.0, 20.0, 1))
    assert alone.text.endswith("one video, CRA: 20.0 %, test videos of one seed.")


def test_a_sentence_that_begins_with_a_number_is_text():
    table = pd.DataFrame({"claim": ["a"], "outcome": ["-1.1 points, one seed: undecided"]})
    assert '<td class="text">-1.1 points' in tables.to_html(table)
    numbers = pd.DataFrame({"a": ["b"], "n": ["+1.2 [-0.1, +3.0]"], "m": ["1.2 ± 0.3"]})
    assert tables.to_html(numbers).count('<td class="number">') == 2
    assert '<td class="number">-0.3</td>' in tables.to_html(
        pd.DataFrame({"a": ["b", "c"], "from": [-0.27, 0.32]})
    )


def test_verdicts_count_what_agrees_and_what_does_not(results, expected):
    content = json.loads(results.run("cra", 2024).scores("test").read_text())
    value = content["rules"]["post-hoc"]["Acc@QA"]
    expected({("cra", "Acc@QA"): value, ("cra", "mIoU"): 1.0, ("post-hoc", "Acc@QA"): 50.0})
    shutil.rmtree(results.root / "runs" / "post-hoc")
    text, _ = page_of(results)
    assert "0 numbers identical, 1 within the interval,\n1 outside, 1 not run" in text
    assert '<td class="outside">outside</td>' in text and '<td class="ok">within</td>' in text
    assert "Expected but not run: Temp[CLIP] PH." in text


def test_what_is_missing_is_named(results):
    text, _ = page_of(results)
    absent = [n for n, item in FIGURES.items() if n != "main_scores" and "shapes" in item.datasets]
    assert f"Figures that this run did not make: {', '.join(absent)}." in text
    assert "seeds" not in text.split("Tables that this run did not make:")[1].split(".")[0]


def test_other_datasets_do_not_miss_the_bias_study(results):
    text = report.write_report("nextgqa", results).read_text()
    assert "bias_study" not in text and all(TABLES[n].datasets == ("shapes",) for n in ("bias",))


def test_an_empty_folder_gives_a_page_that_says_so(tmp_path):
    text, page = page_of(ResultFiles(tmp_path))
    assert "Nothing has been scored yet" in text and "No manifest" in text
    assert not page.all("img")


def test_partial_results_of_one_split_are_shown(results):
    for path in results.root.glob("runs/*/seed*/scores_test.json"):
        path.unlink()
    text, _ = page_of(results)
    assert "Nothing has been scored yet" in text and "Runs and notebooks" in text


def test_failures_and_provenance_are_shown_and_escaped(results):
    text, _ = page_of(results)
    assert "a &lt;cell&gt; failed" in text and "a <cell>" not in text
    assert "0123abcd with uncommitted changes" in text and "f" * 64 in text
    assert 'href="notebooks/03_train_cra_seed2024.html"' in text
    assert "torch 2.15.0" in text and "A processor, 2 cores" in text


def test_the_same_files_give_the_same_page_in_any_process(results):
    code = (
        "import sys; from pathlib import Path; from cra_lib.paths import ResultFiles; "
        "from cra_lib.reporting.report import write_report; "
        "write_report('shapes', ResultFiles(Path(sys.argv[1])))"
    )
    pages = set()
    for seed in ("1", "2"):  # words are hashed anew in each process
        subprocess.run(
            [sys.executable, "-c", code, str(results.root)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        pages.add(results.report.read_bytes())
    assert len(pages) == 1


def test_a_missing_folder_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="reproduce"):
        report.write_report("shapes", ResultFiles(tmp_path / "none"))
