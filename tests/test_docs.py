"""What the pages for readers promise exists: files, links, commands, options, versions."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from cra_lib import __version__
from cra_lib.cli import app
from cra_lib.evaluator.scoring import read_benchmark
from cra_lib.paths import expected_json
from cra_lib.reproduction import prose
from cra_lib.reproduction.claims import read_claims
from cra_lib.reproduction.expected import Expected, Key, read_expected
from cra_lib.reproduction.record import BEGIN, END, markdown_table, with_results

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results" / "README.md"]
COMMANDS = typer.main.get_command(app)


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_reading_order_points_at_real_files(readme):
    tour = re.findall(r"^\d+\. `(cra_lib/[\w/]+\.py)`", readme, re.M)
    assert len(tour) >= 5, "the guided tour should name the files in reading order"
    missing = [path for path in tour if not (ROOT / path).exists()]
    assert not missing, f"README names files that are gone: {missing}"


def test_the_readme_is_short(readme):
    assert len(readme.splitlines()) <= 110


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_paths_exist(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    named = re.findall(r"`((?:cra_lib|docs|notebooks|tests|workflow)/[\w./-]+\.\w+)`", text)
    missing += [path for path in named if not (ROOT / path).exists()]
    assert not missing, f"{page.name} points at {missing}"


def test_the_first_two_commands_come_first(readme):
    commands = re.findall(r"```sh\n(.*?)```", readme, re.S)[0].splitlines()
    assert commands[0].startswith("./reproduce.sh ") and commands[1].startswith(
        "./reproduce.sh test"
    )


def test_two_prediction_files_are_scored_as_the_readme_says(readme, tmp_path, monkeypatch):
    block = next(b for b in re.findall(r"```sh\n(.*?)```", readme, re.S) if "cra evaluate" in b)
    lines = block.splitlines()
    monkeypatch.chdir(tmp_path)
    for line in (line for line in lines if line.startswith("echo ")):
        subprocess.run(["bash", "-c", line], check=True)
    command = next(line for line in lines if line.startswith("cra evaluate "))
    done = CliRunner().invoke(app, shlex.split(command, comments=True)[1:])
    assert done.exit_code == 0, done.output
    assert "5553 questions" in done.output and "Written: card.html" in done.output
    with open("answers.json") as answers, open("spans.json") as spans:
        [key], [span] = json.load(answers), json.load(spans).values()
    truth = read_benchmark("nextgqa:test").truths[key]
    assert any(start <= span[0] and span[1] <= end for start, end in truth.segments)
    assert f'{{"{key}": ' in (ROOT / "docs/evaluator.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_shown_exist(page):
    """Every `cra COMMAND --option` in a code block is one that the command line has."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    for line in lines:
        words = re.sub(r"\s#.*", "", line).strip().removeprefix("$ ").split()
        if words[:1] != ["cra"] or len(words) < 2 or words[1].startswith("-"):
            continue
        command, rest = COMMANDS, words[1:]
        while rest and hasattr(command, "commands"):
            assert rest[0] in command.commands, f"{page.name}: no command {rest[0]!r} in {line!r}"
            command, rest = command.commands[rest[0]], rest[1:]
        known = {
            name for option in command.params for name in (*option.opts, *option.secondary_opts)
        }
        given = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= known | {"--help"}, f"{page.name}: {sorted(given - known)} in {line!r}"


def all_commands(command=COMMANDS):
    """The command itself and everything below it."""
    for child in getattr(command, "commands", {}).values():
        yield from all_commands(child)
    yield command


def test_help_is_shown_as_it_is_written():
    """A word in square brackets would be taken for markup and left out."""
    for command in all_commands():
        for text in (command.help, *(getattr(option, "help", "") for option in command.params)):
            eaten = re.search(r"(?<!\\)\[[a-z]", text or "")
            assert not eaten, f"{command.name}: write \\[ in {text!r}"


def test_results_table_is_the_recorded_one(readme):
    assert markdown_table(read_expected(expected_json("shapes"), "shapes")) in readme


def test_results_are_written_between_the_markers():
    page = f"before {BEGIN} old {END} after"
    key = Key("cra", "test", "Acc@QA", "post-hoc")
    recorded = Expected("shapes", "quick", {key: {"avx2": {1: 75.04, 2: 77.04}}})
    recorded.intervals[key] = [70.0, 80.0]
    written = with_results(page, recorded)
    assert written.startswith("before ") and written.endswith(" after")
    assert "| `cra` | 2 | 76.0 ± 1.4 [70.0, 80.0] | - | - | - |" in written
    assert "old" not in written


MARKED = prose.pages(ROOT)


@pytest.mark.parametrize("page", MARKED, ids=lambda p: p.name)
def test_numbers_in_texts_are_the_recorded_ones(page):
    claims = {claim.id: claim for claim in read_claims(ROOT / "results" / "claims.yaml")}
    text = page.read_text(encoding="utf-8")
    recorded = read_expected(expected_json("shapes"), "shapes")
    assert prose.filled(text, claims, recorded) == text, "run: cra claims --write"


@pytest.mark.parametrize("page", MARKED, ids=lambda p: p.name)
def test_no_comparison_is_typed(page):
    typed = prose.typed_comparisons(page.read_text(encoding="utf-8"))
    assert not typed, f"{page.name} compares outside of claims: {typed}"


@pytest.mark.parametrize("page", MARKED, ids=lambda p: p.name)
def test_no_comparison_is_without_a_claim(page):
    bare = prose.bare_comparisons(page.read_text(encoding="utf-8"))
    assert not bare, f"{page.name} compares methods and quotes no claim: {bare}"


def test_a_comparison_in_words_is_found():
    planted = (
        "A first sentence. `cra` answers more questions right than `ng+` does. And a last one."
    )
    assert prose.bare_comparisons(planted) == [
        "`cra` answers more questions right than `ng+` does."
    ]
    quoted = planted.replace("does.", "does: <!-- claim:answers -->+1.0<!-- /claim -->.")
    assert not prose.bare_comparisons(quoted)
    assert not prose.bare_comparisons(
        "`cra` and `ng+` read the same features. More on `ng+` below."
    )


@pytest.mark.parametrize("word", ["shapse", "--profil", "tset"])
def test_misspelt_words_end_before_anything_is_installed(word):
    done = subprocess.run(
        ["bash", str(ROOT / "reproduce.sh"), word], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 2 and word in done.stderr


def test_help_lists_what_the_script_does():
    script = ROOT / "reproduce.sh"
    done = subprocess.run(["bash", str(script), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    options = {o for p in COMMANDS.commands["reproduce"].params for o in p.opts if o[:2] == "--"}
    missing = [option for option in options - {"--help"} if option not in done.stdout]
    assert not missing
    accepted = re.findall(r"--[a-z-]+", script.read_text().split('case "${word%%=*}"')[1])
    assert options <= set(accepted)


def requirements() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = project["optional-dependencies"]
    wanted = project["dependencies"] + groups["full"] + groups["dev"]
    return dict(re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in wanted)


def test_conda_makes_the_interpreter_and_nothing_else():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert [re.match(r"\w+", entry)[0] for entry in conda] == ["python", "pip"]
    assert re.fullmatch(r"python=3\.1[123]", conda[0])


IMPORTED_AS = {"pytorch-lightning": "lightning", "griffelib": "mkdocstrings-python"}
"""Distribution that brings a module -> the declared one that always brings it."""
RUN_NOT_IMPORTED = {
    "ipykernel", "ipywidgets", "jupyterlab", "nbstripout", "pre-commit", "pytest-cov",
    "pytest-xdist", "ruff", "snakemake", "snakemake-executor-plugin-slurm", "tensorboard", "uv",
    "beartype", "mkdocs-material", "mkdocstrings",
}  # fmt: skip
"""Declared tools: started, or looked up by others under their name, but never imported."""


def imported_modules() -> set[str]:
    sources = [p.read_text("utf-8") for d in ("cra_lib", "tests", "scripts", "workflow")
               for p in (ROOT / d).rglob("*.py")]  # fmt: skip
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources += ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    found = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
    ours = {p.stem for d in ("workflow", "tests/stress") for p in (ROOT / d).glob("*.py")}
    ours |= {"cra_lib", "tests"}
    return {name.partition(".")[0] for name in found} - sys.stdlib_module_names - ours


def test_what_is_imported_is_declared_and_the_other_way_round():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {re.match(r"[\w.-]+", line)[0] for group in groups for line in group}
    bringers = metadata.packages_distributions()
    used = set()
    for module in imported_modules():
        names = {name.lower().replace("_", "-") for name in bringers.get(module, [module])}
        names |= {IMPORTED_AS[name] for name in names if name in IMPORTED_AS}
        assert names & declared, f"{module} is imported, but not declared in pyproject.toml"
        used |= names
    assert declared - used == RUN_NOT_IMPORTED, "declared, but nobody uses it"


def test_every_package_of_the_lock_has_hashes():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", text, flags=re.M))
    assert len(entries) > 100
    for entry in entries:
        head, *hashes = [line.strip().removesuffix(" \\") for line in entry.strip().splitlines()]
        assert hashes, f"{head} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), head


def test_a_package_with_another_hash_is_refused(tmp_path):
    """With the options of reproduce.sh, and a wheel that is made here."""
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        about = "tiny-1.0.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"
                         "Root-Is-Purelib: true\n")  # fmt: skip
        archive.writestr(f"{about}/RECORD", "tiny.py,,\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    flipped = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    script = (ROOT / "reproduce.sh").read_text()
    options = re.search(r"local one=\(-m (pip install .*?)\)", script)[1].split()
    assert "--require-hashes" in options
    for number, (value, status) in enumerate(((digest, 0), (flipped, 1))):
        lock = tmp_path / f"lock{number}"
        lock.write_text(f"tiny==1.0 --hash=sha256:{value}\n")
        command = [sys.executable, "-m", *options, "--no-index", "--find-links", str(tmp_path)]
        command += ["--target", str(tmp_path / f"made{number}"), "-r", str(lock)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        assert (tmp_path / f"made{number}" / "tiny.py").exists() == (status == 0)
    assert "hash" in done.stderr.lower()


def test_the_lock_satisfies_the_ranges():
    sys.path.insert(0, str(ROOT / "workflow"))
    try:
        from environment import satisfies
    finally:
        sys.path.pop(0)
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = dict(re.match(r"([\w.-]+)==([^ ;]+)", line).groups() for line in lines if "==" in line)
    pins = {name.replace("_", "-").lower(): version for name, version in pins.items()}
    for name, ranges in requirements().items():
        assert satisfies(pins[name.replace("_", "-").lower()], ranges), (
            f"{name} is outside {ranges}"
        )
    assert not any("://" in line for line in lines), "the lock must not name a registry"


def test_the_checklist_has_evidence_for_each_feature():
    rows = re.findall(
        r"^\| (\d+) \| (.+?) \| (.+) \|$", (ROOT / "docs/checklist.md").read_text(), re.M
    )
    assert [int(number) for number, _, _ in rows] == list(range(1, 25))
    evidence = [text for _, _, text in rows if not text.startswith("**")]
    assert len(evidence) >= 22 and all(re.search(r"\]\(|`|this page", text) for text in evidence)


def test_the_length_of_events_is_said_once_and_right():
    from cra_lib.data.shapes.world import EVENT_FRAMES, FPS

    said = "{:g} to {:g} s each".format(*(frames / FPS for frames in EVENT_FRAMES))
    assert said in (ROOT / "docs" / "shapes.md").read_text()


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == __version__ == citation["version"]
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    archive = json.loads((ROOT / ".zenodo.json").read_text())
    assert archive["version"] == __version__ and archive["license"] == project["license"]
