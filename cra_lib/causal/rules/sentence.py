"""A text as the rules see it: words, the class of each on its own, and the tags found so far."""

from __future__ import annotations

from collections.abc import Callable

from cra_lib.causal.rules.lexicon import load_lexicon

LEXICON = load_lexicon()
LISTS, NOUNY = LEXICON.lists, LEXICON.nouny
OBJECT_STARTS = frozenset({"DET", "POSS", "PRON"})
"""Classes that open an object right behind a verb."""


def _class_table() -> dict[str, str]:
    """Word -> its class where a list settles it; the later a list, the more it counts."""
    order = [
        ("adjectives", "ADJ"),
        ("adverbs", "ADV"),
        ("prepositions", "ADP"),
        ("numbers", "NUM"),
        ("pronouns", "PRON"),
        ("determiners", "DET"),
        ("possessives", "POSS"),
        ("nominatives", "NOM"),
        ("be", "AUX"),
        ("do", "AUX"),
        ("have", "AUX"),
        ("modals", "AUX"),
        ("conjunctions", "CCONJ"),
        ("subordinators", "SCONJ"),
    ]
    table = {word: name for section, name in order for word in LISTS[section]}
    table |= {"to": "TO", "not": "NEG", "nt": "NEG", "n't": "NEG", "who": "WH", "what": "WH"}
    table |= {"'s": "GEN", "s": "GEN", "'": "GEN", "which": "WH", "there": "THERE"}
    return table


_CLASSES = _class_table()


def classify(word: str) -> str:
    """Class of a lower-case word on its own; OPEN where only its place can tell.

    >>> [classify(word) for word in ("his", "slowly", "walk", "32")]
    ['POSS', 'ADV', 'OPEN', 'NUM']
    """
    if known := _CLASSES.get(word):
        return known
    if not any(letter.isalnum() for letter in word):
        return "PUNCT"
    if word[0].isdigit():
        return "NUM"
    if word.endswith("ly") and word not in LISTS["not_adverbs"]:
        return "ADV"
    return "OPEN"


def verb_forms(word: str) -> str:
    """Verb forms a word can be; an unknown -ing or -ed word passes for a participle."""
    if (known := LEXICON.forms.get(word)) is not None:
        return known
    if len(word) > 5 and word.endswith("ing"):
        return "g"
    return "dn" if len(word) > 4 and word.endswith("ed") else ""


class Sentence:
    """Lower-case words with their classes; readers fill in tags and subjects."""

    def __init__(self, words: list[str]):
        self.words = words
        self.size = len(words)
        self.classes = [classify(word) for word in words]
        self.tags: list[str | None] = [None] * self.size
        self.subjects: list[int] = []
        self.main_form = ""
        """Form of the clause's first verb, as in Lexicon.forms; "" before it is found."""
        self.causative = False
        """Whether the clause has a verb that takes a bare infinitive (make, let, see)."""
        for index, word in enumerate(words):
            if settle := _DOUBTFUL.get(word):
                self.classes[index] = settle(self, index)

    def cls(self, index: int) -> str:
        """Class of the word at ``index``, END outside the text."""
        return self.classes[index] if 0 <= index < self.size else "END"

    def word(self, index: int) -> str:
        """The word at ``index``, "" outside the text."""
        return self.words[index] if 0 <= index < self.size else ""

    def forms(self, index: int) -> str:
        """Verb forms that the word at ``index`` can be, "" outside the text."""
        return verb_forms(self.words[index]) if 0 <= index < self.size else ""

    def make_main(self, index: int) -> None:
        """Tag the word as the verb that its clause is built on."""
        self.tags[index] = "VERB"
        self.main_form = self.forms(index)[:1] or "b"
        self.causative = self.words[index] in LISTS["causatives"]

    def closes_phrase(self, index: int) -> bool:
        """Whether an adjective ends a phrase: the colour of "the man in red"."""
        return self.cls(index - 1) == "ADP" or self.words[index] == "other"

    def surely_verb(self, index: int, letters: str) -> bool:
        """Whether the word has one of the forms and is seldom a noun."""
        return bool(set(self.forms(index)) & set(letters)) and self.words[index] not in NOUNY


# Words whose class one neighbour settles


def _place(text: Sentence, index: int) -> str:
    """ "back": a noun in "at the back" and an adverb elsewhere."""
    nouns = {"DET", "POSS", "ADP", "TO"}
    return "ADV" if text.words[index] == "back" and text.cls(index - 1) not in nouns else "OPEN"


def _her(text: Sentence, index: int) -> str:
    return "POSS" if text.cls(index + 1) in {"OPEN", "ADJ", "NUM", "POSS"} else "PRON"


def _like(text: Sentence, index: int) -> str:
    return "OPEN" if text.word(index - 1) in {"does", "do", "did", "not"} else "ADP"


def _one(text: Sentence, index: int) -> str:
    """A noun in "the one in red", else a number."""
    stands = text.cls(index - 1) in {"DET", "ADJ"} and text.cls(index + 1) not in {"OPEN", "ADJ"}
    return "OPEN" if stands else "NUM"


def _first(text: Sentence, index: int) -> str:
    return "ADV" if text.cls(index - 1) == "ADP" else "ADJ"


def _next(text: Sentence, index: int) -> str:
    return "ADJ" if text.cls(index - 1) in {"DET", "POSS"} else "ADP"


def _so(text: Sentence, index: int) -> str:
    return "ADV" if text.cls(index + 1) in {"ADJ", "ADV"} else "SCONJ"


def _other(text: Sentence, index: int) -> str:
    """ "each other" is a pronoun."""
    if text.word(index - 1) != "each":
        return "ADJ"
    text.classes[index - 1] = "PRON"
    return "PRON"


def _floating(text: Sentence, index: int) -> str:
    """ "they all", "the boys each": an adverb behind what it counts."""
    behind = index > 1 and text.cls(index - 1) in {"NOM", "OPEN"}
    return "ADV" if behind and text.word(index + 1) != "other" else "DET"


def _beside(text: Sentence, index: int) -> str:
    """ "the man behind hold": no preposition in front of a verb."""
    return "ADV" if text.surely_verb(index + 1, "bds") else "ADP"


def _demonstrative(text: Sentence, index: int) -> str:
    """A pronoun where a verb or nothing follows, else a determiner."""
    after, forms = text.cls(index + 1), text.forms(index + 1)
    if after != "OPEN":
        alone = after not in {"ADJ", "NUM"}
    else:
        alone = bool(set(forms) & set("gn")) or text.surely_verb(index + 1, "bds")
    return "PRON" if alone else "DET"


def _that(text: Sentence, index: int) -> str:
    """Opens a clause before a subject, is its subject before a verb, else a determiner."""
    after = text.cls(index + 1)
    if after in {"NOM", "DET", "POSS"} or text.word(index + 1) == "it":
        return "SCONJ"
    if index and (after == "AUX" or text.surely_verb(index + 1, "sd")):
        return "WH"
    return "DET"


_DOUBTFUL: dict[str, Callable[[Sentence, int], str]] = {
    **dict.fromkeys(LISTS["phrase_nouns"], _place),
    **dict.fromkeys(("all", "both", "each"), _floating),
    **dict.fromkeys(("behind", "inside", "outside", "opposite", "above", "below"), _beside),
    **dict.fromkeys(("this", "these", "those"), _demonstrative),
    "her": _her,
    "like": _like,
    "one": _one,
    "first": _first,
    "next": _next,
    "so": _so,
    "other": _other,
    "that": _that,
}
