"""Questions about a world, in NExT-QA's wording and types, with their evidence.

CW why, CH how (reactions and what they react to); TN after, TP before (another moment); TC while
(weather). Four distractors: first other actions of the same actor at the wrong time, then actions
of others, then actions that nobody does. An action of the right actor on the right side of the
moment that is not the nearest is never a choice, so the answer is unique. Every rule treats all
actions alike; without bias, nothing but the video tells the choices apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from cra_lib.data.shapes.habits import NO_BIAS, Bias, keep_probability
from cra_lib.data.shapes.world import ACTIONS, FPS, WEATHER, Event, World

UNBIASED_KEEP = 0.7
"""Share of the proposed questions that is kept without bias: about as many as with it."""
WHILE_KEEP = 0.7
"""Share of the proposed "while" questions: they can be answered without order, and are many."""


class Item(NamedTuple):
    """A question with all that is known about it."""

    type: str
    text: str
    actor: int
    """Who does the answer's action."""
    actions: tuple[str, ...]
    """The action of each choice, in the order of the choices."""
    answer: int
    choices: tuple[str, ...]
    evidence: tuple[int, ...]
    """Indices of the events that show the answer."""


class Draft(NamedTuple):
    """A question before its choices are drawn."""

    type: str
    text: str
    answer: int
    """Index of the event that holds the answer."""
    evidence: tuple[int, ...]
    barred: frozenset[str]
    """Actions that must not be a choice: named in the question, or also true."""


def ask(world: World, rng: random.Random, bias: Bias) -> list[Item]:
    """The questions kept for one video; `bias` decides which of the proposed ones are asked."""
    items = []
    for draft in propose(world, rng):
        event = world.events[draft.answer]
        rivals = set(world.actions_of(event.actor)) - draft.barred - {event.action}
        keep = UNBIASED_KEEP
        if bias[:2] != NO_BIAS[:2]:
            noun = world.actors[event.actor].noun
            keep = keep_probability(event.action, noun, world.scene, bias)
        if rivals and rng.random() < keep:
            items.append(_with_choices(world, draft, rivals, rng))
    return items


def propose(world: World, rng: random.Random) -> list[Draft]:
    """Questions of the world whose answer can be told, in a random order."""
    drafts = [draft for draft in _while(world) if rng.random() < WHILE_KEEP]
    drafts += [*_causal(world), *_temporal(world, 1), *_temporal(world, -1)]
    drafts = [draft for draft in drafts if world.events[draft.answer].action not in draft.barred]
    rng.shuffle(drafts)
    return drafts


def _name(world: World, event: Event) -> str:
    return f"the {world.actors[event.actor].name}"


def _causal(world: World) -> Iterator[Draft]:
    for index, event in enumerate(world.events):
        if event.cause is None:
            continue
        cause = world.events[event.cause]
        why = f"why did {_name(world, event)} {ACTIONS[event.action].base}"
        yield Draft("CW", why, event.cause, (event.cause, index), frozenset({event.action}))
        how = (
            f"how did {_name(world, event)} react when {_name(world, cause)} "
            f"{ACTIONS[cause.action].past}"
        )
        yield Draft("CH", how, index, (index,), frozenset({cause.action}))


def _while(world: World) -> Iterator[Draft]:
    for episode in world.episodes:
        during = [
            index
            for index, event in enumerate(world.events)
            if event.start < episode.end and episode.start < event.end
        ]
        for index in during:
            name = _name(world, world.events[index])
            text = f"what did {name} do while {WEATHER[episode.kind]}"
            yield Draft("TC", text, index, (index,), frozenset())


def _temporal(world: World, direction: int) -> Iterator[Draft]:
    """After (direction 1) or before (-1) each event: the nearest event of each actor."""
    word, kind = ("after", "TN") if direction > 0 else ("before", "TP")
    for moment, reference in enumerate(world.events):
        for actor in range(len(world.actors)):
            side = range(moment + 1, len(world.events)) if direction > 0 else range(moment)
            found = [index for index in side if world.events[index].actor == actor]
            if not found:
                continue
            answer = found[0] if direction > 0 else found[-1]
            name = _name(world, world.events[answer])
            who = "it" if reference.actor == actor else _name(world, reference)
            text = f"what did {name} do {word} {who} {ACTIONS[reference.action].past}"
            also_true = {world.events[index].action for index in found if index != answer}
            yield Draft(kind, text, answer, (answer,), frozenset(also_true | {reference.action}))


def _with_choices(world: World, draft: Draft, rivals: set[str], rng: random.Random) -> Item:
    event = world.events[draft.answer]
    done = {other.action for other in world.events}
    allowed = [name for name in ACTIONS if name != event.action and name not in draft.barred]
    rng.shuffle(allowed)
    near = [name for name in allowed if name in rivals]
    elsewhere = [name for name in allowed if name in done - rivals]
    absent = [name for name in allowed if name not in done]
    wrong = [*near, *elsewhere][:3]
    wrong += [name for name in [*absent, *elsewhere, *near] if name not in wrong][: 4 - len(wrong)]
    actions = [event.action, *wrong]
    rng.shuffle(actions)
    prefix = f"{_name(world, event)} " if draft.type == "CW" else ""
    return Item(
        type=draft.type,
        text=draft.text,
        actor=event.actor,
        actions=tuple(actions),
        answer=actions.index(event.action),
        choices=tuple(prefix + _form(draft.type, name) for name in actions),
        evidence=draft.evidence,
    )


def _form(kind: str, action: str) -> str:
    return ACTIONS[action].past if kind == "CW" else ACTIONS[action].base


def segments(world: World, item: Item) -> list[list[float]]:
    """The evidence in seconds, ``[[start, end], ...]``, within the video."""
    return [[world.events[i].start / FPS, world.events[i].end / FPS] for i in item.evidence]
