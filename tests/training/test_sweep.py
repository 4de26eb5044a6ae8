"""Many runs from one call: what is finished is skipped, what does not fit is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cra_lib.cli import app
from cra_lib.cli.training import parse_seeds
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.video_scores import read_video_scores
from cra_lib.paths import ResultFiles
from cra_lib.records import InputError
from cra_lib.training.sweep import Job, is_finished, run_job, sweep


@pytest.fixture(scope="module")
def job(world, tmp_path_factory) -> Job:
    """A finished run of one epoch."""
    results = ResultFiles(tmp_path_factory.mktemp("sweep"))
    config = world.config(train={"epochs": 1})
    one = Job(config, world.data, results.run("cra", 7), ("val",))
    assert not is_finished(one)
    run_job(one)
    return one


def test_a_finished_run_is_complete_and_skipped(job):
    assert is_finished(job)
    said: list[str] = []
    assert sweep([job], workers=1, log=said.append) == {} and said == ["0 runs to do"]


def test_scores_by_video_add_up_to_the_scores(job):
    report = json.loads(job.run.scores("val").read_text())
    found = read_video_scores(job.run.video_scores("val"))
    expected = [report["rules"]["post-hoc"][name] for name in METRICS]
    np.testing.assert_allclose(found.means, expected, rtol=1e-4)
    assert found.questions.sum() == report["header"]["questions"]


def test_missing_scores_are_made_without_training_again(job):
    before = job.run.weights.stat().st_mtime_ns
    job.run.scores("val").unlink()
    assert not is_finished(job)
    run_job(job)
    assert is_finished(job) and job.run.weights.stat().st_mtime_ns == before


def test_the_instruction_set_is_written_down_and_another_one_refused(job):
    runtime = json.loads(job.run.runtime.read_text())
    assert runtime["instruction_set"]
    try:
        job.run.runtime.write_text(json.dumps(runtime | {"instruction_set": "sse"}))
        with pytest.raises(InputError, match="made with sse instructions, and this is"):
            is_finished(job)
    finally:
        job.run.runtime.write_text(json.dumps(runtime))


def test_other_settings_are_refused(job, world):
    other = job._replace(config=world.config(train={"epochs": 2}))
    with pytest.raises(InputError, match=r"train\.epochs = 1, not 2; choose another results"):
        is_finished(other)


@pytest.mark.parametrize("text", ["1-b", "", "a", "-3", "4,x"])
def test_bad_seeds_are_one_sentence(text):
    with pytest.raises(InputError, match="--seeds takes numbers and ranges"):
        parse_seeds(text)


def test_an_unknown_variant_ends_before_anything_runs(tmp_path):
    done = CliRunner().invoke(
        app, ["sweep", "shapes", "--variants", "crra", "--results", str(tmp_path)]
    )
    assert isinstance(done.exception, InputError) and "did you mean 'cra'" in str(done.exception)
    assert not list(tmp_path.iterdir())
