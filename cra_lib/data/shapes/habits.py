"""The two confounders: which action is asked about, given who acts and where.

A hidden habit of the annotators ties the answer's action to the acting noun (language) and to the
background scene (vision). With strength ``beta`` each, the asked action follows

    P(action | noun, scene) = 1/2 mix(beta_language, habit of the noun)
                            + 1/2 mix(beta_vision, habit of the scene),
    mix(beta, habit) = (1 - beta) * uniform over all actions + beta * uniform over the habit.

The worlds themselves are drawn without any bias; a question about action a is kept with a
probability proportional to P(a | noun, scene). So that factor is all that separates the right
choice from the others for anyone who does not look at the video, and the best such answerer is
known exactly. With beta = 0 the habits are cut off: the interventional distribution.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from cra_lib.data.shapes.world import ACTIONS, NOUNS, SCENES

NAMES = tuple(ACTIONS)


class Bias(NamedTuple):
    """Strength of each confounder, 0 (none) to 1, and whether the habits are exchanged."""

    language: float
    vision: float
    reversed: bool = False


DEFAULT_BIAS = 0.5
NO_BIAS = Bias(0.0, 0.0)


def noun_habit(noun: str, exchanged: bool = False) -> tuple[str, str]:
    """The two actions that go with a noun; exchanged, those of the noun two further on."""
    index = (NOUNS.index(noun) + 2 * exchanged) % len(NOUNS)
    return NAMES[index], NAMES[index + len(NOUNS)]


def scene_habit(scene: str, exchanged: bool = False) -> tuple[str, str]:
    """The two actions that go with a scene; exchanged, those of the scene two further on."""
    index = (SCENES.index(scene) + 2 * exchanged) % len(SCENES)
    return NAMES[2 * index], NAMES[2 * index + 1]


def action_probability(action: str, noun: str, scene: str, bias: Bias) -> float:
    """P(asked action | noun, scene); sums to one over the actions.

    >>> action_probability("jump", "star", "city", Bias(1.0, 1.0))
    0.5
    >>> action_probability("jump", "star", "city", Bias(0.0, 0.0))
    0.125
    """
    return 0.5 * _mix(action in noun_habit(noun, bias.reversed), bias.language) + 0.5 * _mix(
        action in scene_habit(scene, bias.reversed), bias.vision
    )


def _mix(in_habit: bool, strength: float) -> float:
    return (1 - strength) / len(NAMES) + strength * in_habit / 2


@cache
def keep_probability(action: str, noun: str, scene: str, bias: Bias) -> float:
    """How often a question whose answer is `action` is kept: the likeliest action always is."""
    likeliest = max(action_probability(name, noun, scene, bias) for name in NAMES)
    return action_probability(action, noun, scene, bias) / likeliest


def habit_share(noun: str, scene: str, bias: Bias) -> tuple[float, float]:
    """Expected shares of answers within the noun's and within the scene's (unexchanged) habit."""

    def share(habit: tuple[str, ...]) -> float:
        return sum(action_probability(action, noun, scene, bias) for action in habit)

    return share(noun_habit(noun)), share(scene_habit(scene))
