"""The rule tagger: what it finds in typical sentences, and that no text breaks it."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.causal.rules import tag_words
from cra_lib.causal.rules.lexicon import load_lexicon, stems, third_person
from cra_lib.causal.rules.sentence import classify


def found(text):
    words = text.split()
    tags, subjects = tag_words(words)
    verbs = [word for word, tag in zip(words, tags, strict=True) if tag == "VERB"]
    return [words[index] for index in subjects], verbs


@pytest.mark.parametrize(
    ("text", "subjects", "verbs"),
    [
        ("why did the girl face the camera", ["girl"], ["face"]),
        ("why did the girl touch her face", ["girl"], ["touch"]),
        ("what is on the table", ["what"], []),
        ("how many people are dancing", ["people"], ["dancing"]),
        ("is this a wedding", ["this"], []),
        ("why is there a cat sleeping", ["cat"], ["sleeping"]),
        ("what did the man do after he sat down", ["man", "he"], ["do", "sat"]),
        ("what did the man do after the song", ["man"], ["do"]),
        ("who is singing while the dog barks", ["who", "dog"], ["singing", "barks"]),
        ("why do the boy and the girl walk", ["boy", "girl"], ["walk"]),
        ("how did one of the boys make the baby laugh", ["boys"], ["make", "laugh"]),
        ("why did the man in red wave and jump", ["man"], ["wave", "jump"]),
        ("why did the man behind hold a cup", ["man"], ["hold"]),
        ("what does the lady have in her hand", ["lady"], ["have"]),
        ("has the boy eaten the cake", ["boy"], ["eaten"]),
        ("judging by the trees is the boy outdoors", ["boy"], ["judging"]),
        ("why did the lady frobnicate her hat", ["lady"], ["frobnicate"]),
    ],
)
def test_finds_subjects_and_verbs(text, subjects, verbs):
    assert found(text) == (subjects, verbs)


@given(st.lists(st.sampled_from([*load_lexicon().forms, *"to and the it that so while".split()])))
def test_every_word_gets_one_tag(words):
    tags, subjects = tag_words(words)
    assert len(tags) == len(words)
    assert all(isinstance(tag, str) for tag in tags)
    assert all(0 <= index < len(words) for index in subjects)
    assert len(set(subjects)) == len(subjects)


def test_tags_do_not_depend_on_the_order_of_sets():
    """Python hashes words anew in each process; what is tagged must not follow."""
    sentence = "why did the little boy in the red coat run back to her after the dog sat down"
    code = (
        "from cra_lib.causal.rules import tag_words, lexicon; "
        f"print(tag_words({sentence.split()!r}), sorted(lexicon.load_lexicon().forms.items()))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_forms_of_regular_verbs():
    assert third_person("go") == "goes"
    assert stems("try") == (["tried"], ["trying"])
    assert stems("see") == (["seed"], ["seeing"])
    assert load_lexicon().forms["tying"] == "g"


def test_words_without_letters_are_no_nouns():
    assert classify("\U0001f600") == "PUNCT"
    assert classify("3rd") == "NUM"
