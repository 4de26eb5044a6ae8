"""Clauses: where they begin, which word is their verb, and what stands before it."""

from __future__ import annotations

from cra_lib.causal.rules.neighbours import NOT_BEFORE_VERB, auxiliary_helps, tag_region
from cra_lib.causal.rules.phrases import read_subject
from cra_lib.causal.rules.sentence import LISTS, NOUNY, OBJECT_STARTS, Sentence

_QUESTION_WORDS = frozenset({"what", "which", "who", "whose", "why", "how", "where", "when"})
_NEEDS_VERB = frozenset({"after", "before", "until", "till", "as", "since", "once", "so"})
"""Subordinators that are prepositions or adverbs unless a verb follows."""
_BEFORE_SCORE = {"NOM": 4.0, "NEG": 3.0, "ADV": 1.0, "WH": 3.0, "CCONJ": -3.0, "AUX": 1.0}
_AFTER_SCORE = {"DET": 2.5, "POSS": 2.5, "PRON": 2.0, "ADV": 1.0, "TO": 0.5, "AUX": -4.0}
_IMPOSSIBLE = -9.0


def clause_starts(text: Sentence) -> list[int]:
    """Indices at which a clause begins: subordinators, relative words, he, she, they, ..."""
    starts = [0]
    for index in range(1, text.size):
        cls, before = text.classes[index], text.classes[index - 1]
        opens = (
            (cls == "SCONJ" and before != "SCONJ")
            or (cls == "NOM" and before not in {"SCONJ", "AUX"} and index > 1)
            or (cls == "WH" and before not in {"SCONJ", "CCONJ", "ADP"})
            or (text.words[index] == "it" and before not in {"SCONJ", "AUX"} and _acts(text, index))
            or (cls == "AUX" and _inverts_late(text, index))
        )
        if opens:
            starts.append(index)
    return starts


def _acts(text: Sentence, index: int) -> bool:
    """Whether "it" is a subject: its verb follows."""
    if text.cls(index + 1) == "AUX":
        return True
    return text.word(index + 1) not in LISTS["phrase_nouns"] and text.surely_verb(index + 1, "sd")


def _inverts_late(text: Sentence, index: int) -> bool:
    """ "judging by the trees is the boy ...": a question behind its introduction."""
    if text.words[0] not in {"judging", "aside"}:
        return False
    return text.cls(index + 1) in {"DET", "POSS"} and "AUX" not in text.classes[:index]


def read_clause(text: Sentence, start: int, end: int) -> None:
    """Find verb and subject of the clause [start, end) and tag its words."""
    text.main_form, text.causative = "", False
    auxiliary = _fronted_auxiliary(text, start, end)
    if auxiliary is not None:
        _read_question(text, start, auxiliary, end)
    elif text.classes[start] in {"SCONJ", "NOM", "WH"} or text.words[start] == "it":
        _read_statement(text, start, end)
    else:
        _read_fragment(text, start, end)


def _fronted_auxiliary(text: Sentence, start: int, end: int) -> int | None:
    """Index of the auxiliary of an inverted clause: "what activity is", "did", "why does"."""
    if text.classes[start] == "AUX" and text.words[start] != "having":
        return start
    if text.words[start] not in _QUESTION_WORDS:
        return None
    for index in range(start + 1, min(start + 5, end)):
        if text.classes[index] == "AUX":
            inverted = start == 0 or text.cls(index + 1) in {"DET", "POSS", "NOM", "THERE"}
            return index if inverted else None
        if text.classes[index] in {"DET", "POSS", "NOM", "ADP", "SCONJ"}:
            return None
    return None


def _read_question(text: Sentence, start: int, auxiliary: int, end: int) -> None:
    first = auxiliary + 1
    while text.cls(first) in {"NEG", "THERE"}:
        first += 1
    main = None
    if text.words[auxiliary] not in LISTS["be"]:
        letters = "n" if text.words[auxiliary] in LISTS["have"] else "b"
        main = _choose_verb(text, first, end, letters)
        if main is None:
            main = _unlisted_verb(text, first, end)
        if main is None:  # "why did the baby kneeled": the form is wrong, the verb is there
            main = _choose_verb(text, first, end, "dsg")
    if not read_subject(text, first, end if main is None else main):
        read_subject(text, start, auxiliary, questions=True)
    tag_region(text, start, auxiliary)
    text.tags[auxiliary] = "AUX"
    _tag_around(text, first, main, end)


def _read_statement(text: Sentence, start: int, end: int) -> None:
    """A clause in plain order: [subordinator] subject verb; or a mere preposition phrase."""
    relative, subordinate = text.classes[start] == "WH", text.classes[start] == "SCONJ"
    first = start + subordinate
    main = _choose_verb(text, first, end, "sdb", finite=True)
    limit = end if main is None else main
    if subordinate and main is None and text.words[start] in _NEEDS_VERB:
        text.tags[start] = "ADP"
    elif relative and start == 0:
        read_subject(text, start, limit, questions=True)
    else:
        read_subject(text, first + relative, limit)
    _tag_around(text, first, main, end)


def _read_fragment(text: Sentence, start: int, end: int) -> None:
    """An answer or another text that is no question: a verb phrase or a noun phrase."""
    forms, word = text.forms(start), text.words[start]
    if text.classes[start] == "OPEN" and set(forms) & set("bsd"):
        lone = text.size == 1 and word in LISTS["lone_verbs"]
        follows = text.cls(start + 1) in OBJECT_STARTS | {"ADP", "TO", "ADV"}
        if word not in NOUNY or lone or (follows and "b" in forms):
            text.make_main(start)
    tag_region(text, start, end)


def _tag_around(text: Sentence, start: int, main: int | None, end: int) -> None:
    """Tag a clause once its verb is known."""
    if main is None:
        tag_region(text, start, end)
        return
    tag_region(text, start, main)
    if text.classes[main] == "AUX" and auxiliary_helps(text, main, end):
        text.tags[main] = "AUX"
        if text.words[main] not in LISTS["be"]:
            letters = "n" if text.words[main] in LISTS["have"] else "b"
            verb = _choose_verb(text, main + 1, end, letters)
            if verb is not None:
                text.make_main(verb)
    else:
        text.make_main(main)
    tag_region(text, main + 1, end)


def _choose_verb(
    text: Sentence, start: int, end: int, letters: str, finite: bool = False
) -> int | None:
    """The best candidate among the words with one of these forms; None where none is likely.

    Args:
        finite: the clause is in plain order, so that an auxiliary or nothing at all may be there.
    """
    best, best_score = None, 0.0 if finite else -5.0
    for index in range(start, end):
        if finite and text.classes[index] == "AUX":
            score = 4.0
        elif set(text.forms(index)) & set(letters):
            score = _verb_score(text, index, start, finite)
        else:
            continue
        score -= (0.25 if finite else 0.1) * (index - start)
        if score > best_score:
            best, best_score = index, score
    return best


def _verb_score(text: Sentence, index: int, start: int, finite: bool) -> float:
    """How likely the word is the verb of its clause; an object behind it is the best sign."""
    word, before, after = text.words[index], text.cls(index - 1), text.cls(index + 1)
    if index == start and (not finite or before == "SCONJ"):
        return _IMPOSSIBLE
    if before in NOT_BEFORE_VERB or text.classes[index] in {"ADP", "ADV", "NUM", "DET"}:
        return _IMPOSSIBLE
    score = 3.0 if word not in NOUNY else 1.5 + (word in LISTS["lone_verbs"])
    score += _BEFORE_SCORE.get(before, 0.0) + _AFTER_SCORE.get(after, 0.0)
    if before == "ADJ":
        score += 1.0 if text.closes_phrase(index - 1) else -3.0
    if after in {"OPEN", "ADJ"} and word in NOUNY:
        score -= 0.5
    if word == "do" and text.words[0] == "what":
        score += 4.0
    return score + (_agreement(text, index, start) if finite else 0.0)


def _agreement(text: Sentence, index: int, start: int) -> float:
    """How well a finite form fits its subject: "the boys walk", "the boy walks"."""
    forms = text.forms(index)
    if "d" in forms:
        return 1.0
    plural = any(_is_plural(word) for word in text.words[start:index])
    if "s" in forms:
        return -0.5 if plural else 0.0
    return 0.0 if plural else -1.5


def _is_plural(word: str) -> bool:
    regular = word.endswith("s") and len(word) > 3 and word not in LISTS["singular_s"]
    return regular or word in LISTS["plural"]


def _unlisted_verb(text: Sentence, start: int, end: int) -> int | None:
    """A word no list knows, between the subject and an object: "the lady shuffle her feet"."""
    for index in range(start + 1, end - 1):
        stands = text.classes[index - 1] == "OPEN" and text.classes[index] == "OPEN"
        if stands and text.classes[index + 1] in OBJECT_STARTS and not text.forms(index):
            return index
    return None
