"""Components of question-answer pairs: quality on real text, odd text, both pipelines."""

import json
from pathlib import Path

import pytest
import spacy

from cra_lib.causal import parsing
from cra_lib.causal.parsing import Pair, load_pipeline, parse_pairs, parse_texts
from cra_lib.records import InputError, Question

ANNOTATED = Path(__file__).with_name("annotated_questions.json")


@pytest.fixture(scope="module")
def rules():
    return load_pipeline("rules")


def f1_scores(parses, annotated):
    """Component -> F1 over the words of all questions."""
    scores = {}
    for name in ("subject", "verbs", "objects"):
        hits = found = true = 0
        for row in annotated:
            ours, theirs = set(getattr(parses[row["question"]], name)), set(row[name])
            hits, found, true = hits + len(ours & theirs), found + len(ours), true + len(theirs)
        scores[name] = 2 * hits / (found + true)
    return scores


def test_quality_on_hand_annotated_questions(rules):
    annotated = json.loads(ANNOTATED.read_text(encoding="utf-8"))["questions"]
    scores = f1_scores(parse_texts([row["question"] for row in annotated], rules), annotated)
    assert len(annotated) >= 80
    assert scores["subject"] >= 0.95
    assert scores["verbs"] >= 0.95
    assert scores["objects"] >= 0.95


@pytest.mark.shared
def test_annotated_questions_are_real(shared_data):
    real = (shared_data / "nextgqa" / "val.csv").read_text(encoding="utf-8")
    annotated = json.loads(ANNOTATED.read_text(encoding="utf-8"))["questions"]
    assert all(row["question"] in real for row in annotated)


def test_components_in_node_order(rules):
    pair = Pair("v_1", "why did the girl in red clap her hands", "to cheer the boy")
    [components] = parse_pairs([pair], rules).components
    assert components == (
        pair.question,
        "why",
        "girl",
        "clap",
        "red hands",
        pair.answer,
        "cheer",
        "boy",
    )


def test_words_keep_their_order_and_come_once(rules):
    text = "what did the dog do after the dog saw the red ball and the blue ball"
    parse = parse_texts([text], rules)[text]
    assert parse.subject == ("dog",)
    assert parse.objects == ("red", "ball", "blue")


@pytest.mark.parametrize(
    ("question", "answer", "counted"),
    [
        ("why does he run", "", {"empty_answer"}),
        ("how many dogs are there", "3", {"numbers_only", "no_verb"}),
        ("为什么 女孩 在 笑", "高兴", {"not_latin", "no_question_word", "no_verb"}),
        ("\U0001f600 \U0001f436", "\U0001f44d", {"no_letters", "no_question_word", "no_subject"}),
        (" ".join(["why did the boy jump"] * 200), "fun", {"long"}),
        ("where is this", "park", {"no_verb"}),
        ("12 34", "5", {"numbers_only", "no_letters"}),
    ],
)
def test_odd_text_is_handled_and_counted(rules, question, answer, counted):
    parsed = parse_pairs([Pair("v_0", question, answer)], rules)
    assert len(parsed.components) == 1
    assert all(parsed.counts[name] == 1 for name in counted)
    assert all(isinstance(text, str) for text in parsed.components[0])


def test_same_output_for_any_number_of_workers(rules):
    texts = [f"why did the girl {verb} the ball {n}" for n in range(20) for verb in ("hit", "see")]
    assert parse_texts(texts, rules, workers=2) == parse_texts(texts, rules)


def fake_trained_pipeline(tags, labels, heads):
    """A blank pipeline that sets given parts of speech and dependencies, as a model would."""
    pipeline = spacy.blank("en")

    @spacy.Language.component("hand_set")
    def hand_set(doc):
        for token, tag, label, head in zip(doc, tags, labels, heads, strict=True):
            token.pos_, token.head = tag, doc[head]
            token.dep_ = label
        return doc

    pipeline.add_pipe("hand_set")
    return pipeline


def test_a_dependency_pipeline_gives_the_same_components(monkeypatch, rules):
    text = "why were the boy and the girl chased by the dog"
    tags = "SCONJ AUX DET NOUN CCONJ DET NOUN VERB ADP DET NOUN".split()
    labels = "advmod auxpass det nsubjpass cc det conj ROOT agent det pobj".split()
    pipeline = fake_trained_pipeline(tags, labels, [7, 7, 3, 7, 3, 6, 3, 7, 7, 10, 8])
    monkeypatch.setattr(spacy, "load", lambda name, exclude: pipeline)
    found = parse_texts([text], load_pipeline("en_core_web_sm"))[text]
    assert found == parsing.Parse("why", ("boy", "girl"), ("chased",), ("dog",))
    assert found == parse_texts([text], rules)[text]


def test_a_missing_model_names_the_remedy():
    with pytest.raises(InputError, match=r"spacy download en_no_such_model.*rules"):
        load_pipeline("en_no_such_model")


def test_pairs_skip_questions_without_public_answer():
    questions = [
        Question("v", "0", "why", ("a", "b"), 1, "CW"),
        Question("v", "1", "how", ("a", "b"), None, "CH"),
    ]
    assert parsing.pairs_of(questions) == [Pair("v_0", "why", "b")]
