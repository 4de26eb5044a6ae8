"""Thirty kills: whatever dies when, the next call leaves what an undisturbed run leaves.

    python tests/stress/kills.py [--kills 30] [--seed 0] [--folder DIR] [--scenes train,extract]

Runs the miniature pipeline, `cra train`, `cra features extract` and `cra prepare` undisturbed,
then again and again, each time ending something at a random moment: the whole family of processes,
the leader, Snakemake, a notebook's process or its kernel, with SIGKILL or SIGTERM. After each kill
it looks for processes that stay; the call is repeated until it ends well, and its products are
compared with the undisturbed ones, byte by byte. Prints one line a kill; exit status 1 if anything
differed. Takes about half an hour on two quiet cores.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil
from miniature import environment, make_clone

OWN_TIME = {"runtime.json", "history.csv", "manifest.json", "report.html"}
"""Products that hold little but seconds or dates."""
TIMES = {"seconds", "samples_per_second", "memory_gb"}
"""Keys and columns of other products that tell how long something took."""
APART = {".workflow", "notebooks", "__pycache__"}
GRACE = 5.0
"""Seconds after which nothing of a killed family may be left."""
EARLY = "done before the kill"
WHO = ("family", "leader", "snakemake", "notebook", "kernel")


class Scene(NamedTuple):
    """One command to disturb, and what it leaves."""

    name: str
    command: list[str]
    folders: tuple[str, ...]
    """Products, relative to the clone; they are removed before each new beginning."""
    who: tuple[str, ...]


def scenes(root: Path) -> list[Scene]:
    cra = [sys.executable, "-m", "cra_lib"]
    videos, out = root / "given/shapes/videos", root / "results/features/test.h5"
    extract = ["features", "extract", str(videos), "--encoder", "shapes-clip", "--out", str(out)]
    train = ["train", "shapes", "--data", str(root / "given"), "--profile", "quick"]
    return [
        Scene("pipeline", [*cra, "reproduce", "--cores", "2"], ("results/shapes", "data"), WHO),
        Scene("train", [*cra, *train], ("results/shapes",), ("family", "leader")),
        Scene("extract", [*cra, *extract], ("results/features",), ("family", "leader")),
        Scene("prepare", [*cra, "notebook", "01_prepare_data"], ("results/shapes", "data"),
              ("family", "leader", "kernel")),
    ]  # fmt: skip


def products(root: Path, folders: tuple[str, ...]) -> dict[str, str]:
    """File -> digest of everything that should not depend on time."""
    table = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            inside = path.relative_to(root)
            if path.is_file() and not APART & set(inside.parts) and path.name not in OWN_TIME:
                if not path.name.startswith(("record_", ".")):
                    table[str(inside)] = hashlib.sha256(timeless(path)).hexdigest()
    return table


def timeless(path: Path) -> bytes:
    """A file without what tells how long something took."""
    if path.suffix == ".json":
        content = json.loads(path.read_bytes(), object_pairs_hook=without_times)
        return json.dumps(content).encode()
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return str([without_times(row.items()) for row in csv.DictReader(file)]).encode()
    return path.read_bytes()


def without_times(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """
    >>> without_times([("seconds", 3), ("inertia", 2)])
    {'inertia': 2}
    """
    return {name: value for name, value in pairs if name not in TIMES}


def leftovers(root: Path, folders: tuple[str, ...]) -> list[str]:
    """Unfinished files that nobody will finish."""
    found = [p for f in folders for p in (root / f).rglob(".*.partial*")]
    return [str(path.relative_to(root)) for path in found]


def family(token: str) -> list[psutil.Process]:
    """Every process that was started for one call, found by a mark in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CRA_STRESS") == token:
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def chosen(who: str, leader: psutil.Process, token: str) -> list[psutil.Process]:
    """The processes to end; the leader where the wanted one is not there at the moment."""
    words = {"snakemake": "snakemake", "notebook": "notebook", "kernel": "ipykernel_launcher"}
    if who == "family":
        return family(token)
    for process in family(token) if who in words else ():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if words[who] in line or any(part.endswith(words[who]) for part in line[:3]):
            return [process]
    return [leader]


def disturb(scene: Scene, root: Path, moment: float, who: str, number: int) -> tuple[str, float]:
    """Start the command, end something after ``moment`` seconds; what happened, and how long."""
    token, began = uuid.uuid4().hex, time.monotonic()
    process = subprocess.Popen(
        scene.command, env=environment(root, CRA_STRESS=token), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        process.wait(moment)
        done = f"{EARLY} ({process.returncode})"
    except subprocess.TimeoutExpired:
        targets = chosen(who, psutil.Process(process.pid), token)
        for target in targets:
            try:
                target.send_signal(number)
            except psutil.Error:
                continue
        alone = who in ("snakemake", "notebook", "kernel") and targets[0].pid != process.pid
        if not alone:
            time.sleep(GRACE)
        console, _ = process.communicate(timeout=600)
        done = f"exit {process.returncode}"
        if alone:  # it went on, or ended with a reason
            reason = " ".join(console.split()[-30:])
            if process.returncode and "no reason given" in console:
                done += " WITHOUT A REASON: " + reason
    seconds = time.monotonic() - began
    time.sleep(GRACE)
    if stay := family(token):
        done += f" LEFT {[(p.pid, p.name()) for p in stay]}"
        for process_left in stay:
            process_left.kill()
    return done, seconds


def finish(scene: Scene, root: Path) -> str:
    """The next undisturbed call; empty where it ended well."""
    done = subprocess.run(scene.command, env=environment(root), capture_output=True, text=True)
    text = (done.stdout + done.stderr).strip().splitlines()[-3:]
    return "" if done.returncode == 0 else f"exit {done.returncode}: {' / '.join(text)}"


def compare(scene: Scene, root: Path, wanted: dict[str, str]) -> list[str]:
    have = products(root, scene.folders)
    odd = [f"{name} is missing" for name in wanted.keys() - have.keys()]
    odd += [f"{name} is new" for name in have.keys() - wanted.keys()]
    odd += [f"{name} differs" for name in have.keys() & wanted.keys() if have[name] != wanted[name]]
    return sorted(odd) + [f"{name} stays" for name in leftovers(root, scene.folders)]


def shares(kills: int) -> dict[str, int]:
    """Half of the kills hit the pipeline; the rest is shared by the commands."""
    each = kills // 6
    return {"pipeline": kills - 3 * each, "train": each, "extract": each, "prepare": each}


def begin(scene: Scene, root: Path) -> None:
    for folder in scene.folders:
        shutil.rmtree(root / folder, ignore_errors=True)


def kill_again_and_again(scene: Scene, root: Path, count: int, draw: random.Random) -> int:
    """The number of kills after which something was not as it should be.

    Raises:
        SystemExit: the command fails without being disturbed.
    """
    begin(scene, root)
    began, bad = time.monotonic(), 0
    if problem := finish(scene, root):
        raise SystemExit(f"{scene.name}: undisturbed: {problem}")
    length, wanted = time.monotonic() - began, products(root, scene.folders)
    print(f"{scene.name}: undisturbed {length:.0f} s, {len(wanted)} products", flush=True)
    for kill in range(count):
        if kill % 3 == 0:  # two more kills go into what this one left
            begin(scene, root)
        who = scene.who[kill % len(scene.who)]
        number = (signal.SIGKILL, signal.SIGTERM)[(kill // len(scene.who) + kill) % 2]
        done = EARLY
        while done.startswith(EARLY):  # the machine was busier before: a kill has to hit something
            moment = draw.uniform(0.02, 0.95) * length / (1 + kill % 3)
            done, seconds = disturb(scene, root, moment, who, number)
            if done.startswith(EARLY):
                length = min(length, seconds)
                begin(scene, root)
        wrong = ["left processes"] if "LEFT" in done or "WITHOUT" in done else []
        if kill % 3 == 2 or kill == count - 1:
            problem = finish(scene, root)
            wrong += [problem] if problem else compare(scene, root, wanted)
            done += ", then finished"
        bad += bool(wrong)
        told = "; ".join(wrong[:4]) if wrong else "ok"
        print(f"{scene.name} {kill + 1}/{count}: {signal.Signals(number).name} to {who} after "
              f"{moment:.0f} s, {done} ({seconds:.0f} s): {told}", flush=True)  # fmt: skip
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--scenes", default="pipeline,train,extract,prepare")
    parser.add_argument("--given", type=Path, help="prepared and sampled data of a miniature")
    arguments = parser.parse_args()
    draw, each = random.Random(arguments.seed), shares(arguments.kills)
    root = make_clone((arguments.folder or Path(tempfile.mkdtemp())) / "clone")
    every = {scene.name: scene for scene in scenes(root)}
    if arguments.given:
        shutil.copytree(arguments.given, root / "given")
    bad = done = 0
    for name in arguments.scenes.split(","):
        if name != "pipeline" and not (root / "given").exists():
            if problem := finish(every["pipeline"], root):
                raise SystemExit(f"pipeline: undisturbed: {problem}")
            shutil.copytree(root / "data", root / "given")
        bad += kill_again_and_again(every[name], root, each[name], draw)
        done += each[name]
        if name == "pipeline":
            shutil.copytree(root / "data", root / "given", dirs_exist_ok=True)
    print(f"{done} kills, {bad} with a fault")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
