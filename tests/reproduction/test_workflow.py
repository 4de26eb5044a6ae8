"""The workflow on a toy: real Snakemake and real rules, notebooks that only write small files."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cra_lib.config.profiles import ANNOTATION, PROFILES, named_profile
from cra_lib.datasets import DATASETS
from cra_lib.records import InputError
from cra_lib.reproduction import fingerprint, make_plan
from cra_lib.reproduction import run as workflow
from cra_lib.reproduction.manifest import record
from cra_lib.reproduction.missing import listed, missing_inputs
from cra_lib.reproduction.run import describe, explain_failure, waiting_jobs

ROOT = Path(__file__).resolve().parents[2]

RUNNER = '''
"""Stands in for the notebook runner: executes the cells here, which takes no kernel."""
import json, time
from pathlib import Path
from cra_lib.reproduction import manifest
from cra_lib.records import InputError

class CellFailed(RuntimeError):
    exit_state, exit_code = "cell failed", 1

class KernelDied(RuntimeError):
    exit_state, exit_code = "kernel died", 4

def declared_parameters(notebook):
    return {}

def copy_name(notebook, given):
    return Path(notebook).name

def parse_parameters(notebook, words):
    return dict(word.split("=", 1) for word in words)

def run_notebook(notebook, out, parameters, *, manifest_path, inputs, outputs, html, say, expected):
    started, state, error = time.time(), "ok", None
    cells = json.loads(Path(notebook).read_text())["cells"]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("{}")
    try:
        exec("\\n".join(c["source"] for c in cells if c["cell_type"] == "code"), dict(parameters))
    except InputError as problem:
        state, error = "bad input", str(problem)
        raise
    except KernelDied as problem:
        state, error = "kernel died", str(problem)
        raise
    except Exception as problem:
        state, error = "cell failed", str(problem)
        raise CellFailed(error) from None
    finally:
        out.with_suffix(".html").write_text(f"page {time.time()}")
        manifest.record(manifest_path, out.stem, {
            "notebook": f"notebooks/{Path(notebook).name}", "executed": f"notebooks/{out.name}",
            "parameters": parameters, "seed": parameters.get("SEED"), "started": started,
            "seconds": 1.0, "exit_state": state, "error": error})
'''

HEAD = """
from pathlib import Path
from cra_lib.datasets import DATASETS
from cra_lib.paths import DataFiles, ResultFiles
data, results = DataFiles(Path(DATA_DIR) / DATASET), ResultFiles(Path(RESULTS_DIR))
def put(path, text):
    path = Path(path); path.parent.mkdir(parents=True, exist_ok=True); path.write_text(text)
with open(Path(RESULTS_DIR) / ".ran.txt", "a") as log:
    log.write(STAGE + "\\n")
"""
TRAIN = """
if False:
    import cra_lib.training, cra_lib.reporting.figures
from cra_lib.config.files import save_config
from cra_lib.reproduction.workspace import resolve_config
run = results.run(VARIANT, SEED)
run.root.mkdir(parents=True, exist_ok=True)
save_config(resolve_config(DATASET, PROFILE, VARIANT, SEED), run.root / "config.yaml")
for name in ("config.json", "history.csv", "runtime.json", "README.md"):
    put(run.root / name, VARIANT)
put(run.weights, "weights")
"""
CELLS = {
    "01_prepare_data": """
for split in DATASETS[DATASET].splits:
    put(data.questions(split), split); put(data.segments(split), split)
    put(data.features("shapes-clip", split), split)
put(data.root / "reference.json", "{}"); put(results.data_card, "{}")
""",
    "02_sample_causal_features": """
if False:
    import cra_lib.causal
put(data.visual_confounders, "v"); put(data.language_confounders, "l")
put(results.confounders_card, "{}")
""",
    "03_train": TRAIN,
    "04_evaluate": """
run = results.run(VARIANT, SEED)
for split in DATASETS[DATASET].evaluated:
    put(run.predictions(split), "p"); put(run.scores(split), "{}")
""",
    "05_figures": """
if False:
    import cra_lib.reporting.figures, cra_lib.reporting.tables
""",
    "06_ask_a_video": "",
}
REPORT = '''
"""Toy report."""
def write_report(dataset, results):
    with open(results.root / ".ran.txt", "a") as log:
        log.write("report\\n")
    results.report.write_text("report")
    return results.report
'''
EXPLORER = '''
"""Toy explorer."""
def of_results(dataset, results, data, videos):
    return None
def write_explorer(path, exploration, **options):
    path.write_text("explorer")
    return path
'''


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of code cells, the first tagged as its parameters."""
    content = [
        {
            "cell_type": "code",
            "id": f"cell{number}",
            "metadata": {"tags": ["parameters"]} if number == 0 else {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(cells)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"cells": content, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )


class Toy:
    """A clone in miniature: the real package and Snakefile, toy notebooks, its own results."""

    def __init__(self, root: Path):
        self.root = root
        self.results = root / "results" / "shapes"
        ignore = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / "cra_lib", root / "cra_lib", ignore=ignore)
        shutil.copytree(ROOT / "workflow", root / "workflow", ignore=ignore)
        for name, cell in CELLS.items():
            self.write(name, cell)
        (root / "cra_lib" / "reproduction" / "notebook.py").write_text(RUNNER)
        (root / "cra_lib" / "reporting" / "report.py").write_text(REPORT)
        (root / "cra_lib" / "reporting" / "explorer" / "__init__.py").write_text(EXPLORER)

    def write(self, name: str, cell: str) -> None:
        notebook = self.root / "notebooks" / f"{name}.ipynb"
        write_notebook(notebook, f"STAGE = {name[3:]!r}", HEAD, cell)

    def command(self, *arguments: str) -> list[str]:
        start = [sys.executable, "-m", "cra_lib", "reproduce", "--variants", "cra,ng+"]
        return [*start, "--cores", "2", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"CRA_ROOT": str(self.root), "PYTHONPATH": str(self.root)}

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Run the pipeline; its console."""
        command = self.command(*arguments)
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def stale(self, variants: str = "cra,ng+") -> dict[str, int]:
        """Stage -> jobs that the next run would do."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CRA_ROOT", str(self.root))
            fingerprint._file_digest.cache_clear()
            fingerprint._imports_of_file.cache_clear()
            plan = make_plan(variants=variants, cores=2)
            return dict(waiting_jobs(plan, plan.save()))

    def ran(self) -> list[str]:
        """Stages that ran since the last call."""
        log = self.results / ".ran.txt"
        lines = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    @contextmanager
    def with_change(self, name: str, change: Callable[[str], str]) -> Iterator[None]:
        """A file with another text, for a while."""
        path = self.root / name
        before = path.read_text()
        path.write_text(change(before))
        try:
            yield
        finally:
            path.write_text(before)

    def with_line(self, name: str, line: str) -> AbstractContextManager[None]:
        """A file with one more line, for a while."""
        return self.with_change(name, lambda before: f"{before}{line}\n")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Toy:
    """A toy whose pipeline has run once."""
    toy = Toy(tmp_path_factory.mktemp("clone"))
    console = toy.run()
    assert re.search(r"train +2 +2 ", console) and "Report:" in console
    assert sorted(toy.ran()) == [
        "ask_a_video", "evaluate", "evaluate", "figures", "prepare_data", "report",
        "sample_causal_features", "train", "train",
    ]  # fmt: skip
    return toy


AFTER_TRAINING = {"train": 2, "evaluate": 2, "ask": 1, "figures": 1, "report": 1}


def test_second_run_does_nothing_even_if_all_files_are_touched(toy):
    for path in sorted(toy.root.rglob("*")):
        if path.is_file() and ".workflow" not in path.parts:
            os.utime(path)
    assert "Nothing to do" in toy.run()
    assert toy.ran() == []


def test_a_changed_figure_redraws_and_does_not_retrain(toy):
    with toy.with_line("cra_lib/reporting/figures/style.py", "CHANGED = True"):
        assert toy.stale() == {"figures": 1, "report": 1}


def test_a_changed_model_retrains_but_a_remark_does_not(toy):
    module = "cra_lib/model/grounding.py"
    with toy.with_line(module, "CHANGED = True"):
        assert toy.stale() == AFTER_TRAINING
    with toy.with_line(module, "# A remark."):
        assert toy.stale() == {}


def test_changed_settings_rerun_what_depends_on_them(toy):
    def clip_harder(text: str) -> str:
        profile = yaml.safe_load(text)
        profile["settings"]["train"]["clip_norm"] = 0.125
        return yaml.safe_dump(profile)

    with toy.with_change("workflow/profiles/shapes-quick.yaml", clip_harder):
        assert toy.stale() == AFTER_TRAINING


def test_a_new_variant_trains_alone(toy):
    assert toy.stale("cra,ng+,no-cma") == {"train": 1, "evaluate": 1, "figures": 1, "report": 1}


def test_changed_data_reruns_its_readers(toy):
    with toy.with_line("data/shapes/causal_feature/visual.safetensors", "other"):
        assert toy.stale() == AFTER_TRAINING


def test_missing_product_is_made_again(toy):
    (toy.results / "runs" / "cra" / "seed2024" / "scores_test.json").unlink()
    assert "Report:" in toy.run()
    assert sorted(toy.ran()) == ["ask_a_video", "evaluate", "figures", "report"]


def test_a_failing_notebook_is_kept_and_its_error_repeated(toy):
    failing = "from cra_lib.records import InputError; raise InputError('x.csv: row 3')"
    toy.write("05_figures", failing)
    console = toy.run(expect=2)
    toy.write("05_figures", CELLS["05_figures"])
    assert "x.csv: row 3" in console and "kept:" in console
    assert (toy.results / "notebooks" / "05_figures.ipynb").exists()


def test_a_killed_run_leaves_no_lock_and_no_process(toy):
    toy.write("03_train", TRAIN + "import time; time.sleep(100)\n")
    toy.ran()
    running = subprocess.Popen(toy.command(), env=toy.environment, stdout=subprocess.DEVNULL)
    _wait_until(lambda: "train" in toy.ran())
    assert "Another run" in toy.run(expect=2)
    group = int((toy.results / ".workflow" / "group").read_text())
    running.send_signal(signal.SIGKILL)
    running.wait()
    toy.write("03_train", TRAIN)
    assert "Report:" in toy.run()
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def _wait_until(condition, seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "nothing started"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("state", "status"), [("cell failed", 1), ("bad input", 2), ("kernel died", 4)]
)
def test_exit_status_of_a_failed_notebook(state, status, tmp_path):
    plan = make_plan(results=str(tmp_path), cores=1)
    entry = {"exit_state": state, "started": 5.0, "executed": "notebooks/a.ipynb", "error": "why"}
    record(plan.results.manifest, "a", entry)
    record(plan.results.manifest, "old", {**entry, "started": 1.0, "exit_state": "cell failed"})
    said: list[str] = []
    assert explain_failure(plan, 4.0, said.append) == status
    assert "why" in said[0] and len(said) == 2


@pytest.mark.parametrize(
    ("executor", "status", "reason"),
    [("local", 1, "no rule"), ("slurm", 1, "scheduler ends"), ("local", -9, "ended by SIGKILL")],
)
def test_a_run_that_stops_without_a_word_says_what_is_known(executor, status, reason, tmp_path):
    plan = replace(make_plan(results=str(tmp_path), cores=1), executor=executor)
    plan.folder.mkdir(parents=True, exist_ok=True)
    (plan.folder / "snakemake.log").write_text("Error: no rule\n")
    said: list[str] = []
    assert explain_failure(plan, 4.0, said.append, status) == 1
    assert reason in said[0] and "snakemake.log" in said[1]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["shapse"], "Did you mean 'shapes'"),
        (["--profile", "quik"], "Did you mean 'quick'"),
        (["--variants", "crra"], "did you mean 'cra'"),
        (["--variants", ","], "--variants is empty"),
        (["--seeds", "one"], "--seeds takes numbers"),
        (["--cores", "0"], "at least 1"),
        (["--executor", "slurmm"], "pip install snakemake-executor-plugin-slurmm"),
    ],
)
def test_bad_words_are_refused(repository, arguments, hint, capsys, monkeypatch, tmp_path):
    from cra_lib import cli

    monkeypatch.setattr(sys, "argv", ["cra", "reproduce", "--results", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert hint in capsys.readouterr().err


def test_all_that_is_missing_is_listed_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    words = {"data": str(tmp_path), "results": str(tmp_path / "r"), "cores": 1}
    words["profile"] = "paper"
    plan = make_plan("nextgqa", **words)
    lines = list(listed(missing_inputs(plan)))
    text = "\n".join(lines)
    for name in ("train.csv", "video_feature/clip-vit-l14/val.h5", "model roberta-base"):
        assert f"  {name}: missing" in text
    assert "nextoe/train.csv" not in text and "MB" in text
    assert "val.csv" not in text, "the annotation comes with the package"
    assert "model microsoft/deberta-v2-xlarge: missing, 1.8 GB" in text, "frozen rows are in paper"
    frozen = "\n".join(
        listed(missing_inputs(make_plan("nextgqa", **(words | {"profile": "frozen"}))))
    )
    assert "model microsoft/deberta-v2-xlarge: missing, 1.8 GB" in frozen
    assert "model roberta-base" not in frozen
    own = make_plan("nextgqa", train_from="nextoe", **words)
    assert "  train.csv" not in "\n".join(listed(missing_inputs(own)))
    published = tmp_path / "nextgqa" / "CLIPL" / "CLIPL_I_val.h5"
    published.parent.mkdir(parents=True)
    published.write_bytes(b"features")
    assert "val.h5" not in "\n".join(listed(missing_inputs(plan)))


def test_rules_are_chosen_where_there_is_no_model(tmp_path, monkeypatch):
    monkeypatch.setattr("cra_lib.reproduction.missing.find_spec", lambda name: None)
    where = {"data": str(tmp_path), "results": str(tmp_path / "r"), "cores": 1}
    plan = make_plan("nextgqa", profile="paper", **where)
    assert plan.config("cra", 1).causal.parser == "rules"
    assert any('"parser": "rules"' in line for line in describe(plan, Counter()))


def test_a_changed_product_is_made_again(toy):
    toy.ran()  # forgets what earlier tests have run
    weights = toy.results / "runs" / "cra" / "seed2024" / "model.safetensors"
    good = weights.read_text()
    weights.write_text("weightz")
    os.utime(weights, (1, 1))  # older than everything that was made from it
    console = toy.run()
    assert "To be made again: train cra, seed 2024" in console and "Kept aside: " in console
    ran = toy.ran()
    assert ran.count("train") == 1 and {"evaluate", "figures", "report"} <= set(ran)
    assert weights.read_text() == good
    assert "Nothing to do" in toy.run()


def test_a_killed_notebook_is_named(toy):
    toy.write("03_train", TRAIN + "import os; os.kill(os.getpid(), 9)\n")
    console = toy.run(expect=4)
    toy.write("03_train", TRAIN)
    assert "03_train_cra_seed2024: its process was killed" in console
    assert "Report:" in toy.run()
    toy.ran()


def test_profiles_exist_for_every_dataset(repository):
    names = {path.stem for path in (repository / "workflow" / "profiles").glob("*.yaml")}
    wanted = {f"{dataset}-{size}" for dataset in DATASETS for size in PROFILES}
    # What is made here has its frames, always.
    assert names == wanted - {f"shapes-{ANNOTATION}"}


def test_a_model_is_trained_alike_in_every_profile_that_has_it():
    for dataset in DATASETS:
        full, frozen = (named_profile(dataset, size) for size in ("paper", "frozen"))
        assert full["settings"] == frozen["settings"]
        assert set(frozen["variants"]) <= set(full["variants"])


def test_what_takes_longest_starts_first(tmp_path):
    """Two passes a step: started last, one core would wait for it alone."""
    plan = make_plan(variants="cra,ng+,frozen-ng+", seeds="1,2", results=str(tmp_path))
    option, *files = workflow._first(plan)
    assert option == "--prioritize"
    started = {(path.parent.parent.name, path.parent.name) for path in map(Path, files)}
    assert started == {(name, f"seed{k}") for name in ("ng+", "frozen-ng+") for k in (1, 2)}
    assert workflow._first(make_plan(variants="cra", results=str(tmp_path))) == []


def test_snakefile_stays_short(repository):
    assert len((repository / "workflow" / "Snakefile").read_text().splitlines()) <= 150


def test_without_snakemake_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(workflow, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs snakemake, .* pip install 'cra-lib\[full\]'"):
        workflow.run_plan(make_plan("shapes"))
