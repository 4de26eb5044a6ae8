"""The explorer's file: its numbers are the evaluator's, and nothing in it can act."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from cra_lib.cli import app
from cra_lib.evaluator.annotations import read_questions, read_truths
from cra_lib.evaluator.readers import load_predictions
from cra_lib.evaluator.scores import question_rows
from cra_lib.paths import ResultFiles
from cra_lib.records import InputError, Prediction, Question, Span, Truth
from cra_lib.reporting.explorer import Exploration, Method, of_results, write_explorer
from cra_lib.reporting.explorer.packing import WHOLE, pack
from cra_lib.video.writing import write_video


@pytest.fixture(scope="module")
def exploration(made_up) -> Exploration:
    return of_results("shapes", made_up.results, made_up.data)


@pytest.fixture(scope="module")
def packed(exploration) -> dict:
    return pack(exploration)


def decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def one(**changes) -> Exploration:
    """One question, one method."""
    question = Question("v", "0", "why", ("a", "b"), 1, "CW")
    truth = Truth("v_0", "v", 1, (Span(1.0, 3.0),), 8.0, "CW", 2)
    prediction = replace(Prediction("v_0", 1, (0.2, 0.8), {"given": Span(2.0, 3.0)}), **changes)
    method = Method("m", "#123456", "given", {"test": {"v_0": prediction}})
    return Exploration("one", {"test": [question]}, {"test": {"v_0": truth}}, [method])


def test_numbers_are_the_evaluators(made_up, packed):
    split = "test_ood"
    truths = read_truths(made_up.data, split)
    predictions = load_predictions([made_up.results.run("ng+", 2024).root], split).predictions
    rows = question_rows(predictions, truths, "post-hoc")
    questions, method = packed["questions"], packed["methods"][4]
    assert method["label"] == "Temp[CLIP] NG+" and method["note"] == "variant ng+, seed 2024"
    mine = np.array(questions["split"]) == questions["splits"].index(split)
    assert decoded(method["answers"], "<i2")[mine].tolist() == [row["predicted"] for row in rows]
    iop = decoded(method["iop"]["post-hoc"], "<u2")[mine]
    assert iop / WHOLE == pytest.approx([row["IoP"] for row in rows], abs=2e-5)
    assert (iop >= WHOLE / 2).tolist() == [row["grounded"] for row in rows]
    spans = decoded(method["spans"]["post-hoc"], "<f4").reshape(-1, 2)[mine]
    assert spans[:, 0] == pytest.approx([row["start"] for row in rows], abs=1e-5)


def test_curves_and_probabilities_survive_packing(made_up, packed):
    path = made_up.results.run("cra", 2024).root
    predictions = load_predictions([path], "test").predictions
    method, questions = packed["methods"][0], packed["questions"]
    assert questions["splits"][0] == "test", "the test split comes first"
    for row, prediction in enumerate(list(predictions.values())[:20]):
        scale = decoded(method["scales"], "<f4")[row]
        for name, values in (
            ("weights", prediction.frame_weights),
            ("raw", prediction.raw_weights),
        ):
            curve = decoded(method[name], "u1")[32 * row : 32 * row + 32] / 255 * scale
            assert curve == pytest.approx(values, abs=float(scale) / 255)
        chances = decoded(method["probabilities"], "<u2")[5 * row : 5 * row + 5] / WHOLE
        assert chances == pytest.approx(prediction.choice_probabilities, abs=2e-5)
        stamps = packed["times"][decoded(method["stamps"], "<u2")[row]]
        assert stamps == pytest.approx(prediction.frame_times, abs=1e-3)


def test_of_each_variant_the_smallest_seed_is_shown(made_up, tmp_path):
    files = ResultFiles(tmp_path)
    for seed in (10, 9):
        shutil.copytree(made_up.results.run("cra", 2024).root, files.run("cra", seed).root)
    [method] = of_results("shapes", files, made_up.data).methods
    assert method.note == "variant cra, seed 9"


def test_questions_without_a_prediction_stay(made_up):
    questions = {"test": read_questions(made_up.data.questions("test"))}
    truths = {"test": read_truths(made_up.data, "test")}
    key = questions["test"][3].key
    method = Method("m", "#000000", None, {"test": {key: Prediction(key, 0)}})
    packed = pack(Exploration("t", questions, truths, [method]))
    answers = decoded(packed["methods"][0]["answers"], "<i2")
    assert answers[3] == 0 and (np.delete(answers, 3) == -1).all()
    assert packed["methods"][0]["probabilities"] == "" and packed["methods"][0]["iou"] == {}


def test_weights_without_times_are_spread_over_the_video():
    packed = pack(one(frame_weights=(0.1, 0.2, 0.6, 0.1)))
    assert packed["times"] == [[1.0, 3.0, 5.0, 7.0]]
    assert packed["methods"][0]["raw"] == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choice_probabilities": (0.1, 0.2, 0.7)}, "3 choice_probabilities for 2 choices"),
        ({"spans": {"given": Span(3.0, 2.0)}}, "ends before it starts"),
        ({"frame_weights": (0.5, 0.5), "frame_times": (1.0,)}, "1 frame_times"),
        ({"frame_weights": (0.5, 0.5), "raw_weights": (1.0,)}, "1 raw_weights"),
        ({"answer": 2}, "no index of a choice"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(changes, message):
    with pytest.raises(InputError, match=message) as problem:
        pack(one(**changes))
    assert "v_0" in str(problem.value)


class Scripts(HTMLParser):
    """What a browser would run, and every attribute that could."""

    def __init__(self, text: str):
        super().__init__()
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"]
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, content):
        if self.inside:
            self.scripts[-1] += content


HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "<!--<script>",
    "@@data@@ \u2028 \" ' & javascript:alert(1)",
)


def hostile() -> Exploration:
    """Every text that comes from outside tries to act."""
    questions, truths, predictions = [], {}, {}
    for number, text in enumerate(HOSTILE):
        question = Question(f"../{text}", str(number), text, HOSTILE, 0, HOSTILE[1])
        questions.append(question)
        truths[question.key] = Truth(
            question.key, question.video_id, 0, (Span(0.0, 1.0),), 2.0, HOSTILE[1], 4
        )
        predictions[question.key] = Prediction(question.key, 1, spans={HOSTILE[1]: Span(0.0, 1.0)})
    method = Method(HOSTILE[0], "#000000", HOSTILE[1], {"test": predictions}, note=HOSTILE[1])
    return Exploration(HOSTILE[0], {"test": questions}, {"test": truths}, [method])


def test_hostile_text_stays_data(tmp_path):
    text = write_explorer(tmp_path / "explorer.html", hostile()).read_text(encoding="utf-8")
    page = Scripts(text)
    assert len(page.scripts) == 2 and not page.handlers
    assert json.loads(page.scripts[0])["questions"]["text"] == list(HOSTILE)
    assert "window.hacked" not in page.scripts[1]
    assert "script-src 'sha256-" in page.policy and "default-src 'none'" in page.policy
    assert "&lt;/script&gt;" in text.split("</title>")[0]


def test_the_page_fetches_nothing(exploration, tmp_path):
    text = write_explorer(tmp_path / "explorer.html", exploration).read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", text)
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert len(text) < 700_000, "300 questions of five methods"


def test_the_same_files_give_the_same_page(exploration, tmp_path):
    first, second = (
        write_explorer(tmp_path / name, exploration).read_bytes() for name in ("a.html", "b.html")
    )
    assert first == second


def test_frames_are_kept_beside_the_page(made_up, tmp_path):
    video = tmp_path / "videos" / "deep" / "testv00.mp4"
    video.parent.mkdir(parents=True)
    write_video(video, np.full((16, 32, 48, 3), 200, np.uint8), fps=4)
    broken = video.with_name("testv01.mp4")
    broken.write_text("<html>")
    said: list[str] = []
    exploration = of_results(
        "shapes", made_up.results, made_up.data, {"testv00": video, "testv01": broken}
    )
    page = tmp_path / "out" / "explorer.html"
    write_explorer(page, exploration, strips=True, say=said.append)
    document = json.loads(Scripts(page.read_text(encoding="utf-8")).scripts[0])
    assert document["addresses"][:3] == ["../videos/deep/testv00.mp4", *document["addresses"][1:3]]
    assert document["addresses"][2] == "" and document["strips"][1:3] == ["", ""]
    strip = page.parent / document["strips"][0]
    assert strip.read_bytes()[:2] == b"\xff\xd8" and "testv01" in said[0]
    made = strip.stat().st_mtime_ns
    write_explorer(page, exploration, strips=True)
    assert strip.stat().st_mtime_ns == made, "made once"


def cra(*words: str):
    return CliRunner().invoke(app, ["explore", *map(str, words)])


def test_the_command_explores_the_runs_of_a_dataset(made_up, tmp_path):
    page = tmp_path / "page.html"
    words = ("--results", made_up.results.root, "--data", made_up.data.root, "--out", page)
    assert cra(*words).exit_code == 0
    document = json.loads(Scripts(page.read_text(encoding="utf-8")).scripts[0])
    assert document["title"] == "CRA on shapes" and document["report"] == "report.html"
    assert len(document["methods"]) == 5


def test_the_command_explores_anybodys_files(made_up, tmp_path):
    """Answers and weights from two files of one method; a run's folder as the other."""
    truths = read_truths(made_up.data, "test")
    (tmp_path / "answers.json").write_text(json.dumps(dict.fromkeys(truths, 0)))
    (tmp_path / "weights.json").write_text(json.dumps(dict.fromkeys(truths, [0.1] * 31 + [0.9])))
    theirs = f"theirs={tmp_path / 'answers.json'},{tmp_path / 'weights.json'}"
    page = tmp_path / "page.html"
    words = ("--truth", made_up.data.root, "--split", "test", "--out", page)
    run = made_up.results.run("no-causal", 2024).root
    assert cra(theirs, run, *words).exit_code == 0
    document = json.loads(Scripts(page.read_text(encoding="utf-8")).scripts[0])
    assert [m["label"] for m in document["methods"]] == ["theirs", "CRA without ECI"]
    assert {"post-hoc", "windows"} <= set(document["methods"][0]["spans"])
    assert document["report"] == ""


def test_misuse_is_one_sentence(made_up, tmp_path):
    run = made_up.results.run("cra", 2024).root
    truth = ("--truth", made_up.data.root, "--split", "test")
    cases = [
        ((run,), "explored with --truth"),
        ((run, run, *truth), "Two methods are named 'cra'"),
        (("a=", *truth), "No file in 'a='"),
        ((run, *truth, "--videos", tmp_path / "none"), "No folder of videos"),
        (("--dataset", "shapse"), "Unknown dataset 'shapse'"),
        (("--results", tmp_path, "--data", made_up.data.root), "No run below"),
    ]
    for words, message in cases:
        problem = cra(*words).exception
        assert isinstance(problem, InputError) and message in str(problem)
    assert not list(tmp_path.glob("*.html"))
