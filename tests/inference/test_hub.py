"""A model by its name on the hub, of which the tests have the cache alone and no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import filter_repo_objects

from cra_lib.inference.samples import sample_videos
from cra_lib.inference.trained import TrainedModel
from cra_lib.model.saving import CARD, CONFIG, KNOWN_FILES, SHIPPED, WEIGHTS, model_folder
from cra_lib.records import InputError

NAME = "somebody/cra-small"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def home(tmp_path) -> Path:
    """A home of the hub's library whose cache holds the shipped model under another's name."""
    repository = tmp_path / "hub" / repo_folder_name(repo_id=NAME, repo_type="model")
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in (WEIGHTS, CONFIG, CARD, *KNOWN_FILES):
        shutil.copy(SHIPPED / "cra-shapes" / name, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return tmp_path


@pytest.fixture
def cached(home, monkeypatch) -> Path:
    """The snapshot, in the cache of this process."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return model_folder(NAME)


def test_a_question_is_answered_by_a_model_named_on_the_hub(home):
    video, question, choices = sample_videos()[0]
    said = {}
    for name in (NAME, "cra-shapes"):
        command = [sys.executable, "-m", "cra_lib", "ask", str(video), question, "--json"]
        command += ["--choices", ",".join(choices), "--model", name]
        place = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
        kept = {key: value for key, value in os.environ.items() if key != "HF_HUB_CACHE"}
        done = subprocess.run(command, capture_output=True, text=True, env=kept | place)
        assert (done.returncode, done.stderr) == (0, "")
        said[name] = json.loads(done.stdout)
        assert said[name].pop("model") == name
    assert said[NAME] == said["cra-shapes"]


def test_it_is_called_by_its_name_and_not_by_its_commit(cached):
    assert cached.name == COMMIT
    model = TrainedModel(NAME)
    assert model.title == NAME and model.known is not None and model.familiar is not None


def test_a_name_that_is_not_in_the_cache_is_one_sentence(cached):
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE is set.*`hf download somebody/none`"):
        TrainedModel("somebody/none")
    with pytest.raises(InputError, match="No model folder some body/none"):
        TrainedModel("some body/none")


def test_a_repository_of_something_else_is_one_sentence(cached):
    (cached / CONFIG).write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="not a model of this library"):
        TrainedModel(NAME)
    (cached / CONFIG).unlink()
    with pytest.raises(InputError, match="Model configuration"):
        TrainedModel(NAME)


def test_of_a_repository_only_a_model_s_own_files_are_fetched(home, monkeypatch):
    files = [WEIGHTS, CONFIG, CARD, *KNOWN_FILES, "language_model/model.safetensors"]
    others = ["last/model.safetensors", "modeling.py", "predictions_test.jsonl"]
    fetched = []

    def fetch(name, allow_patterns):
        fetched.extend(filter_repo_objects([*files, *others], allow_patterns=allow_patterns))
        return str(home)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert model_folder(NAME) == home
    assert fetched == files
