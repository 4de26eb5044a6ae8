"""A setting that a variant does not read is said to change nothing, and only such a one."""

from __future__ import annotations

import pytest

from cra_lib.config import run_config
from cra_lib.config.unused import UNREAD, unused_settings


@pytest.mark.parametrize(
    ("variant", "name", "reason"),
    [
        ("no-gsg", "model.kernel_size", "it has no Gaussian filter"),
        ("no-causal", "causal.num_confounders", "it has no causal intervention"),
        ("ng+", "model.grounding", "a baseline has no Gaussian Smoothing Grounding"),
        ("cra", "model.adapter_factor", "its backbone is not FrozenBiLM"),
        ("blind", "model.smoothing", "it sees no video"),
    ],
)
def test_it_is_said_with_the_reason(variant, name, reason):
    section, key = name.split(".")
    said = unused_settings(run_config("shapes", variant), {section: {key: 1}})
    assert said == [f"{name} changes nothing in {variant}: {reason}."]


def test_what_a_run_reads_is_not_mentioned():
    asked = {"model": {"kernel_size": 7, "norm_scale": "ones"}, "causal": {"seed": 1}}
    assert not unused_settings(run_config("shapes", "cra"), asked)
    assert not unused_settings(run_config("shapes", "no-lci"), {"causal": {"seed": 1}})
    assert not unused_settings(run_config("shapes", "frozen-cra"), {"model": {"inner_width": 8}})
    assert not unused_settings(run_config("shapes", "no-gsg"), {})


def test_every_setting_that_is_named_exists():
    content = run_config("shapes").model_dump()
    for _, names, _ in UNREAD:
        assert all(key in content[section] for section, key in (name.split(".") for name in names))
