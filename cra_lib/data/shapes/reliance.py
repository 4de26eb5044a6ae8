"""Which answers follow the annotators' habit: only a dataset with known causes can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cra_lib.data.shapes.habits import noun_habit, scene_habit
from cra_lib.data.shapes.world import ACTIONS, NOUNS
from cra_lib.evaluator.annotations import read_questions
from cra_lib.paths import DataFiles, require
from cra_lib.records import InputError, Question, read_json


def scenes_of(data: DataFiles) -> dict[str, str]:
    """Video -> its scene.

    Raises:
        InputError: world.json is missing or damaged.
    """
    path = require(data.root / "world.json", "What happens in the videos", "Prepare shapes again.")
    try:
        return {video_id: world["scene"] for video_id, world in read_json(path).items()}
    except (AttributeError, KeyError, TypeError):
        raise InputError(f"{path}: not what `shapes` writes; prepare the dataset again.") from None


def action_of(choice: str) -> str:
    """The action that a choice tells.

    >>> action_of("the red star lit up"), action_of("put on a hat")
    ('light', 'hat')
    """
    for action, phrase in ACTIONS.items():
        if choice.endswith((phrase.base, phrase.past)):
            return action
    raise InputError(f"{choice!r} is no choice of a question about shapes.")


def actor_noun(question: str, choice: str) -> str:
    """The noun of who does the choice's action: named in the choice, or asked about.

    >>> actor_noun("what did the red star do before the blue circle lit up", "jump up")
    'star'
    """
    words = f"{choice} {question}".split()
    return next(word for word in words if word in NOUNS)


def follows_habit(question: Question, scene: str) -> list[bool]:
    """For each choice, whether its action belongs to the habit of its actor's noun or the scene."""
    return [
        action_of(choice) in noun_habit(actor_noun(question.text, choice))
        or action_of(choice) in scene_habit(scene)
        for choice in question.choices
    ]


def habit_share(
    questions: Sequence[Question], answers: Mapping[str, int], scenes: Mapping[str, str]
) -> tuple[float, float]:
    """Of the wrong answers, the percentage that follows the habit of training; and by chance.

    Args:
        answers: question key -> the choice taken.
        scenes: video -> its scene.

    Returns:
        The share, and what drawing from the wrong choices of the same questions would give; NaN
        where no answer is wrong.
    """
    found, expected, wrong = 0.0, 0.0, 0
    for question in questions:
        taken = answers[question.key]
        if taken == question.answer:
            continue
        follows = follows_habit(question, scenes[question.video_id])
        others = [one for place, one in enumerate(follows) if place != question.answer]
        wrong += 1
        found += follows[taken]
        expected += sum(others) / len(others)
    if not wrong:
        return float("nan"), float("nan")
    return 100 * found / wrong, 100 * expected / wrong


def confounders_of(data: DataFiles, split: str) -> dict[str, list[str]]:
    """The confounders of each question of a split, in file order: its noun and its scene."""
    questions, scenes = read_questions(data.questions(split)), scenes_of(data)
    return {
        "language": [actor_noun(q.text, q.choices[q.answer]) for q in questions],
        "visual": [scenes[q.video_id] for q in questions],
    }
