"""Word lists of the rule pipeline, and the verb forms that follow from them.

The lists lie in ``lexicon.txt`` beside this file, so that they can be read and extended without
touching code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

VOWELS = "aeiou"


@dataclass(frozen=True)
class Lexicon:
    """Closed lists, and word -> verb forms it can be.

    Forms are letters: b base, s third person, d past, n participle, g -ing.
    """

    forms: dict[str, str]
    """Word -> the letters of the verb forms that it can be."""
    lists: dict[str, frozenset[str]]
    """Section of lexicon.txt -> its words."""
    nouny: frozenset[str] = field(default_factory=frozenset)
    """Base and -s forms that are at least as often a noun."""


def _ends_in_single_consonant(base: str) -> bool:
    """True where the last letter doubles: a short last syllable such as in stop or pat."""
    if len(base) < 3 or base[-1] in VOWELS + "wxy" or base[-2] not in VOWELS:
        return False
    return base[-3] not in VOWELS


def third_person(base: str) -> str:
    """The -s form of a verb (or plural of a noun).

    >>> third_person("carry"), third_person("watch"), third_person("play")
    ('carries', 'watches', 'plays')
    """
    if base.endswith("y") and base[-2:-1] not in VOWELS:
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


def stems(base: str) -> tuple[list[str], list[str]]:
    """Regular past and -ing forms; both spellings where doubling is not certain.

    >>> stems("tie"), stems("pat")
    ((['tied'], ['tying']), (['patted', 'pated'], ['patting', 'pating']))
    """
    if base.endswith("ie"):
        return [base + "d"], [base[:-2] + "ying"]
    if base.endswith("e"):
        keep = base.endswith(("ee", "ye", "oe"))
        return [base + "d"], [base + "ing" if keep else base[:-1] + "ing"]
    if base.endswith("y") and base[-2:-1] not in VOWELS:
        return [base[:-1] + "ied"], [base + "ing"]
    heads = [base + base[-1], base] if _ends_in_single_consonant(base) else [base]
    return [head + "ed" for head in heads], [head + "ing" for head in heads]


def _sections(text: str) -> dict[str, str]:
    sections: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            sections[name] = f"{sections.get(name, '')}{line};"
    return sections


def _verb_forms(bases: list[str], irregular: dict[str, tuple[str, str]]) -> dict[str, str]:
    forms: dict[str, str] = {}
    for base in bases:
        past, ing = stems(base)
        entries = [(base, "b"), (third_person(base), "s"), *((word, "g") for word in ing)]
        if base in irregular:
            entries += [(irregular[base][0], "d"), (irregular[base][1], "n")]
        else:
            entries += [(word, "dn") for word in past]
        for word, letters in entries:
            known = forms.get(word, "")
            forms[word] = known + "".join(letter for letter in letters if letter not in known)
    return forms


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """The project's lexicon, read once."""
    sections = _sections((Path(__file__).parent / "lexicon.txt").read_text(encoding="utf-8"))
    rows = [row.split() for row in sections.pop("irregular").split(";") if row.strip()]
    irregular = {base: (past, participle) for base, past, participle in rows}
    lists = {name: frozenset(text.replace(";", " ").split()) for name, text in sections.items()}
    nouns = lists.pop("nouny")
    return Lexicon(
        forms=_verb_forms(sorted(lists["verbs"]), irregular),
        lists=lists,
        nouny=nouns | {third_person(word) for word in nouns},
    )
