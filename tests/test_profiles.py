"""Profiles that stand on another one."""

from __future__ import annotations

import pytest
import yaml

from cra_lib.config import run_config
from cra_lib.config.profiles import named_profile, settings_from
from cra_lib.config.variants import FROZEN
from cra_lib.records import InputError


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
