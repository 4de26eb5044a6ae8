"""A rule tagger for short English questions: parts of speech and subjects, without a model.

A text is cut into clauses (at *while*, *when*, *after*, ... and before *he*, *she*, *they*). In
each clause the auxiliary says which form the main verb has ("did the girl face the dog": a base
form), the best candidate is found by scores, and what stands before it is the subject. The rest is
tagged word by word from its neighbours. Words that no list knows are nouns.
"""

from __future__ import annotations

from cra_lib.causal.rules.clauses import clause_starts, read_clause
from cra_lib.causal.rules.sentence import Sentence

_UNIVERSAL = {
    "POSS": "PRON",
    "NOM": "PRON",
    "WH": "PRON",
    "THERE": "PRON",
    "TO": "ADP",
    "NEG": "PART",
    "GEN": "PART",
    "OPEN": "NOUN",
}
"""Our classes that are not universal parts of speech already."""


def tag_words(words: list[str]) -> tuple[list[str], list[int]]:
    """Universal parts of speech of lower-case words, and the indices of the subjects.

    >>> tag_words("why did the girl clap".split())
    (['SCONJ', 'AUX', 'DET', 'NOUN', 'VERB'], [3])
    """
    if not words:
        return [], []
    text = Sentence(words)
    starts = clause_starts(text)
    for start, end in zip(starts, [*starts[1:], text.size], strict=True):
        read_clause(text, start, end)
    pairs = zip(text.tags, text.classes, strict=True)
    return [tag or _UNIVERSAL.get(cls, cls) for tag, cls in pairs], sorted(set(text.subjects))
