"""Several processes: on one machine, and on two under torchrun."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys

import pytest

from cra_lib.config.files import save_config
from cra_lib.inference.fabric import Fabric, make_fabric
from cra_lib.paths import RunFiles
from cra_lib.training import fit
from cra_lib.training.setup import open_fabric


def _quiet(line: str) -> None:
    """Swallow a line of the log."""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A machine on which SLURM is installed, outside of its jobs."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return monkeypatch


def test_srun_is_asked_for_only_where_it_is_needed(slurm, world, recwarn):
    def said():
        texts = [str(warning.message) for warning in recwarn]
        recwarn.clear()
        return any("`srun` command" in text for text in texts)

    Fabric(accelerator="cpu", devices=1)
    assert said(), "Lightning no longer advises, so nothing need be done about it"
    open_fabric(world.config().train)
    assert not said()
    two = {"accelerator": "cpu", "devices": 1, "num_nodes": 2, "strategy": "ddp"}
    make_fabric(**two)
    assert said(), "nobody starts the processes of the other node"
    torchrun = {"RANK": 0, "LOCAL_RANK": 0, "GROUP_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 1}
    for name, value in {"TORCHELASTIC_RUN_ID": "1", **torchrun}.items():
        slurm.setenv(name, str(value))
    make_fabric(**two)
    assert not said()


SHARED = """
import sys
from pathlib import Path
from cra_lib.config.files import load_config
from cra_lib.paths import DataFiles, RunFiles
from cra_lib.training import fit

fit(load_config(Path(sys.argv[1])), DataFiles(Path(sys.argv[2])), RunFiles(Path(sys.argv[3])))
"""


def test_two_processes_equal_one_with_twice_the_batch(world, tmp_path):
    shared, train = _to_share(world, tmp_path, {"devices": 2})
    child = subprocess.run([sys.executable, *train], capture_output=True, timeout=500)
    assert child.returncode == 0, child.stderr.decode()[-2000:]
    _equals_one_process(world, tmp_path, shared)


@pytest.mark.slow
def test_two_nodes_under_torchrun_equal_one_process(world, tmp_path):
    """Two launchers that meet on the loopback, a process each, as on two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared, train = _to_share(world, tmp_path, {"num_nodes": 2})
    meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2",
              "--nproc-per-node", "1", *meet, "--local-addr", "127.0.0.1"]  # fmt: skip
    nodes = [
        subprocess.Popen([*launch, *train], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    said = [node.communicate(timeout=500)[0].decode()[-2000:] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    _equals_one_process(world, tmp_path, shared)


WITHOUT_DROPOUT = {"dropout": 0.0, "position_dropout": 0.0}


def _to_share(world, folder, train: dict) -> tuple[RunFiles, list[str]]:
    """The folder of a run that several processes share, and the script that each of them runs."""
    shared = RunFiles(folder / "shared")
    config = world.config(model=WITHOUT_DROPOUT, train={"batch_size": 8, **train})
    save_config(config, folder / "config.yaml")
    (folder / "train.py").write_text(SHARED)
    paths = [folder / "train.py", folder / "config.yaml", world.data.root, shared.root]
    return shared, [*map(str, paths)]


def _equals_one_process(world, folder, shared: RunFiles) -> None:
    """The same losses, epoch by epoch, as one process with twice the batch."""
    alone = RunFiles(folder / "alone")
    fit(
        world.config(model=WITHOUT_DROPOUT, train={"batch_size": 16}), world.data, alone, log=_quiet
    )
    curves = [list(csv.DictReader(run.history.open())) for run in (alone, shared)]
    for mine, theirs in zip(*curves, strict=True):
        for name in ("loss", "loss_answer", "loss_alignment_answer", "loss_alignment_question"):
            assert float(mine[name]) == pytest.approx(float(theirs[name]), abs=1e-4)
        assert mine["step"] == theirs["step"]
    assert shared.weights.exists() and not shared.resume.exists()
