"""`cra ask`: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import json

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from cra_lib.cli import app
from cra_lib.inference.many import ask_csv
from cra_lib.inference.samples import sample_videos
from cra_lib.inference.trained import TrainedModel
from cra_lib.records import InputError

SAMPLE = sample_videos()[0]
CHOICES = ",".join(SAMPLE.choices)


def run(*words):
    return CliRunner().invoke(app, ["ask", *map(str, words)])


def test_the_demo_answers():
    shown = run("--demo")
    assert shown.exit_code == 0, shown.output
    for word in ("answer ", "evidence ", "weights ", SAMPLE.question):
        assert word in shown.output
    other = run("--demo", "what did the purple dog do").output
    assert "guessing" in other and "dog" in other


def test_json_is_one_line_and_what_is_saved_opens(tmp_path):
    done = run(SAMPLE.path, SAMPLE.question, "--choices", CHOICES, "--json", "--save", tmp_path)
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout.splitlines()[0])
    assert row["choices"] == SAMPLE.choices and row["answer"] == SAMPLE.choices[row["answer_index"]]
    saved = json.loads((tmp_path / "answer.json").read_text())
    assert saved["interval"] == row["interval"] and saved["model"] == "cra-shapes"
    assert (tmp_path / "strip.png").read_bytes()[:4] == b"\x89PNG"
    with av.open(str(tmp_path / "evidence.mp4")) as clip:
        stream = clip.streams.video[0]
        length = float(stream.duration * stream.time_base)
    start, end = row["interval"]
    assert length == pytest.approx(max(1.0, end - start), abs=0.3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Which video"),
        ((SAMPLE.path,), "Give a question"),
        (("absent.mp4", "what"), "No video at absent.mp4"),
        ((SAMPLE.path, "what", "--choices", "a,,b"), "between commas"),
        ((SAMPLE.path, "what", "--model", "./absent"), "No model folder ./absent"),
        ((SAMPLE.path, "what", "--encoder", "pixels"), "gives features 768 wide"),
        ((SAMPLE.path, "what", "--from", "99"), "not inside the video"),
        ((SAMPLE.path, " "), "question is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_it_refuses(words, message):
    done = run(*words)
    assert isinstance(done.exception, InputError) and message in str(done.exception)


def test_a_csv_is_continued(tmp_path):
    table, out = tmp_path / "asked.csv", tmp_path / "out" / "answers.jsonl"
    rows = [
        [SAMPLE.path, SAMPLE.question, *SAMPLE.choices],
        ["absent.mp4", "what", "", "", "", "", ""],
        [SAMPLE.path, SAMPLE.question, "", "", "", "", ""],
    ]
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([["video", "question", *(f"a{k}" for k in range(5))], *rows])
    model, seen = TrainedModel(), []
    done = ask_csv(table, out, model, progress=lambda *count: seen.append(count))
    assert done == (2, 1, 0) and seen[-1] == (3, 3)
    lines = {line["row"]: line for line in map(json.loads, out.read_text().splitlines())}
    assert "No video at" in lines[2]["error"]
    assert len(lines[1]["choices"]) == 5 < len(lines[3]["choices"])
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])  # killed in the middle of a line
    again = ask_csv(table, out, model)
    assert again.before > 0 and sum(again) == 3
    assert len(out.read_text().splitlines()) == 3
    assert run(table, "--save", tmp_path / "out").output.rstrip().endswith("3 from before")
    out.write_text('{"row": 9, "video": "x", "question": "y"}\n')
    with pytest.raises(InputError, match="not an answer to a row of this csv"):
        ask_csv(table, out, model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,q\n", "no column 'question'"),
        ("video,question\n,what\n", "row 1"),
        ("", "no column"),
    ],
)
def test_a_wrong_csv_is_one_sentence(text, message, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        ask_csv(tmp_path / "t.csv", tmp_path / "out.jsonl", None)


def test_flat_evidence_is_shown_for_a_second(tmp_path):
    from cra_lib.inference.evidence import write_evidence
    from cra_lib.records import Span

    shown = write_evidence(tmp_path / "e.mp4", SAMPLE.path, Span(3.0, 3.0))
    assert np.isclose(shown.end - shown.start, 1.0)
