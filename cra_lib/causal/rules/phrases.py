"""Noun phrases in subject position: the head is what the parse calls nsubj."""

from __future__ import annotations

from cra_lib.causal.rules.sentence import LISTS, NOUNY, Sentence

_PARTS = frozenset({"DET", "POSS", "NUM", "ADJ", "OPEN", "GEN"})
_PRONOUNS = frozenset({"NOM", "PRON", "WH", "DET", "NUM"})


def read_subject(text: Sentence, start: int, end: int, questions: bool = False) -> bool:
    """Mark the head of the noun phrase at ``start`` and of those joined to it by "and".

    Args:
        end: index that the phrase cannot reach (the verb, or the end of the clause).
        questions: a question word can be the head ("what happens", "how many people are").

    Returns:
        Whether there is one.
    """
    index, found = start, False
    while index < end:
        head, index = _read_phrase(text, index, end, questions)
        if head is None:
            break
        found = True
        text.subjects.append(head)
        text.tags[head] = "PRON" if text.classes[head] in _PRONOUNS else "NOUN"
        if text.cls(index) != "CCONJ" or index + 1 >= end:
            break
        index += 1
    return found


def _read_phrase(text: Sentence, start: int, end: int, questions: bool) -> tuple[int | None, int]:
    """Head of one base noun phrase, and the index behind it."""
    index = _skip_quantifier(text, start, end)
    if text.cls(index) in {"NOM", "PRON"} and index < end:
        return index, index + 1
    head = None
    while index < end and _continues(text, index, head, questions):
        head = _head_at(text, index, end, head)
        index += 1
    return head, index


def _continues(text: Sentence, index: int, head: int | None, questions: bool) -> bool:
    """Whether the word at ``index`` still belongs to the base noun phrase."""
    cls = text.classes[index]
    if cls == "OPEN":
        return not _is_participle(text, index, head)
    if cls in {"WH", "SCONJ"}:
        return questions
    if cls == "ADV":
        return head is None
    joins = text.classes[index - 1 : index + 2] == ["ADJ", "CCONJ", "ADJ"]
    return cls in _PARTS or joins


def _head_at(text: Sentence, index: int, end: int, head: int | None) -> int | None:
    """The head after reading the word at ``index``."""
    cls = text.classes[index]
    if cls in {"OPEN", "WH"}:
        return index
    if cls in {"ADJ", "DET", "NUM"} and (head is None or text.classes[head] in _PRONOUNS):
        return _bare_head(text, index, end)
    return head


def _bare_head(text: Sentence, index: int, end: int) -> int | None:
    """A phrase without a noun ends in its adjective or determiner: "the other", "these"."""
    after = text.cls(index + 1) if index + 1 < end else "END"
    alone = after not in {"OPEN", "ADJ", "NUM", "DET", "ADV"}
    if after == "CCONJ" and text.cls(index + 2) == "ADJ":
        alone = False
    return index if alone and text.words[index] not in {"the", "a", "an"} else None


def _skip_quantifier(text: Sentence, start: int, end: int) -> int:
    """Behind "all of", "some of the", "one of": the noun that follows is what acts."""
    counted = start + 2 < end and text.words[start + 1] == "of"
    return start + 2 if counted and text.words[start] in LISTS["quantifiers"] else start


def _is_participle(text: Sentence, index: int, head: int | None) -> bool:
    """Whether an open word is a participle behind the noun ("the man wearing a cap")."""
    word = text.words[index]
    if word in LISTS["ing_nouns"] or word in LISTS["adjectives"] or word in NOUNY:
        return False
    if head is None and text.cls(index - 1) in _PARTS:
        return False
    return bool(set(text.forms(index)) & set("gdn"))
