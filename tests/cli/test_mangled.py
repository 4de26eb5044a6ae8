"""Predictions as they really arrive: each mistake is named with its file and a remedy, or noted."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import warnings
import zipfile

import numpy as np
import pytest

from cra_lib.evaluator.scoring import score_files
from cra_lib.records import InputError

FILES = ("answers.json", "spans.json", "weights.json", "lines.jsonl", "table.csv")


def _zip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.json", content)
    return buffer.getvalue()


def _npy(content: bytes) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


READ = {
    "byte order mark": lambda b: b"\xef\xbb\xbf" + b,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "windows line ends": lambda b: b.replace(b"\n", b"\r\n"),
    "blank lines at the end": lambda b: b + b"\n\n",
}
REFUSED = {
    "utf-16": (lambda b: b.decode().encode("utf-16"), "UTF-16"),
    "utf-16 without mark": (lambda b: b.decode().encode("utf-16-le"), "UTF-16"),
    "utf-32": (lambda b: b.decode().encode("utf-32"), "UTF-16 or UTF-32"),
    "latin-1": (lambda b: b.replace(b"0_0", "é".encode("latin-1"), 1), "not UTF-8 text (byte 0xe9"),
    "gzip cut short": (lambda b: gzip.compress(b)[:-12], "damaged or cut short"),
    "xz cut short": (lambda b: lzma.compress(b)[:-12], "damaged or cut short"),
    "bz2 damaged": (lambda b: bz2.compress(b)[:20] + b"\x00" * 40, "damaged or cut short"),
    "zip": (_zip, "a zip archive"),
    "pickle": (lambda b: pickle.dumps({"a": b}), "a pickle"),
    "numpy": (_npy, "a numpy file"),
    "binary": (lambda b: b[:40] + b"\x00\x01\x02" * 9, "a binary file"),
    "empty": (lambda b: b"", "the file is empty"),
    "blank": (lambda b: b" \n ", "the file is empty"),
    "html": (lambda b: b"<html><body>404</body></html>", "table.csv"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", READ)
def test_text_is_read_however_it_is_packed(benchmark_files, name, how):
    path = benchmark_files.root / name
    expected = score_files([path], benchmark_files.truth, "val").report
    path.write_bytes(READ[how](path.read_bytes()))
    assert score_files([path], benchmark_files.truth, "val").report == expected


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", REFUSED)
def test_other_encodings_are_named(benchmark_files, name, how):
    path = benchmark_files.root / name
    mangle, message = REFUSED[how]
    path.write_bytes(mangle(path.read_bytes()))
    with pytest.raises(InputError) as refusal:
        score_files([path], benchmark_files.truth, "val")
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
    assert message in str(refusal.value) or how == "html"


def _mutants(content: bytes, seed: int):
    """Cuts, flipped bytes, repeated and swapped pieces of a file."""
    generator = random.Random(seed)
    for _ in range(8):
        yield content[: generator.randrange(len(content))]
    for _ in range(14):
        place = generator.randrange(len(content))
        yield content[:place] + bytes([generator.randrange(256)]) + content[place + 1 :]
    for _ in range(6):
        first, last = sorted(generator.randrange(len(content)) for _ in range(2))
        yield content[:last] + content[first:]
        yield content[:first] + content[last:]
    for swap in ("18.5 NaN", "18.5 1e999", ", ;", "\" '", "0_1 0_0", "_ -", "12.0 [12.0]", "1 1_0"):
        yield content.replace(*(word.encode() for word in swap.split(" ")))


@pytest.mark.parametrize("name", FILES)
def test_no_damage_gets_past_the_evaluator_as_a_traceback(benchmark_files, name):
    whole = (benchmark_files.root / name).read_bytes()
    tried = refused = 0
    for number, content in enumerate(_mutants(whole, seed=len(name))):
        path = benchmark_files.root / f"mutant{number}{name[name.index('.') :]}"
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                report = score_files([path], benchmark_files.truth, "val").report
                json.dumps(report, allow_nan=False)
            except InputError as refusal:
                refused += 1
                assert str(path) in str(refusal) and "\n" not in str(refusal), str(refusal)
        tried += 1
    assert tried >= 42 and refused >= 20


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".txt", ""])
def test_a_wrong_ending_is_one_sentence(benchmark_files, name, suffix):
    path = benchmark_files.root / f"other{suffix}"
    path.write_bytes((benchmark_files.root / name).read_bytes())
    try:
        score_files([path], benchmark_files.truth, "val")
    except InputError as refusal:
        assert str(path) in str(refusal)
        return
    assert suffix == name[name.index(".") :] or (suffix in ("", ".txt") and name.endswith("json"))


def table(*rows: str) -> str:
    return "".join(f"{row}\n" for row in rows)


BAD_TABLES = {
    "column twice": (table("key,prediction,prediction", "0_0,1,1"), "column 'prediction' is there"),
    "misnamed": (table("key,pred", "0_0,1"), "unknown column 'pred'; rename it to 'prediction'"),
    "misspelt": (table("key,strat,end", "0_0,1,2"), "unknown column 'strat'; rename it to 'start'"),
    "short row": (table("key,prediction", "0_0,1", "0_1"), "row 3: expected 2 fields, got 1"),
    "long row": (table("key,prediction", "0_0,1,2"), "row 2: expected 2 fields, got 3"),
    "underscore": (table("key,prediction", "0_0,1_0"), "'prediction' should be the index of a"),
    "other digits": (table("key,start,end", "0_0,1,٣"), "'end' should be a finite number, got '٣'"),
    "nothing to score": (table("key,type", "0_0,CW"), 'no column "prediction", "start" or "end"'),
}


@pytest.mark.parametrize(("text", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_tables_are_read_strictly(command, benchmark_files, text, message):
    path = benchmark_files.root / "bad.csv"
    path.write_text(text, encoding="utf-8")
    result = command("evaluate", path, "--truth", benchmark_files.truth, "--split", "val")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"cra: {path}") and message in result.err


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_read(benchmark_files, separator):
    path = benchmark_files.root / "table.csv"
    expected = score_files([path], benchmark_files.truth, "val").report
    path.write_text(path.read_text().replace(",", separator))
    assert score_files([path], benchmark_files.truth, "val").report == expected


@pytest.fixture
def evaluate(command, benchmark_files):
    """`cra evaluate` on contents by file name; gives exit code, output and errors."""

    def run(contents, *options, split="val"):
        paths = []
        for name, content in contents.items():
            paths.append(benchmark_files.root / name)
            text = content if isinstance(content, str) else json.dumps(content)
            paths[-1].write_text(text)
        return command("evaluate", *paths, "--truth", benchmark_files.truth, "--split", split,
                       *options)  # fmt: skip

    return run


def test_missing_answers_are_counted_and_said(evaluate, benchmark_files):
    content = benchmark_files.content
    some = dict(list(content["answers.json"].items())[:27])
    result = evaluate({"a.json": some, "s.json": content["spans.json"]}, "--json", "/dev/null")
    assert result.code == 0
    assert "a.json: no answer for 3 of 30 questions (first: '9_0'); they count as" in result.err
    row = next(line for line in result.out.splitlines() if line.startswith("given"))
    assert row.split()[-2:] == ["30", "3"], "skipped counts them"
    result = evaluate({"a.json": content["answers.json"], "s.json": {"0_0": [1, 2]}}, "--official")
    assert "s.json: no interval for 29 of 30 questions" in result.err
    assert "they are left out" in result.err


def test_a_file_of_another_split_is_refused_whatever_the_others_are(evaluate, benchmark_files):
    other = {f"{n}_0": [1.0, 2.0] for n in range(10, 20)}
    result = evaluate({"a.json": benchmark_files.content["answers.json"], "s.json": other})
    assert result.code == 2 and "s.json: none of the 10 predictions" in result.err
    lines = [{"key": k, "answer": 0} for k in benchmark_files.keys]
    lines += [{"key": k, "spans": {"merged": s}} for k, s in other.items()]
    result = evaluate({"mixed.jsonl": "\n".join(map(json.dumps, lines))})
    assert result.code == 2 and "mixed.jsonl: none of the 10 predictions (first" in result.err


UNITS = {
    "seconds as fractions": ([12.0, 18.5], ["--fractions"], "leave out --fractions"),
    "fractions as seconds": ([0.3, 0.5], [], "add --fractions"),
    "milliseconds": ([12000, 18500], [], "look like milliseconds: convert them to seconds"),
    "frame numbers": ([360, 555], [], "look like frame numbers: convert them to seconds"),
}


@pytest.mark.parametrize(("span", "options", "message"), UNITS.values(), ids=UNITS)
def test_units_that_cannot_be_meant_are_noted(evaluate, benchmark_files, span, options, message):
    result = evaluate({"s.json": dict.fromkeys(benchmark_files.keys, span)}, *options)
    assert result.code == 0 and message in result.err and "s.json" in result.err


def test_answers_counted_from_one(evaluate, benchmark_files):
    keys = benchmark_files.keys
    result = evaluate({"a.json": {key: 1 + n % 5 for n, key in enumerate(keys)}})
    assert result.code == 2
    assert "a.json, key '1_1': answer 5 is no index of a choice (0 to 4)" in result.err
    assert "counted from 1? Subtract 1" in result.err
    result = evaluate({"a.json": {key: 1 + n % 4 for n, key in enumerate(keys)}})
    assert result.code == 0 and "a.json: none of 30 answers is 0" in result.err


NAMED = {
    "31 weights everywhere": (dict.fromkeys(("0_0", "0_1"), [0.1] * 31), "key '0_0': expected 32"),
    "answer of five": ({"0_0": 0, "0_1": 5}, "w.json, key '0_1': answer 5 is no index"),
    "reversed": ({"0_0": [1, 2], "0_1": [9, 3]}, "json, key '0_1': the given interval [9.0"),
    "field twice": ('{"0_0": {"prediction": 1, "prediction": 2}}', "w.json: key 'prediction' is"),
    "one text in many numbers": ({"0_0": [0.1] * 31 + ["x"]}, "w.json, key '0_0': expected a list"),
    "a list": ("[1, 2]", "w.json: expected a JSON object"),
    "two objects": ('{"0_0": 1}\n{"0_1": 1}', "one object a file; objects on lines"),
    "csv as json": ("key,prediction\n0_0,1\n", "w.json: not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), NAMED.values(), ids=NAMED)
def test_messages_name_the_file(evaluate, content, message):
    result = evaluate({"w.json": content})
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err


def test_a_field_twice_in_a_line_is_refused(evaluate):
    result = evaluate({"l.jsonl": '{"key": "0_0", "answer": 1, "answer": 2}\n'})
    assert result.code == 2 and "l.jsonl, line 1: key 'answer' is given twice" in result.err


def test_the_same_kind_twice_names_both_files(evaluate, benchmark_files):
    spans = benchmark_files.content["spans.json"]
    result = evaluate({"s.json": spans, "t.json": spans})
    assert result.code == 2 and "s.json and " in result.err and "t.json: both give" in result.err


def test_enormous_weights_need_no_warning(evaluate, benchmark_files):
    weights = {key: [1e308] * 16 + [-1e308] * 16 for key in benchmark_files.keys}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate({"w.json": weights})
    assert result.code == 0 and result.err == ""


def test_subset_and_published_rows_of_another_encoding(command, evaluate, benchmark_files):
    odd = benchmark_files.root / "odd.txt"
    odd.write_bytes("é".encode("latin-1"))
    result = evaluate({"s.json": {"0_0": [1, 2]}}, "--subset", odd)
    assert result.code == 2 and f"{odd}: not UTF-8 text" in result.err
    result = command("leaderboard", "--published", odd)
    assert result.code == 2 and f"{odd}: not UTF-8 text" in result.err


def test_a_file_without_read_permission_says_so(evaluate, benchmark_files, monkeypatch):
    path = benchmark_files.root / "s.json"
    opened = open

    def refuse(name, *arguments, **options):
        if str(name) == str(path) and arguments == ("rb",):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(name, *arguments, **options)

    monkeypatch.setattr("builtins.open", refuse)
    result = evaluate({"s.json": {"0_0": [1, 2]}})
    assert result.code == 2 and "cannot be read (permission denied)" in result.err
    assert "half-written" not in result.err


def test_compare_takes_spaces_and_recommends_what_it_has(command, benchmark_files):
    root, where = benchmark_files.root, ["--truth", benchmark_files.truth, "--split", "val"]
    pair = f"{root / 'answers.json'}, {root / 'spans.json'}"
    result = command("compare", pair, root / "lines.jsonl", *where)
    assert result.code == 0 and "Acc@GQA" in result.out
    (root / "spans.json").write_text(json.dumps({"0_0": [9, 3]}))
    result = command("compare", pair, root / "lines.jsonl", *where)
    assert result.code == 2 and "ends before it starts; correct it." in result.err
    assert "--official" not in result.err


def test_the_truth_names_its_split(command, benchmark_files, monkeypatch):
    path = benchmark_files.root / "lines.jsonl"
    result = command("evaluate", path, "--truth", f"{benchmark_files.truth}:val")
    assert result.code == 0 and result.out.startswith("split val; rules merged; 30 questions")
    result = command("evaluate", path, "--truth", benchmark_files.truth)
    assert result.code == 2 and "Which split is scored? there are: test, val" in result.err.replace(
        "; there", " there"
    )
    result = command("evaluate", path, "--truth", f"{benchmark_files.truth}:val", "--split", "test")
    assert result.code == 2 and "name two splits" in result.err
    result = command("evaluate", path, "--truth", "nextgqa:tets")
    assert (
        result.code == 2
        and "No split 'tets' to score in nextgqa; there are: test, val" in result.err
    )
    result = command("evaluate", path, "--truth", benchmark_files.root / "nowhere")
    assert result.code == 2 and "or nextgqa." in result.err
