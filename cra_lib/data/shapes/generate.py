"""The whole dataset on disk, in the normal form; the same seed gives the same bytes.

``DIR/{split}.csv``, ``gsub_{split}.json`` (all splits but train), ``frame2time_{split}.json``,
``videos/*.mp4``, and two files that only a dataset with a known cause for everything can have:

``reference.json``
    ``{"settings": {...}, "statistics": {split: {...}}, "learned": {split: {row: percent}},
    "informed": ...}``; the rows are explained in `cra_lib.data.shapes.reference`.
``world.json``
    ``{video_id: {"scene", "fps", "frame_count", "actors", "events", "weather", "questions"}}``:
    what happens when (seconds), what caused it, and which events answer which question.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from cra_lib.data.progress import is_watched, with_bar
from cra_lib.data.shapes.habits import DEFAULT_BIAS, Bias, habit_share, noun_habit, scene_habit
from cra_lib.data.shapes.questions import Item, ask, segments
from cra_lib.data.shapes.reference import Asked, reference_rows
from cra_lib.data.shapes.render import SIZE, render_frames
from cra_lib.data.shapes.world import FPS, World, draw_world
from cra_lib.evaluator.annotations import (
    write_json,
    write_questions,
    write_segments,
    write_stamps,
)
from cra_lib.paths import DataFiles, remove_unfinished
from cra_lib.records import InputError, Question
from cra_lib.video.writing import write_video

SIZES = {"train": 800, "val": 60, "test_iid": 100, "test": 100, "test_ood": 100}
"""Videos per split."""
NUM_FRAMES = 32
ENCODING = {"quality": 23, "keyframe_every": 2.0, "preset": "veryfast"}
"""How videos are compressed: x264's rate factor and effort, seconds between places to seek to."""
PIXELS = 2
"""Raised where the same world and compression came to give other pixels (2: x264 held to AVX2), so
that videos of before are drawn again."""


class Clip(NamedTuple):
    """A video's world and the questions about it."""

    video_id: str
    world: World
    items: list[Item]


def split_biases(bias: float | Bias) -> dict[str, Bias]:
    """Each split's confounders: as given, cut off in test, with exchanged habits in test_ood."""
    given = bias if isinstance(bias, Bias) else Bias(bias, bias)
    if not all(0 <= strength <= 1 for strength in given[:2]):
        raise InputError(f"The bias of shapes should lie between 0 and 1, got {given[:2]}.")
    given = given._replace(reversed=False)
    biases = dict.fromkeys(SIZES, given)
    return biases | {"test": Bias(0.0, 0.0), "test_ood": given._replace(reversed=True)}


def draw_clips(split: str, count: int, bias: Bias, seed: int = 0) -> Iterator[Clip]:
    """The videos of one split, each from a generator of its own, none without a question."""
    for index in range(count):
        rng = random.Random(f"shapes/{seed}/{split}/{index}")
        world = draw_world(rng)
        while not (items := ask(world, rng, bias)):
            world = draw_world(rng)
        yield Clip(f"{split.replace('_', '')}{index:04d}", world, items)


def generate(
    out_dir: Path,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    bias: float | Bias = DEFAULT_BIAS,
    noise: float = 0.0,
    workers: int = 2,
    progress: bool = True,
) -> dict:
    """Write the dataset; videos that are already there for the same settings are kept.

    Args:
        sizes: videos per split, where they differ from `SIZES`; splits of size 0 are left out.
        bias: strength of both confounders in train, val, test_iid and (reversed) test_ood.
        noise: standard deviation of the noise on every pixel, in grey levels of 255. What happens
            and what is asked stay the same.
        workers: processes that render; their number does not change a byte.

    Returns:
        The content of ``reference.json``.

    Raises:
        InputError: an unknown split, a negative size, a bias outside 0 to 1, a negative noise.
    """
    biases, sizes = split_biases(bias), _checked_sizes(sizes)
    if not 0 <= noise < math.inf:
        raise InputError(f"The noise of shapes should be 0 grey levels or more, got {noise}.")
    files = DataFiles(Path(out_dir))
    clips = {
        split: list(draw_clips(split, count, biases[split], seed)) for split, count in sizes.items()
    }
    # The reference file is written last: while it is missing, the dataset is not complete.
    reference_path = files.root / "reference.json"
    reference_path.unlink(missing_ok=True)
    drawn_clips = [clip for split in clips.values() for clip in split]
    _render(drawn_clips, noise, files, workers, progress)
    for split, drawn in clips.items():
        _write_split(files, split, drawn)
    write_json(
        files.root / "world.json",
        {clip.video_id: _described(clip) for drawn in clips.values() for clip in drawn},
    )
    asked = {split: _asked(drawn) for split, drawn in clips.items()}
    reference = {
        "settings": {"seed": seed, "sizes": sizes, "bias": list(biases["val"][:2]), "noise": noise},
        "statistics": {split: _statistics(asked[split], biases[split]) for split in clips},
        **reference_rows(asked, biases),
    }
    write_json(reference_path, reference, indent=1)
    return reference


def _checked_sizes(sizes: Mapping[str, int] | None) -> dict[str, int]:
    if unknown := sorted(set(sizes or {}) - set(SIZES)):
        raise InputError(f"shapes has no split {unknown[0]!r}; its splits are {', '.join(SIZES)}.")
    sizes = SIZES | dict(sizes or {})
    if negative := [split for split, count in sizes.items() if count < 0]:
        raise InputError(f"The number of {negative[0]} videos should be 0 or more.")
    return {split: count for split, count in sizes.items() if count}


def _render(
    clips: Sequence[Clip], noise: float, files: DataFiles, workers: int, progress: bool
) -> None:
    """Encode what is missing. A sidecar of hashes tells a finished video of another setting."""
    marks_path = files.root / "videos" / "worlds.json"
    remove_unfinished(marks_path.parent)
    wanted = {clip.video_id: _mark(clip.world, noise) for clip in clips}
    marks = json.loads(marks_path.read_text()) if marks_path.exists() else {}
    todo = [
        clip
        for clip in clips
        if marks.get(clip.video_id) != wanted[clip.video_id]
        or not files.video(clip.video_id).exists()
    ]
    # Marks of what is about to be drawn go first, so that a killed run leaves none that is wrong.
    kept = {name: mark for name, mark in wanted.items() if marks.get(name) == mark}
    write_json(marks_path, kept)
    render = partial(_write_clip, files, noise)
    with ExitStack() as stack:
        done: Iterator[str] = map(render, todo)
        if workers > 1 and len(todo) > 1:
            pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
            done = stack.enter_context(pool).map(render, todo, chunksize=8)
        lines = progress and not is_watched()  # in a log, where a bar would not move
        done = with_bar(done, len(todo), "rendering", "video", shown=progress)
        for count, video_id in enumerate(done, start=1):
            kept[video_id] = wanted[video_id]
            if count % 100 == 0 or count == len(todo):
                write_json(marks_path, kept)
                if lines:
                    print(f"shapes: {count} of {len(todo)} videos rendered", file=sys.stderr)


def _mark(world: World, noise: float) -> str:
    described = (world, ENCODING, PIXELS, *([noise] if noise else []))
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]


def _write_clip(files: DataFiles, noise: float, clip: Clip) -> str:
    write_video(files.video(clip.video_id), render_frames(clip.world, noise), FPS, **ENCODING)
    return clip.video_id


def _write_split(files: DataFiles, split: str, clips: Sequence[Clip]) -> None:
    questions = [q for clip in clips for q in questions_of(clip)]
    write_questions(files.questions(split), questions)
    stamps = {clip.video_id: frame_times(clip.world) for clip in clips}
    write_stamps(files.stamps(split), stamps)
    if split != "train":
        write_segments(files.segments(split), {clip.video_id: _grounding(clip) for clip in clips})


def questions_of(clip: Clip) -> list[Question]:
    """The records of a clip's questions, numbered from 0."""
    blank = Question(
        video_id=clip.video_id,
        qid="",
        text="",
        choices=(),
        answer=None,
        type="",
        frame_count=clip.world.frame_count,
        width=SIZE,
        height=SIZE,
    )
    return [
        replace(
            blank,
            qid=str(number),
            text=item.text,
            choices=item.choices,
            answer=item.answer,
            type=item.type,
        )
        for number, item in enumerate(clip.items)
    ]


def frame_times(world: World) -> list[float]:
    """The middles of 32 equal parts of the video, in seconds."""
    return [round((i + 0.5) * world.duration / NUM_FRAMES, 3) for i in range(NUM_FRAMES)]


def _grounding(clip: Clip) -> dict:
    location = {str(number): segments(clip.world, item) for number, item in enumerate(clip.items)}
    return {"duration": clip.world.duration, "location": location, "fps": FPS}


def _described(clip: Clip) -> dict:
    world = clip.world
    return {
        "scene": world.scene,
        "fps": FPS,
        "frame_count": world.frame_count,
        "actors": [{"name": a.name, "colour": a.colour, "noun": a.noun} for a in world.actors],
        "events": [
            {
                "actor": e.actor,
                "action": e.action,
                "start": e.start / FPS,
                "end": e.end / FPS,
                "cause": e.cause,
            }
            for e in world.events
        ],  # fmt: skip
        "weather": [
            {"kind": e.kind, "start": e.start / FPS, "end": e.end / FPS} for e in world.episodes
        ],
        "questions": [
            {
                "type": item.type,
                "actor": item.actor,
                "actions": list(item.actions),
                "answer": item.answer,
                "evidence": list(item.evidence),
            }
            for item in clip.items
        ],  # fmt: skip
    }


def _asked(clips: Sequence[Clip]) -> list[Asked]:
    return [(clip.world, item) for clip in clips for item in clip.items]


def _statistics(asked: Sequence[Asked], bias: Bias) -> dict[str, float]:
    """Counts, and the share of answers within each habit: measured, and expected from the bias."""
    nouns = [world.actors[item.actor].noun for world, item in asked]
    answers = [item.actions[item.answer] for _, item in asked]
    scenes = [world.scene for world, _ in asked]
    expected = [habit_share(n, s, bias) for n, s in zip(nouns, scenes, strict=True)]
    total = max(1, len(asked))

    def percent(values) -> float:
        return round(100 * sum(values) / total, 2)

    in_noun = [a in noun_habit(n) for a, n in zip(answers, nouns, strict=True)]
    in_scene = [a in scene_habit(s) for a, s in zip(answers, scenes, strict=True)]
    return {
        "questions": len(asked),
        "noun_habit": percent(in_noun),
        "noun_habit_expected": percent(share for share, _ in expected),
        "scene_habit": percent(in_scene),
        "scene_habit_expected": percent(share for _, share in expected),
    }
