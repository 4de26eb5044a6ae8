"""Profiles that stand on another one."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import yaml

from cra_lib.config import run_config
from cra_lib.config.profiles import named_profile, settings_from
from cra_lib.config.variants import FROZEN
from cra_lib.records import InputError
from cra_lib.reproduction import make_plan
from cra_lib.reproduction.experiments import differences
from cra_lib.reproduction.run import describe


@pytest.fixture(autouse=True)
def quick_plans(monkeypatch):
    """Digests of all code are not at stake here, and take seconds."""
    monkeypatch.setattr("cra_lib.reproduction.planning.stage_digest", lambda stage, entry: "")


def written(folder, **content):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_a_profile_says_only_what_it_changes(tmp_path):
    mine = written(tmp_path, base="quick", variants=["cra"], settings={"train": {"epochs": 3}})
    found, quick = named_profile("shapes", mine), named_profile("shapes", "quick")
    assert found["variants"] == ["cra"] and found["seeds"] == quick["seeds"]
    assert found["settings"]["train"] == quick["settings"]["train"] | {"epochs": 3}
    assert found["settings"]["model"] == quick["settings"]["model"]
    assert settings_from("shapes", mine) == mine, "it has settings of its own"


def test_the_example_of_the_docs_changes_one_idea(tmp_path, repository):
    page = (repository / "docs" / "training.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", page, re.S)
    mine = tmp_path / "mine.yaml"
    mine.write_text(example)
    assert len(example.splitlines()) == 4
    plan, quick = make_plan(profile=str(mine)), make_plan(profile="quick")
    ours, theirs = plan.config("cra", 2024), quick.config("cra", 2024)
    assert differences(ours, theirs) == {"model.kernel_size": 3}
    assert plan.variants == ("cra", "no-causal") and plan.seeds == quick.seeds
    assert plan.cost == quick.cost and plan.data_dir == quick.data_dir
    assert plan.results.root == repository / "results" / "shapes@mine"
    assert f"results/{plan.results.root.name}/report.html" in page
    assert "shapes, profile mine: cra, no-causal" in describe(plan, Counter())


def test_only_settings_of_its_own_have_results_of_their_own(tmp_path, repository):
    results = repository / "results"
    more_seeds = written(tmp_path, base="quick", seeds=[1, 2])
    assert settings_from("shapes", more_seeds) == "quick"
    assert make_plan(profile=more_seeds).results.root == results / "shapes"
    mine = written(tmp_path, base="quick", settings={"train": {"epochs": 3}})
    both = make_plan(profile=mine, settings={"model": {"heads": 4}})
    assert both.results.root == results / "shapes@mine,model.heads=4"
    elsewhere = make_plan(profile=mine, results=str(tmp_path / "r"))
    assert elsewhere.results.root == tmp_path / "r"


def test_the_file_that_the_workflow_keeps_has_the_same_settings(tmp_path):
    """The manifest of a run names that file; `check` asks it which numbers are comparable."""
    for content in ({"seeds": [7]}, {"settings": {"span": {"reach": 3}}}):
        mine = written(tmp_path, base="quick", **content)
        plan = make_plan(profile=mine, results=str(tmp_path / "r"))
        plan.save()
        expected = plan.profile_word if "settings" in content else "quick"
        assert settings_from("shapes", plan.profile_word) == expected


def test_both_backbones_of_shapes_share_their_settings():
    assert settings_from("shapes", "frozen") == "quick"
    quick, frozen = (named_profile("shapes", name)["settings"] for name in ("quick", "frozen"))
    assert quick == frozen and set(named_profile("shapes", "frozen")["variants"]) <= set(FROZEN)
    usual, other = (run_config("shapes", name, profile=quick) for name in ("cra", "frozen-cra"))
    assert usual.train.start_from != other.train.start_from == "shapes-lm"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"base": "quik"}, "No profile 'shapes-quik'"),
        ({"base": "frozen"}, "its base stands on another profile itself; name that one, 'quick'"),
        ({"base": "quick", "settings": [1]}, "expected settings by section"),
    ],
)
def test_a_wrong_base_is_one_sentence(tmp_path, content, named):
    with pytest.raises(InputError, match=named):
        named_profile("shapes", written(tmp_path, **content))
