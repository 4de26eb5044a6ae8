"""Question and answer -> the eight text components of a question graph.

Two pipelines give the same output: any spaCy model by name (parts of speech and dependencies), or
"rules", the project's own tagger on ``spacy.blank("en")``, which needs no download. The rules are
used only where the settings name them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cra_lib.causal.rules import tag_words
from cra_lib.records import InputError, Question

RULES = "rules"
"""Name of the rule pipeline in settings, cards and on the command line."""
QUESTION_WORDS = frozenset(
    "what which who whom whose why how where when".split()
)  # the lower-case word itself, wherever it stands first
SUBJECT_LABELS = frozenset({"nsubj", "nsubj:pass", "nsubjpass"})
OBJECT_TAGS = frozenset({"NOUN", "PROPN", "ADJ"})
MANY_WORDS = 100
"""Texts with more words are counted as long."""


class Pair(NamedTuple):
    """One training question and its right answer."""

    key: str
    question: str
    answer: str


class Components(NamedTuple):
    """The eight texts of one pair, in the order of the graph's nodes; absent parts are ""."""

    question: str
    question_word: str
    subject: str
    verbs: str
    objects: str
    answer: str
    answer_verbs: str
    answer_objects: str


@dataclass(frozen=True, slots=True)
class Parse:
    """What one text consists of; lower-case words in the order of the text, each once."""

    question_word: str
    subject: tuple[str, ...]
    """Heads of the subjects of all clauses; the first clause's comes first."""
    verbs: tuple[str, ...]
    """Full verbs as written; auxiliaries and copulas are left out."""
    objects: tuple[str, ...]
    """Nouns, proper nouns and adjectives that are not a subject."""


class ParsedPairs(NamedTuple):
    """Components of all pairs, and how many of them are odd."""

    keys: tuple[str, ...]
    components: list[Components]
    counts: dict[str, int]
    """pairs, unique_texts, and how many pairs show each oddity (see `oddities`)."""


def load_pipeline(name: str) -> Any:
    """A spaCy pipeline: a model by name, or the rule tagger for "rules".

    Raises:
        InputError: the model is not installed; the message says how to get it, or to use the rules.
    """
    import spacy

    if name == RULES:
        from spacy.language import Language

        if not Language.has_factory("question_rules"):
            Language.component("question_rules", func=_apply_rules)
        pipeline = spacy.blank("en")
        pipeline.add_pipe("question_rules")
        return pipeline
    try:
        return spacy.load(name, exclude=["ner", "lemmatizer"])
    except (OSError, ImportError):
        raise InputError(
            f"spaCy model {name!r} is not installed; run `python -m spacy download {name}`, or set "
            f'causal.parser to "{RULES}" to use the rule pipeline, which needs no download.'
        ) from None


def _apply_rules(doc):
    """spaCy component: tag a document in place by the rules."""
    tags, subjects = tag_words([token.lower_ for token in doc])
    for token, tag in zip(doc, tags, strict=True):
        token.pos_ = tag
    for index in subjects:
        doc[index].dep_ = "nsubj"
    return doc


def read_parse(doc) -> Parse:
    """The parts of one parsed document, whichever pipeline parsed it."""
    words = [token.lower_ for token in doc]
    subjects = {token.i for token in doc if _is_subject(token)}
    asked = next((word for word in words if word in QUESTION_WORDS), "")
    return Parse(
        question_word=asked,
        subject=_once(words[index] for index in sorted(subjects)),
        verbs=_once(token.lower_ for token in doc if token.pos_ == "VERB"),
        objects=_once(
            token.lower_ for token in doc if token.pos_ in OBJECT_TAGS and token.i not in subjects
        ),
    )


def _is_subject(token) -> bool:
    """A subject's head, or a noun joined to one by "and"."""
    if token.dep_ == "conj":
        return token.head.dep_ in SUBJECT_LABELS
    return token.dep_ in SUBJECT_LABELS


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def parse_texts(
    texts: Iterable[str],
    pipeline: Any,
    *,
    workers: int = 1,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Parse]:
    """Parse each different text once.

    Args:
        pipeline: what `load_pipeline` gives.
        workers: processes; the result does not depend on it.
        progress: wraps the iteration, such as tqdm.
    """
    unique = list(dict.fromkeys(texts))
    # A longer text than spaCy accepts is no question; its beginning stands for it.
    shown = (text[: pipeline.max_length] for text in unique)
    docs = pipeline.pipe(shown, n_process=workers, batch_size=256)
    return {text: read_parse(doc) for text, doc in zip(unique, progress(docs), strict=True)}


def parse_pairs(
    pairs: Sequence[Pair],
    pipeline: Any,
    *,
    workers: int = 1,
    progress: Callable[[Iterable], Iterable] = iter,
) -> ParsedPairs:
    """The components of all pairs; odd text is kept and counted, never dropped."""
    texts = [text for pair in pairs for text in (pair.question, pair.answer)]
    parses = parse_texts(texts, pipeline, workers=workers, progress=progress)
    components = [_components(pair, parses[pair.question], parses[pair.answer]) for pair in pairs]
    counts = Counter({"pairs": len(pairs), "unique_texts": len(parses)})
    counts.update(dict.fromkeys(ODDITIES, 0))
    for pair in pairs:
        counts.update(oddities(pair, parses[pair.question]))
    return ParsedPairs(tuple(pair.key for pair in pairs), components, dict(counts))


def _components(pair: Pair, question: Parse, answer: Parse) -> Components:
    return Components(
        question=pair.question,
        question_word=question.question_word,
        subject=" ".join(question.subject),
        verbs=" ".join(question.verbs),
        objects=" ".join(question.objects),
        answer=pair.answer,
        answer_verbs=" ".join(answer.verbs),
        # An answer has no subject node, so its subject counts among the things it names.
        answer_objects=" ".join(_once((*answer.subject, *answer.objects))),
    )


ODDITIES = (
    "empty_answer",
    "numbers_only",
    "no_letters",
    "not_latin",
    "long",
    "no_question_word",
    "no_subject",
    "no_verb",
)


def oddities(pair: Pair, question: Parse) -> Iterator[str]:
    """Names of what is unusual about one pair."""
    answer = pair.answer.strip()
    both = f"{pair.question} {answer}"
    letters = [character for character in both if character.isalpha()]
    checks = {
        "empty_answer": not answer,
        "numbers_only": answer.replace(".", "", 1).isdigit(),
        "no_letters": not any(character.isalpha() for character in pair.question),
        "not_latin": sum(character > "\u024f" for character in letters) * 2 > len(letters),
        "long": len(pair.question.split()) > MANY_WORDS or len(answer.split()) > MANY_WORDS,
        "no_question_word": not question.question_word,
        "no_subject": not question.subject,
        "no_verb": not question.verbs,
    }
    return (name for name in ODDITIES if checks[name])


def pairs_of(questions: Iterable[Question]) -> list[Pair]:
    """Question and right answer of each question whose answer is public."""
    return [
        Pair(question.key, question.text, question.choices[question.answer])
        for question in questions
        if question.answer is not None
    ]
