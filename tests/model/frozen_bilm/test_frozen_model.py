"""What a frozen language model learns, keeps, refuses, and costs."""

import pytest
import torch

from cra_lib.config.variants import FROZEN
from cra_lib.datasets import dataset_named
from cra_lib.model.frozen_bilm.candidates import read_candidates
from cra_lib.model.losses import yes_no_loss
from cra_lib.model.parameters import paper_sized, step_cost
from cra_lib.model.saving import count_parameters
from cra_lib.records import InputError

DESCRIBED = [name for name in FROZEN if not name.endswith("released")]


@pytest.mark.parametrize("variant", DESCRIBED)
def test_an_answer_depends_on_its_own_sequence_only(frozen, variant):
    """Neither other sequences nor how far they are padded change it."""
    model, (features, tokens, keep) = frozen.build(variant), frozen.prompts(5)
    together = model(features, tokens, keep)
    for i in range(5):
        length = int(keep[i].sum())
        alone = model(features[i : i + 1], tokens[i : i + 1, :length], keep[i : i + 1, :length])
        for whole, single in zip(together, alone, strict=True):
            if whole is not None:
                torch.testing.assert_close(whole[i], single[0], rtol=1e-5, atol=1e-5)


def test_as_released_it_depends_on_the_batch(released, frozen):
    model, batch = released("cra", torch.float32), frozen.prompts(5)
    alone = model(*(part[:1] for part in batch)).answer_logits
    assert (model(*batch).answer_logits[:1] - alone).abs().max() > 1e-2


def test_adapters_at_zero_give_the_frozen_model(frozen):
    """...and its masked words are those of transformers' own model without them."""
    torch.manual_seed(3)
    language = frozen.language_model()
    features, tokens, keep = frozen.prompts()
    inputs = torch.cat([torch.zeros(4, 8, 48), language.embed(tokens)], dim=1)
    whole = torch.cat([keep.new_ones(4, 8), keep], dim=1)
    place = torch.zeros(4, dtype=torch.long)
    language.eval()
    before = language.read(inputs, whole, place, with_attention=True)
    model = frozen.build("frozen-post-hoc", language=language)
    for name, parameter in model.language.named_parameters():
        if ".adapter.up." in name:
            torch.nn.init.zeros_(parameter)
    after = model.language.read(inputs, whole, place, with_attention=True)
    assert torch.equal(before.states, after.states)
    assert torch.equal(before.mask_attention, after.mask_attention)


@pytest.mark.parametrize("variant", FROZEN)
def test_training_moves_what_is_trained_and_nothing_else(frozen, variant):
    model = frozen.build(variant).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained = model.trained_state()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    output = model(*frozen.prompts())
    extra = [part.sum() for part in (output.query, output.evidence) if part is not None]
    (output.score.sum() + sum(extra)).backward()
    optimizer.step()
    moved = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert moved <= set(trained)
    assert any(".adapter." in name for name in moved) and "frames.weight" in moved
    frozen_names = set(before) - set(trained)
    assert "language.deberta.embeddings.word_embeddings.weight" in frozen_names
    assert not any("LayerNorm" in name or ".adapter." in name for name in frozen_names)


def test_another_question_looks_at_other_frames(frozen):
    """As released the gate cancels; what is left of the question comes through the frames."""
    features, tokens, keep = frozen.prompts(2)
    for variant, listens in (("frozen-cra", True), ("frozen-cra-released", False)):
        model = frozen.build(variant, grounding="released" if not listens else "product").double()
        frames = torch.randn(2, 8, 48, dtype=torch.float64)
        query = 20 * torch.randn(2, 48, dtype=torch.float64)
        moved = (model.grounder(frames, query) - model.grounder(frames, query.flip(0))).abs().max()
        assert (moved > 1e-6) == listens or not listens


def test_the_gaussian_reaches_the_answer(frozen):
    """Described: it does. Released: redrawing every tensor of NG changes no logit."""
    batch = frozen.prompts()
    for variant, reaches in (("frozen-ng+", True), ("frozen-ng+-released", False)):
        model = frozen.build(variant)
        before = model(*batch)
        before.score.sum().backward()
        gradient = model.locate[1].weight.grad
        assert (gradient is not None and bool(gradient.any())) == reaches
        torch.nn.init.normal_(model.locate[1].weight)
        after = model(*batch)
        assert (not torch.equal(before.answer_logits, after.answer_logits)) == reaches
        assert not torch.equal(before.gaussian, after.gaussian)


@pytest.mark.parametrize("variant", ["frozen-cra", "frozen-cra-released"])
def test_candidates_are_read_in_any_chunks(frozen, variant):
    """Rows say where a candidate's prompt lies; chunks do not matter to what is described."""
    model = frozen.build(variant)
    features, tokens, keep = frozen.prompts(6)
    rows = torch.tensor([[3, 0, 5], [1, 4, 2]])
    whole = read_candidates(model, features[:2], [(tokens, keep)], rows)
    parts = read_candidates(
        model, features[:2], [(tokens[:2], keep[:2]), (tokens[2:], keep[2:])], rows
    )
    assert whole.answer_logits.shape == (2, 3, 2) and whole.frame_weights.shape == (2, 3, 8)
    torch.testing.assert_close(whole.answer_logits, parts.answer_logits, rtol=1e-5, atol=1e-5)
    if variant == "frozen-cra":
        one = model(features[:1], tokens[5:6], keep[5:6])
        torch.testing.assert_close(whole.answer_logits[0, 2], one.answer_logits[0])


def test_yes_no_loss():
    """Half of it from the right candidate, and never infinite."""
    logits = torch.tensor([[[0.0, 0.0], [1e4, -1e4]]])
    assert yes_no_loss(logits, torch.tensor([0])).item() == pytest.approx((0.6931 + 100) / 2, 1e-3)
    assert yes_no_loss(logits, torch.tensor([1])).item() == pytest.approx(0.6931 / 2, 1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": lambda t: t.clamp(max=118)}, "mask token once"),
        ({"features": lambda f: f[..., :19]}, "19 wide, but the model takes 20"),
        ({"features": lambda f: f.repeat(1, 8, 1)}, "positions for 64"),
    ],
)
def test_sequences_that_do_not_fit(frozen, change, message):
    names = "features", "tokens", "keep"
    batch = dict(zip(names, frozen.prompts(), strict=True))
    batch = {name: change.get(name, lambda x: x)(value) for name, value in batch.items()}
    with pytest.raises(InputError, match=message):
        frozen.build("frozen-cra")(**batch)


@pytest.mark.parametrize("options", [{"layers": 1}, {"width": 12, "heads": 2}])
def test_language_models_that_do_not_fit(frozen, options):
    with pytest.raises(InputError, match="one layer|12 wide"):
        frozen.build("frozen-cra", language=frozen.language_model(**options))


@pytest.mark.parametrize(
    ("variant", "trained", "total"),
    [
        ("frozen-post-hoc", 29_735_424, 917_450_342),
        ("frozen-ng+-released", 43_909_634, None),
        ("frozen-cra-released", 75_880_803, 963_595_721),
    ],
)
def test_parameters_at_the_size_of_the_paper(variant, trained, total):
    counts = count_parameters(paper_sized(variant))
    assert counts["trained"] == trained
    assert total is None or counts["total"] == total


def test_the_size_of_the_weights_is_that_of_two_bytes_a_parameter():
    language = paper_sized("frozen-post-hoc").language
    bare = sum(p.numel() for name, p in language.named_parameters() if ".adapter." not in name)
    assert dataset_named("nextgqa").optional_models == {"microsoft/deberta-v2-xlarge": 2 * bare}


def test_the_aligned_sides_have_not_seen_each_other(frozen):
    """The words' side is made of word embeddings, the frames' side of projected frames."""
    model = frozen.build("frozen-cra")
    features, tokens, keep = frozen.prompts()
    is_word = keep & (tokens != model.language.vocabulary.mask)
    output = model(features, tokens.masked_fill(is_word, 15), keep)
    embedding = model.language.words[15].expand_as(output.wording)
    torch.testing.assert_close(output.wording, embedding)
    assert not torch.allclose(output.query[0], output.query[1])
    segment = torch.einsum("nt,ntd->nd", output.frame_weights, model.frames(features))
    torch.testing.assert_close(output.segment, segment)


def test_checkpointing_keeps_less_and_changes_nothing(frozen):
    batch, gradients, kept = frozen.prompts(), [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = frozen.build("frozen-cra", language=frozen.language_model(layers=4)).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model.extra.attention.dropout = 0.0
        if checkpointing:
            model.language.checkpoint_layers()
        size = 0

        def keep(value):
            nonlocal size
            size += value.numel() * value.element_size()
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            score = model(*batch).score.sum()
        score.backward()
        gradients.append(model.frames.weight.grad)
        kept.append(size)
    torch.testing.assert_close(*gradients)
    assert kept[1] < 0.6 * kept[0]


def test_a_step_has_a_computed_cost(frozen):
    with torch.device("meta"):
        model = frozen.build("frozen-cra", language=frozen.language_model(layers=4))
    plain, saving = (step_cost(words=16, checkpointing=on, model=model) for on in (False, True))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert saving.kept < 0.7 * plain.kept
    assert saving.operations > plain.operations > 60 * 24 * 6 * trained
    assert plain.optimizer == 12 * trained
