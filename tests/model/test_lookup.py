"""One lookup for all texts of a step: the same bits, and one gradient as large as the table."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from cra_lib.model.lookup import one_lookup


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 90, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1,
        "intermediate_size": 32, "max_position_embeddings": 20,
    }  # fmt: skip
    return transformers.RobertaModel(transformers.RobertaConfig(**sizes), add_pooling_layer=False)


def chunks():
    """Token ids of three chunks, with padding and words that several of them have."""
    torch.manual_seed(1)
    found = [torch.randint(3, 90, (n, length)) for n, length in ((4, 6), (3, 9), (1, 2))]
    found[0][1:, 4:] = 1
    return found


def run(model, tokens, *, shared):
    model = copy.deepcopy(model).eval()

    def encode():
        return [model(input_ids=ids, attention_mask=(ids != 1).long())[0] for ids in tokens]

    if shared:
        with one_lookup(model, tokens):
            outputs = encode()
    else:
        outputs = encode()
    sum((out * torch.arange(16)).sum() for out in outputs).backward()
    return outputs, {name: p.grad for name, p in model.named_parameters()}


def test_outputs_and_gradients_have_the_same_bits(backbone):
    (one, mine), (other, usual) = (run(backbone, chunks(), shared=s) for s in (True, False))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert mine.keys() == usual.keys()
    for name, gradient in mine.items():
        assert torch.equal(gradient, usual[name]), name


def test_the_table_is_filled_once(backbone):
    """Of three chunks, one gradient has the size of the table; without sharing, all have."""
    counts = {}
    for shared in (True, False):
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True
        ) as seen:
            run(backbone, chunks(), shared=shared)
        rows = [event for event in seen.events() if event.name == "aten::embedding_dense_backward"]
        counts[shared] = sum(90 in (event.concrete_inputs or []) for event in rows)
    assert counts == {True: 1, False: 3}


def test_nothing_is_changed_without_gradients(backbone):
    with torch.no_grad(), one_lookup(backbone, chunks()):
        assert not backbone.get_input_embeddings()._forward_hooks
    with pytest.raises(RuntimeError, match="stopped"), one_lookup(backbone, chunks()):
        raise RuntimeError("stopped")
    assert not backbone.get_input_embeddings()._forward_hooks


def test_groups_of_other_lengths_are_encoded_in_order(tiny):
    model = tiny.build("no-causal").eval()
    groups = [(ids % 60, ids % 60 != 1) for ids in chunks()]
    texts = model.encode_chunks(groups)
    alone = torch.cat([model.encode_text(*group) for group in groups])
    assert torch.equal(texts, alone) and len(texts) == 8
