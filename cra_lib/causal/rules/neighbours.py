"""Word-by-word tagging: what a word is, told from the words beside it."""

from __future__ import annotations

from cra_lib.causal.rules.sentence import LISTS, NOUNY, OBJECT_STARTS, Sentence

NOT_BEFORE_VERB = frozenset({"DET", "POSS", "NUM", "ADP", "TO", "GEN"})
"""Classes that no finite verb follows at once."""


def tag_region(text: Sentence, start: int, end: int) -> None:
    """Tag the words of [start, end) that have no tag yet; None stays where the class tells all."""
    for index in range(start, end):
        if text.tags[index] is None:
            text.tags[index] = _tag_word(text, index)


def auxiliary_helps(text: Sentence, index: int, end: int) -> bool:
    """Whether "do" or "have" helps another verb ("has eaten") or is the verb ("has a hat")."""
    word = text.words[index]
    if word in LISTS["be"] or word in LISTS["modals"]:
        return True
    letter = "n" if word in LISTS["have"] else "b"
    after = index + 1
    while text.cls(after) in {"NEG", "ADV"} and after < end:
        after += 1
    if after >= end or letter not in text.forms(after) or text.cls(after) == "DET":
        return False
    return after > index + 1 or text.words[after] not in NOUNY


def _tag_word(text: Sentence, index: int) -> str | None:
    cls = text.classes[index]
    if cls == "TO":
        return _tag_to(text, index)
    if cls == "AUX":
        return "AUX" if auxiliary_helps(text, index, text.size) else "VERB"
    forms = text.forms(index)
    if cls in {"OPEN", "ADJ"} and forms and _is_verb(text, index, forms):
        text.main_form = text.main_form or forms[0]
        text.causative = text.causative or text.words[index] in LISTS["causatives"]
        return "VERB"
    return None


def _tag_to(text: Sentence, index: int) -> str | None:
    """PART before an infinitive, which is tagged with it."""
    after = index + 1
    if text.cls(after) == "ADV" and "b" not in text.forms(after):
        after += 1
    if "b" not in text.forms(after) or text.cls(after) in OBJECT_STARTS:
        return None
    text.tags[after] = "VERB"
    text.causative = text.words[after] in LISTS["causatives"]
    return "PART"


def _is_verb(text: Sentence, index: int, forms: str) -> bool:
    """Whether an open word with these verb forms is a verb in its place."""
    word, before, after = text.words[index], text.cls(index - 1), text.cls(index + 1)
    if "g" in forms:
        return _is_ing_verb(text, index)
    if text.surely_verb(index, "dn") and "b" not in forms:
        return _is_past(text, index)
    if before in NOT_BEFORE_VERB:
        return False
    if before == "CCONJ":
        return _is_joined_verb(text, index, forms)
    behind_verb = index > 0 and text.tags[index - 1] == "VERB"
    if text.causative and "b" in forms and before in {"OPEN", "PRON", "ADV", "ADJ"}:
        return not behind_verb and after != "OPEN"
    if text.classes[index] == "ADJ" or before == "ADJ":
        return False
    if word not in NOUNY:
        return True
    return before != "AUX" and not behind_verb and after in OBJECT_STARTS


def _is_ing_verb(text: Sentence, index: int) -> bool:
    before, after = text.cls(index - 1), text.cls(index + 1)
    if text.words[index] in LISTS["ing_nouns"] or before in {"DET", "POSS", "NUM", "GEN"}:
        return False
    if after == "OPEN" and text.word(index - 1) in {"in", "with"}:
        return False  # "in swimming costume"
    if before == "ADJ" and not text.closes_phrase(index - 1):
        return after != "OPEN"
    return True


def _is_past(text: Sentence, index: int) -> bool:
    before, after = text.cls(index - 1), text.cls(index + 1)
    if before in NOT_BEFORE_VERB:
        return False
    if before == "ADJ" and not text.closes_phrase(index - 1):
        return after not in {"OPEN", "ADJ"}
    return text.classes[index] != "ADJ"


def _is_joined_verb(text: Sentence, index: int, forms: str) -> bool:
    """After "and": a verb where the word before is one, or where the form repeats."""
    if (index >= 2 and text.tags[index - 2] == "VERB") or text.words[index] not in NOUNY:
        return True
    repeats = bool(text.main_form) and text.main_form in forms
    return repeats and ("b" in forms or text.cls(index + 1) in OBJECT_STARTS | {"ADP"})
