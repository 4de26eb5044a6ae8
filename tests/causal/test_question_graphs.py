"""Question graphs: nodes, edges, and that each text is encoded once."""

import numpy as np
import pytest

from cra_lib.causal import node_encoders, question_graphs
from cra_lib.causal.node_encoders import HashedEncoder, TransformerEncoder, load_node_encoder
from cra_lib.causal.parsing import Components
from cra_lib.causal.question_graphs import build_graphs, coverage
from cra_lib.data.confounders import EDGES, NODES
from cra_lib.records import InputError


class CountingEncoder:
    """Hashes texts and remembers which it was given."""

    name, width = "counting", 16

    def __init__(self):
        self.seen = []
        self.inner = HashedEncoder(self.width)

    def encode(self, texts):
        self.seen += texts
        return self.inner.encode(texts)


ROWS = [
    Components("why run", "why", "boy", "run", "", "to win", "win", ""),
    Components("why jump", "why", "boy", "jump", "rope", "to win", "win", ""),
]


def test_each_text_is_encoded_once():
    encoder = CountingEncoder()
    graphs = build_graphs(ROWS, encoder)
    assert sorted(encoder.seen) == sorted(set(encoder.seen)) == list(graphs.texts)


def test_a_graph_holds_the_vectors_of_its_components():
    encoder = HashedEncoder(32)
    taken = build_graphs(ROWS, encoder).take([1, 0])
    assert taken.shape == (2, len(NODES), 32)
    np.testing.assert_allclose(taken[0], encoder.encode(list(ROWS[1])), rtol=1e-6)


def test_edges_are_those_of_the_graph_convolution():
    from cra_lib.model import intervention

    assert tuple(EDGES) == tuple(tuple(edge) for edge in intervention.EDGES)
    assert len(EDGES) == 12


def test_coverage_counts_filled_nodes():
    shares = coverage(ROWS)
    assert shares["objects"] == 0.5
    assert shares["answer objects"] == 0.0
    assert shares["question"] == 1.0
    assert set(coverage([])) == set(NODES)


def test_hashed_vectors_are_fixed_unit_and_near_for_like_words():
    encoder = HashedEncoder(256)
    walk, walking, piano, empty = encoder.encode(["walk", "walking", "piano", ""])
    assert np.linalg.norm(walk) == pytest.approx(1, abs=1e-5)
    assert walk @ walking > walk @ piano + 0.2
    assert not empty.any()
    assert encoder.encode([]).shape == (0, 256)


def test_order_of_encoding_does_not_matter():
    encoder = HashedEncoder(8)
    texts = ["a long question about a dog", "dog", "", "why"]
    vectors = node_encoders.encode_texts(encoder, texts, batch_size=2)
    np.testing.assert_array_equal(vectors, encoder.encode(texts))


def tiny_transformer():
    """A random BERT with a word tokenizer, made in memory."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "why", "dog", "runs"]
    raw = Tokenizer(models.WordLevel(dict(zip(words, range(5), strict=True)), unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=5,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    return TransformerEncoder(BertModel(config), tokenizer, "tiny")


def test_a_transformer_encodes_a_text_alike_alone_and_in_a_batch():
    encoder = tiny_transformer()
    texts = ["why", "why dog runs", ""]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts[:2]])
    assert together.shape == (3, 16)
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(encoder.encode([""]), together[2:])
    np.testing.assert_allclose(together[:2], alone, atol=1e-5)


def test_encoders_by_name():
    assert load_node_encoder("hashed", 24).width == 24
    with pytest.raises(InputError, match="hashed"):
        load_node_encoder("no-such/encoder")


def test_no_pairs_give_no_graphs():
    graphs = question_graphs.build_graphs([], HashedEncoder(8))
    assert graphs.take(slice(None)).shape == (0, 8, 8)
