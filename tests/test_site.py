"""The site's settings hold: its pages exist, its links lead where files are, it fetches nothing.

The strict build itself runs in .ci/run.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def settings() -> dict:
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site():
    """The module with the hooks."""
    pytest.importorskip("mkdocs", reason="the docs extra is not installed")
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "workflow" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pages(navigation: list) -> list[str]:
    """Every page that a navigation names."""
    found = []
    for entry in navigation:
        for target in entry.values():
            found += pages(target) if isinstance(target, list) else [target]
    return found


def test_every_page_of_the_navigation_exists(settings, site):
    made = {"run.md", "api/"}
    for page in set(pages(settings["nav"])) - made:
        assert site.source_of(page).is_file(), f"mkdocs.yml names {page}"


def test_every_page_is_in_the_navigation(settings):
    written = {path.name for path in ROOT.glob("docs/*.md")}
    assert written <= set(pages(settings["nav"]))


def test_the_site_is_strict_and_fetches_nothing(settings):
    assert settings["strict"] and settings["theme"]["font"] is False
    assert "extra_javascript" not in settings and "extra_css" not in settings


def test_every_module_has_its_place_in_the_api(site):
    listed = {module for modules in site.api_pages().values() for module in modules}
    files = {path for path in (ROOT / "cra_lib").rglob("*.py") if path.stem[:2] != "__"}
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}
    assert names <= listed and "cra_lib.model" in listed


@pytest.mark.parametrize(
    ("here", "markdown", "expected"),
    [
        ("README.md", "[a](docs/evaluator.md#rules)", "[a](evaluator.md#rules)"),
        ("README.md", "![a](docs/attention.png)", "![a](attention.png)"),
        ("README.md", "[a](workflow/profiles)", "[a](workflow/profiles.md)"),
        ("evaluator.md", "[a](../README.md)", "[a](README.md)"),
        ("results/README.md", "[a](../docs/data.md)", "[a](../data.md)"),
        ("README.md", "`[a](docs/data.md)` [b](https://b.org/x.md)", None),
    ],
)
def test_links_hold_on_the_site(site, here, markdown, expected):
    linked = site.LINK.sub(lambda match: site.link(match, here), markdown)
    assert linked == (expected or markdown)


def test_formulas_are_drawn_without_a_script(site):
    drawn = site.FORMULA.sub(site.formula, "costs `$HOME` and $K^2$")
    assert drawn.startswith("costs `$HOME` and <math") and "$K" not in drawn


def test_examples_of_docstrings_are_shown_as_code(site):
    shown = site.as_markdown("Half of it::\n\n    x / 2\n\n>>> half(3)\n1.5\n\nMore.")
    expected = "Half of it:\n\n    x / 2\n\n```pycon\n>>> half(3)\n1.5\n```\n\nMore."
    assert shown == expected


def test_the_forge_runs_what_must_pass_and_publishes_the_site():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    workflow = yaml.load(
        text, yaml.BaseLoader
    )  # else YAML 1.1 reads the word `on` as a truth value
    assert {"push", "pull_request", "schedule"} <= set(workflow["on"])
    steps = workflow["jobs"]["check"]["steps"]
    assert any(step.get("run") == ".ci/run" for step in steps)
    assert "./reproduce.sh docs" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    [uploaded] = [s for s in steps if s.get("uses", "").startswith("actions/upload-pages-artifact")]
    assert uploaded["with"]["path"] == "site"
    assert workflow["jobs"]["publish"]["needs"] == "check"
