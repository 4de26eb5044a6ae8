"""What an answerer can reach that lacks the video, or time: computed from the causal model.

Worlds are drawn without bias and every rule of `questions` treats all actions alike, so before
the bias each choice is equally likely; the bias then multiplies each by the probability that a
question with that answer is kept. The best answerer therefore picks the largest

    blind                 sum over scenes of keep(action | noun, scene)
    scene_and_text        keep(action | noun, scene)
    events_without_times  keep(action | noun, scene), among the actions that the actor does
    frames_without_order  as before, and "while" is answered: weather and action share a frame

which is Bayes-optimal, not an estimate. ``learned`` rows use the training distribution in every
split, as a model that saw only the training split would; ``informed`` rows know each split's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cra_lib.data.shapes.habits import Bias, keep_probability
from cra_lib.data.shapes.questions import Item
from cra_lib.data.shapes.world import SCENES, World

Asked = tuple[World, Item]
Weigh = Callable[[World, Item, Bias], list[float]]


def blind_weights(world: World, item: Item, bias: Bias) -> list[float]:
    """Relative probability of each choice given question and choices."""
    noun = world.actors[item.actor].noun
    return [sum(keep_probability(a, noun, s, bias) for s in SCENES) for a in item.actions]


def scene_weights(world: World, item: Item, bias: Bias) -> list[float]:
    """Relative probability of each choice given question, choices and scene."""
    noun = world.actors[item.actor].noun
    return [keep_probability(action, noun, world.scene, bias) for action in item.actions]


def event_weights(world: World, item: Item, bias: Bias) -> list[float]:
    """Relative probability of each choice given all that happens, but not when."""
    done = world.actions_of(item.actor)
    weights = scene_weights(world, item, bias)
    return [weight * (action in done) for weight, action in zip(weights, item.actions, strict=True)]


def frame_weights(world: World, item: Item, bias: Bias) -> list[float]:
    """Relative probability of each choice given all frames, but not their order."""
    if item.type == "TC":
        return [float(index == item.answer) for index in range(len(item.actions))]
    return event_weights(world, item, bias)


ROWS: dict[str, Weigh] = {
    "blind": blind_weights,
    "scene_and_text": scene_weights,
    "events_without_times": event_weights,
    "frames_without_order": frame_weights,
}


def accuracy(asked: Sequence[Asked], weigh: Weigh, bias: Bias) -> float:
    """Expected Acc@QA (percent) of picking the likeliest choice, ties broken at random."""
    hits = 0.0
    for world, item in asked:
        weights = weigh(world, item, bias)
        best = max(weights)
        likeliest = [i for i, weight in enumerate(weights) if weight > best * (1 - 1e-9)]
        hits += (item.answer in likeliest) / len(likeliest)
    return 100 * hits / max(1, len(asked))


def reference_rows(
    asked: dict[str, Sequence[Asked]], biases: dict[str, Bias]
) -> dict[str, dict[str, dict[str, float]]]:
    """``{"learned" | "informed": {split: {row: Acc@QA in percent}}}``."""

    def rows(questions: Sequence[Asked], bias: Bias) -> dict[str, float]:
        known = {name: round(accuracy(questions, weigh, bias), 2) for name, weigh in ROWS.items()}
        return {"chance": 20.0, **known, "ceiling": 100.0}

    return {
        "learned": {split: rows(items, biases["train"]) for split, items in asked.items()},
        "informed": {split: rows(items, biases[split]) for split, items in asked.items()},
    }
