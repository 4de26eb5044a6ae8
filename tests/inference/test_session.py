"""One encoded video, many questions."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from cra_lib.config import run_config
from cra_lib.inference.session import VideoSession
from cra_lib.model import build_model
from cra_lib.records import InputError

WORDS = "what did the red blue circle square do raise a flag open an umbrella grow".split()
TIMES = np.linspace(0.5, 15.5, 16)
CHOICES = ("raise a flag", "open an umbrella", "grow")


@pytest.fixture(scope="module")
def tokenizer():
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {word: number for number, word in enumerate(special + WORDS)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>",
    )  # fmt: skip


def session(tokenizer, variant="cra", features=None):
    torch.manual_seed(0)
    sizes = {"width": 16, "ffn_width": 16, "heads": 2, "layers": 1}
    config = run_config("shapes", variant, overrides={"model": sizes})
    text = RobertaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=64, type_vocab_size=1,
    )  # fmt: skip
    model = build_model(
        config.model,
        visual=torch.randn(3, 12),
        graphs=torch.randn(3, 8, 10),
        backbone=RobertaModel(text),
        feature_width=12,
    )
    features = torch.randn(16, 12) if features is None else features
    return VideoSession(model, features, TIMES, tokenizer=tokenizer, span=config.span)


@pytest.mark.parametrize("variant", ["cra", "cra-released", "ng+", "post-hoc"])
def test_an_answer_is_complete(tokenizer, variant):
    video = session(tokenizer, variant)
    answer = video.ask("what did the red circle do", CHOICES)
    assert answer.choice == CHOICES[answer.index]
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-5)
    assert answer.index == int(np.argmax(answer.probabilities))
    assert sum(answer.frame_weights) == pytest.approx(1, abs=1e-5)
    assert len(answer.frame_weights) == len(answer.raw_weights) == 16
    assert {"post-hoc", "windows", "merged"} <= set(answer.spans)
    assert ("gaussian" in answer.spans) == (variant == "ng+")
    assert video.duration == pytest.approx(16)


@pytest.mark.parametrize("variant", ["cra", "cra-released"])
def test_questions_together_or_one_by_one(tokenizer, variant):
    video = session(tokenizer, variant)
    questions = [("what did the red circle do", CHOICES), ("what did the blue square", CHOICES[:2])]
    together = video.ask_all(questions)
    for question, answer in zip(questions, together, strict=True):
        alone = video.ask(*question)
        assert alone.probabilities == pytest.approx(answer.probabilities, abs=1e-5)
        assert alone.frame_weights == pytest.approx(answer.frame_weights, abs=1e-5)
    assert together[0].frame_weights != together[1].frame_weights or variant == "cra-released"


@pytest.mark.parametrize(
    ("question", "choices", "message"),
    [
        ("", CHOICES, "question is empty"),
        ("what did the circle do", (), "no choices"),
        ("what did the circle do", ("grow", " "), "choice .* is empty"),
    ],
)
def test_nothing_to_answer(tokenizer, question, choices, message):
    with pytest.raises(InputError, match=message):
        session(tokenizer).ask(question, choices)


def test_features_that_do_not_fit(tokenizer):
    with pytest.raises(InputError, match="one time a frame"):
        session(tokenizer, features=torch.zeros(9, 12))
    with pytest.raises(InputError, match="11 wide"):
        session(tokenizer, features=torch.zeros(16, 11))
    with pytest.raises(InputError, match="NaN"):
        session(tokenizer, features=np.full((16, 12), np.nan))
