"""From nothing to the report in miniature: real videos, real notebooks, one short training."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from cra_lib.evaluator.annotations import read_questions
from cra_lib.inference.session import VideoSession
from cra_lib.records import read_predictions
from cra_lib.reproduction import make_plan, run_plan
from cra_lib.reproduction.run import waiting_jobs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone whose quick profile is a miniature, and what its run says."""
    root = tmp_path_factory.mktemp("miniature")
    for name in ("cra_lib", "notebooks"):
        (root / name).symlink_to(ROOT / name)
    (root / "results").mkdir()
    (root / "results" / "published.csv").symlink_to(ROOT / "results" / "published.csv")
    (root / "workflow" / "profiles").mkdir(parents=True)
    (root / "workflow" / "Snakefile").symlink_to(ROOT / "workflow" / "Snakefile")
    profile = yaml.safe_load((ROOT / "workflow/profiles/shapes-quick.yaml").read_text())
    settings = profile["settings"]
    settings["data"] |= {"train_videos": 12, "eval_videos": 4}
    settings["causal"]["num_confounders"] = 8
    settings["train"] |= {"epochs": 1, "batch_size": 32}
    profile["variants"] = ["cra"]
    (root / "workflow/profiles/shapes-quick.yaml").write_text(yaml.safe_dump(profile))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRA_ROOT", str(root))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
        said: list[str] = []
        plan = make_plan(cores=2)
        status = run_plan(plan, said.append)
        assert status == 0, "\n".join(said)
        yield plan, said


def test_the_report_is_one_page_that_fetches_nothing(clone):
    plan, said = clone
    page = plan.results.report.read_text(encoding="utf-8")
    assert said[-1].endswith(str(plan.results.report))
    assert not re.search(r'(src|href)="https?://[^"]*\.(js|css|png|woff2?)', page)
    assert f'href="{plan.results.explorer.name}"' in page
    for variant in plan.variants:
        assert variant in page


def test_every_run_left_its_products(clone):
    plan, _ = clone
    assert [path for path in plan.products() if not Path(path).exists()] == []
    for variant, seed in plan.runs:
        run = plan.results.run(variant, seed)
        assert run.history.exists() and run.runtime.exists() and not run.resume.exists()


def test_the_manifest_says_where_everything_comes_from(clone):
    plan, _ = clone
    entries = json.loads(plan.results.manifest.read_text())["entries"]
    names = {f"03_train_{v}_seed{s}" for v, s in plan.runs} | {"01_prepare_data", "05_figures"}
    assert names <= set(entries)
    trained = entries["03_train_cra_seed2024"]
    assert trained["seed"] == 2024 and trained["exit_state"] == "ok"
    assert any(path.endswith("model.safetensors") for path in trained["outputs"])
    assert trained["inputs"] and trained["versions"]["torch"]


def test_pages_of_the_notebooks_fetch_nothing(clone):
    plan, _ = clone
    pages = sorted(plan.results.notebooks.glob("*.html"))
    assert len(pages) == 4 + 2 * len(plan.runs)
    for page in pages:
        assert not re.search(r'<(script|link)[^>]*(src|href)="http', page.read_text())


def test_nothing_is_left_to_do(clone):
    plan, _ = clone
    said: list[str] = []
    assert run_plan(plan, said.append) == 0
    assert said[-1].startswith("Nothing to do")


RAW_TEX = r"""
const raw = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const node = walk.currentNode;
  if (node.parentElement.closest('script, style, code, pre, annotation')) continue;
  const found = node.textContent.match(/\$[^$\n]{1,80}\$|\\(frac|sum|math|hat|text|tilde|cdot)/);
  if (found) raw.push(node.textContent.slice(0, 80));
}
return raw"""
LINKS = """
return [...document.querySelectorAll('a[href], img[src]')]
  .map((part) => part.getAttribute('href') ?? part.getAttribute('src'))"""


def test_pages_are_whole_on_a_telephone_wherever_they_lie(clone, narrow, wider_than_page, tmp_path):
    """Report, explorer and notebooks, in a folder moved elsewhere: nothing cut, raw or dead."""
    plan, _ = clone
    moved = tmp_path / "moved" / "here"
    shutil.copytree(plan.results.root, moved, ignore=shutil.ignore_patterns("runs", ".workflow"))
    pages = [*moved.glob("*.html"), *moved.glob("notebooks/*.html")]
    assert len(pages) >= 7
    for page in pages:
        narrow.get(page.as_uri())
        assert wider_than_page() == [], page.name
        assert narrow.execute_script(RAW_TEX) == [], page.name
        named = {part for part in narrow.execute_script("return [...document.querySelectorAll("
                 "'[id]')].map((part) => part.id)")}  # fmt: skip
        for link in narrow.execute_script(LINKS):
            address, _, anchor = link.partition("#")
            if address.startswith(("data:", "https://", "http://")):
                continue
            target = page.parent / unquote(address) if address else page
            is_there = target.exists() and (address or not anchor or unquote(anchor) in named)
            assert is_there or page.name == "explorer.html" and anchor, f"{page.name}: {link}"
    narrow.get_log("browser")  # the explorer's videos have not moved along, and it says so


def test_an_experiment_leaves_the_table_alone(clone, monkeypatch):
    """The README's own experiment: a folder and a row beside the table, nothing to make again."""
    from typer.testing import CliRunner

    from cra_lib.cli import app
    from cra_lib.reporting.tables import read_scores

    plan, _ = clone
    before = read_scores(plan.results)
    words = ["train", "shapes", "--variant", "no-causal", "--set", "model.heads=4"]
    done = CliRunner().invoke(app, [*words, "--max-steps", "2"])
    assert done.exit_code == 0, done.output
    name = "no-causal@model.heads=4,train.max_steps=2"
    after = read_scores(plan.results)
    assert set(after["variant"]) == {*before["variant"], name}
    assert after[after["variant"] != name].reset_index(drop=True).equals(before)
    assert dict(waiting_jobs(plan, plan.save())) == {"figures": 1, "report": 1}
    assert plan.not_as_planned() == []


def test_one_byte_of_a_real_run_is_noticed(clone):
    plan, _ = clone
    run = plan.results.run("cra", 2024)
    kept = [
        run.weights, run.config, run.history, run.root / "config.json", run.scores("test"),
        run.predictions("val"), plan.data.features("shapes-clip", "test"),
        plan.data.visual_confounders, next((plan.data.root / "videos").glob("*.mp4")),
        plan.results.data_card, next(plan.results.figures.glob("*.png")),
    ]  # fmt: skip
    for path in kept:
        good = path.read_bytes()
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 1
        path.write_bytes(bad)
        assert any(path.name in r for _, reasons in plan.not_as_planned() for r in reasons), path
        path.write_bytes(good)
    assert plan.not_as_planned() == []


def test_asking_gives_the_answers_of_the_prediction_file(clone):
    plan, _ = clone
    run = plan.results.run("cra", 2024)
    questions = {question.key: question for question in read_questions(plan.data.questions("test"))}
    written = {row.key: row for row in read_predictions(run.predictions("test"))}
    video_id = next(iter(questions.values())).video_id
    asked = [question for question in questions.values() if question.video_id == video_id]
    session = VideoSession.open(plan.data.video(video_id), run.root)
    answers = session.ask_all([(question.text, question.choices) for question in asked])
    for question, answer in zip(asked, answers, strict=True):
        row = written[question.key]
        assert answer.probabilities == pytest.approx(row.choice_probabilities, abs=1e-5)
        assert answer.frame_weights == pytest.approx(row.frame_weights, abs=1e-5)
        assert tuple(answer.span) == pytest.approx(tuple(row.spans["post-hoc"]), abs=0.02)
