"""NExT-GQA: official files -> normal form, which is NExT-GQA's own, so this mostly checks.

Only the training questions may have to be made: the official multiple-choice train.csv where it
is there, else, on request, from the open-ended edition of the same questions (`train_from_nextoe`).
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cra_lib.data.card import data_card
from cra_lib.data.distractors import question_class
from cra_lib.datasets import DATASETS
from cra_lib.evaluator.annotations import (
    read_csv,
    read_json,
    read_questions,
    whole_number,
    write_json,
    write_questions,
)
from cra_lib.paths import DataFiles, sha256
from cra_lib.records import InputError, Question

NUM_CHOICES = 5
SEED = 2024
PUBLISHED_FEATURES = ("video_feature/CLIPL/CLIPL_I_{split}.h5", "CLIPL/CLIPL_I_{split}.h5")
"""Where the published CLIP features land when their archive is unpacked here."""
_FILLERS = re.compile(r"\b(a|an|the|his|her|their|its|to)\b|[^a-z0-9 ]")
_DRAWS = 40


def prepare(root: Path, *, train_from: str = "official", seed: int | None = None) -> dict[str, Any]:
    """Bring the folder of NExT-GQA into normal form and check all of it; returns its data card.

    Args:
        train_from: "official", or "nextoe" to build train.csv from ``nextoe/train.csv``.
        seed: of the distractors, where they are drawn; None is SEED.

    Raises:
        InputError: a missing or damaged file, or a training file of the other kind in the way.
    """
    files = DataFiles(root)
    facts = _train_facts(files, train_from, SEED if seed is None else seed)
    for split in DATASETS["nextgqa"].splits:
        _adopt_features(files, split)
    try:
        card = data_card(files, "nextgqa", facts=facts)
    except InputError:
        if train_from == "nextoe":  # what was just built must not outlive a failed preparation
            files.questions("train").unlink()
            _source_note(files).unlink()
        raise
    if files.paraphrases.exists():
        card["paraphrases"] = _paraphrase_card(files)
    return card


def _train_facts(files: DataFiles, train_from: str, seed: int) -> dict[str, Any]:
    """Make sure of the right train.csv; returns what the card says about it."""
    train, note = files.questions("train"), _source_note(files)
    built = note.exists() and train.exists() and read_json(note).get("sha256") == sha256(train)
    if train_from == "official":
        if built:
            raise InputError(
                f"{train} was built from the open-ended edition; put the official train.csv in its "
                "place, or pass --train-from nextoe to keep using it."
            )
        _adopt_official(files)
        return {"train_from": "official"}
    if train.exists() and not built:
        raise InputError(
            f"{train} is already there and was not built by --train-from nextoe; move it away "
            "first, or prepare without that option to use it."
        )
    questions, facts = train_from_nextoe(files.root / "nextoe" / "train.csv", seed)
    write_questions(train, questions)
    write_json(note, {**facts, "sha256": sha256(train)}, indent=1)
    return facts


def _source_note(files: DataFiles) -> Path:
    """Says that train.csv was built here, and of which bytes it then was."""
    return files.root / "train_source.json"


def _adopt_official(files: DataFiles) -> None:
    """Take NExT-QA's train.csv, the same questions, where NExT-GQA's copy is not there."""
    train, other = files.questions("train"), files.root / "nextqa" / "train.csv"
    if not train.exists() and other.exists():
        write_questions(train, read_questions(other))
    if not train.exists():
        raise InputError(
            f"No training questions at {train}: fetch the official train.csv (`cra doctor nextgqa` "
            "has the address), or build them with --train-from nextoe."
        )


def _adopt_features(files: DataFiles, split: str) -> None:
    """Let a published CLIP feature file stand where ours would, without copying it."""
    ours = files.features("clip-vit-l14", split)
    for pattern in PUBLISHED_FEATURES:
        published = files.root / pattern.format(split=split)
        if published.exists() and not ours.exists():
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.hardlink_to(published)


def _paraphrase_card(files: DataFiles) -> dict[str, int]:
    """How many paraphrases there are, and how many training questions they fit."""
    texts = {q.key: q.text.lower() for q in read_questions(files.questions("train"))}
    entries = read_json(files.paraphrases)
    for key, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("gen"), list):
            raise InputError(
                f'{files.paraphrases}, key {key!r}: expected {{"ori", "gen": [texts]}}; '
                "fetch the file again."
            )
    fitting = sum(texts.get(key) == entry.get("ori", "").lower() for key, entry in entries.items())
    return {"questions": len(entries), "fitting_training_questions": fitting}


def train_from_nextoe(path: Path, seed: int = SEED) -> tuple[list[Question], dict[str, Any]]:
    """A multiple-choice training set from the open-ended questions, and what the card says of it.

    The wrong choices of a question are right answers of other questions of the same class (by the
    first words) and, where there are enough, the same type, about other videos. They are drawn as
    often as they occur: were rare answers preferred, a common answer would betray itself.

    Raises:
        InputError: the file is missing or malformed, or too small to draw four wrong choices.
    """
    rows = read_csv(path, required={"question", "answer", "qid", "type"})
    pools = _pools(rows)
    rng = random.Random(seed)
    questions, repeated = [], 0
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(rows, start=2):
        where = f"{path}, row {number}"
        qid = row["qid"].strip()
        while (row["video_id"], qid) in seen:  # the file numbers three questions twice
            qid, repeated = f"{qid}b", repeated + 1
        seen.add((row["video_id"], qid))
        questions.append(_with_choices(row, qid, pools, rng, where))
    facts = {
        "train_from": "nextoe",
        "train_seed": seed,
        "warnings": [
            f"Training choices are not the official ones: {len(questions):,} open-ended questions "
            "got distractors of the same class from other videos (--train-from nextoe)."
        ],
    }
    if repeated:
        facts["warnings"].append(f"{repeated} question numbers were given twice; renamed.")
    return questions, facts


Pool = Sequence[tuple[str, str, str]]
"""(answer, normalised answer, video id) of every question of one kind."""


def _pools(rows: Sequence[Mapping[str, str]]) -> dict[tuple[str, ...], Pool]:
    """Answers by (class, type), by (class,), and all of them under ()."""
    pools: dict[tuple[str, ...], list[tuple[str, str, str]]] = defaultdict(list)
    for row in rows:
        answer = row["answer"].strip()
        entry = (answer, normalised(answer), row["video_id"])
        kind = question_class(row["question"])
        for group in ((kind, row["type"]), (kind,), ()):
            pools[group].append(entry)
    return dict(pools)


def normalised(answer: str) -> str:
    """An answer without case, punctuation, articles and possessives: what makes two the same.

    >>> normalised("Hit the Ball!") == normalised("hit a ball")
    True
    """
    plain = " ".join(_FILLERS.sub(" ", answer.lower()).split())
    return plain or answer.lower().strip()


def _with_choices(
    row: Mapping[str, str],
    qid: str,
    pools: Mapping[tuple[str, ...], Pool],
    rng: random.Random,
    where: str,
) -> Question:
    answer, text = row["answer"].strip(), row["question"].strip()
    if not answer or not text:
        raise InputError(f"{where}: an empty question or answer; fetch the file again.")
    kind = question_class(text)
    wrong: list[str] = []
    taken = {normalised(answer)}
    for group in ((kind, row["type"]), (kind,), ()):
        _draw(pools[group], row["video_id"], taken, wrong, rng)
    if len(wrong) < NUM_CHOICES - 1:
        raise InputError(f"{where}: too few other answers to draw wrong choices from.")
    place = rng.randrange(NUM_CHOICES)
    return Question(
        video_id=row["video_id"],
        qid=qid,
        text=text,
        choices=(*wrong[:place], answer, *wrong[place:]),
        answer=place,
        type=row["type"],
        frame_count=whole_number(row, "frame_count", where),
        width=whole_number(row, "width", where),
        height=whole_number(row, "height", where),
    )


def _draw(pool: Pool, video_id: str, taken: set[str], wrong: list[str], rng: random.Random) -> None:
    """Add wrong choices until there are enough or this pool has shown little that is new."""
    for _ in range(_DRAWS):
        if len(wrong) == NUM_CHOICES - 1:
            return
        answer, plain, other = pool[rng.randrange(len(pool))]
        if plain not in taken and other != video_id:
            taken.add(plain)
            wrong.append(answer)
