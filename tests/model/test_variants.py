"""What every variant promises: gradients, invariances, distributions; what the release breaks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cra_lib.config.variants import ON_TEMP_CLIP
from cra_lib.model.losses import answer_loss

DESCRIBED = [name for name in ON_TEMP_CLIP if not name.endswith("-released")]
GROUNDED = [name for name in DESCRIBED if name not in ("blind", "post-hoc")]
BATCHED = [
    n for n in ON_TEMP_CLIP if n.endswith("-released") and "vci" not in n and "causal" not in n
]
BATCHED = [n for n in BATCHED if not n.startswith(("post-hoc", "ng"))]

UNUSED = {"cra-released", "no-gsg-released", "no-cma-released", "no-vci-released"}
"""Variants that build the back-door and never call it."""
SHIFTS = ("score.2.bias", "score.3.bias", "pooling.score.bias", "attention.2.bias", "key.bias")
"""Biases that shift all scores of a softmax alike: used, but without effect."""

variants = pytest.mark.parametrize("variant", ON_TEMP_CLIP)
described = pytest.mark.parametrize("variant", DESCRIBED)


def close(result, expected, tolerance=1e-5):
    torch.testing.assert_close(result, expected, rtol=tolerance, atol=tolerance)


def rows(batch, order):
    """The same questions in another order, or fewer of them."""
    videos, choices = batch.shape
    texts = (torch.tensor(order)[:, None] * choices + torch.arange(choices)).flatten()
    parts = dict(vars(batch), features=batch.features[order], truth=batch.truth[order])
    parts |= {"tokens": batch.tokens[texts], "keep": batch.keep[texts]}
    return type(batch)(**{**parts, "shape": (len(order), choices)})


@variants
def test_gradients_reach_what_is_used_and_nothing_else(tiny, variant):
    model, batch = tiny.build(variant), tiny.batch()
    output = tiny.run(model, batch, batch.truth)
    (answer_loss(output.answer_logits, batch.truth) + output.frame_weights.pow(2).sum()).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    unused = {name for name, _ in model.named_parameters() if name.startswith("back_door.")}
    assert without == (unused if variant in UNUSED else set())


@variants
def test_every_parameter_matters(tiny, variant):
    """A gradient that is there is not zero, but where the method itself makes it vanish."""
    model, batch = tiny.build(variant).double().eval(), tiny.batch()
    batch.features = batch.features.double()
    output = tiny.run(model, batch, batch.truth)
    scale = torch.linspace(1, 2, output.answer_logits.numel()).view_as(output.answer_logits)
    total = (output.answer_logits.double() * scale).sum()
    (total + (output.frame_weights * torch.arange(16)).sum()).backward()
    idle = {n for n, p in model.named_parameters() if p.grad is not None and not p.grad.any()}
    assert {name for name in idle if not name.endswith(SHIFTS)} == set()


@described
@settings(max_examples=3)
@given(order=st.permutations(range(4)), seed=st.integers(0, 99))
def test_batch_order_and_companions_do_not_matter(tiny, variant, order, seed):
    model, batch = tiny.build(variant, seed).eval(), tiny.batch(seed=seed)
    whole = tiny.run(model, batch)
    shuffled = tiny.run(model, rows(batch, list(order)))
    alone = tiny.run(model, rows(batch, [2]))
    close(shuffled.answer_logits, whole.answer_logits[list(order)])
    close(shuffled.frame_weights, whole.frame_weights[list(order)])
    close(alone.answer_logits[0], whole.answer_logits[2])
    close(alone.frame_weights[0], whole.frame_weights[2])


@described
@settings(max_examples=3)
@given(more=st.integers(1, 26), seed=st.integers(0, 99))
def test_padding_does_not_matter(tiny, variant, more, seed):
    model, batch = tiny.build(variant, seed).eval(), tiny.batch(seed=seed)
    before = tiny.run(model, batch)
    batch.tokens = torch.nn.functional.pad(batch.tokens, (0, more), value=1)
    batch.keep = torch.nn.functional.pad(batch.keep, (0, more), value=False)
    after = tiny.run(model, batch)
    close(after.answer_logits, before.answer_logits)
    close(after.frame_weights, before.frame_weights)


@variants
@settings(max_examples=3)
@given(order=st.permutations(range(5)), seed=st.integers(0, 99))
def test_candidates_may_come_in_any_order(tiny, variant, order, seed):
    model, batch = tiny.build(variant, seed).eval(), tiny.batch(seed=seed)
    order = list(order)
    candidates = model.encode_text(batch.tokens, batch.keep).unflatten(0, batch.shape)
    video = model.encode_video(batch.features)
    before = model(video, candidates, model.query_of(candidates))
    permuted = candidates[:, order]
    after = model(video, permuted, model.query_of(permuted))
    close(after.answer_logits, before.answer_logits[:, order])
    close(after.frame_weights, before.frame_weights)


@variants
def test_weights_are_a_distribution(tiny, variant):
    output = tiny.run(tiny.build(variant), tiny.batch())
    for weights in (output.frame_weights, output.raw_weights):
        assert (weights >= 0).all()
        close(weights.sum(dim=-1), torch.ones(4))


@pytest.mark.parametrize("variant", GROUNDED)
def test_another_question_looks_elsewhere(tiny, variant):
    """The same video, another question: other frame weights, already before any training."""
    model, batch, other = tiny.build(variant).double().eval(), tiny.batch(), tiny.batch(seed=9)
    other.features = batch.features = batch.features.double()
    first, second = tiny.run(model, batch).frame_weights, tiny.run(model, other).frame_weights
    assert ((first - second).abs().amax(dim=-1) > 1e-6).all()


@pytest.mark.parametrize("variant", BATCHED)
def test_as_released_the_answer_depends_on_the_batch(tiny, variant):
    """If this dependence vanished, the released variant would no longer be the release."""
    model, batch = tiny.build(variant).eval(), tiny.batch()
    whole = tiny.run(model, batch)
    alone = tiny.run(model, rows(batch, [2]))
    assert (alone.answer_logits[0] - whole.answer_logits[2]).abs().max() > 1e-3
    close(alone.frame_weights[0], whole.frame_weights[2])


def test_as_released_a_batch_of_one_ignores_its_mediator_inside(tiny):
    """Softmax over one sample is one: P(M|X) is the video's mean, whatever was grounded."""
    door = tiny.build("cra-released").front_door.eval()
    video = torch.randn(1, 16, 32)
    first, second = (door.over_batch(torch.randn(1, 32), video.mean(dim=1)) for _ in range(2))
    close(first, second)


def test_as_released_padding_moves_the_answer(tiny):
    model, batch = tiny.build("cra-released").eval(), tiny.batch()
    before = tiny.run(model, batch)
    batch.tokens = torch.nn.functional.pad(batch.tokens, (0, 4), value=1)
    batch.keep = torch.nn.functional.pad(batch.keep, (0, 4), value=False)
    assert (tiny.run(model, batch).answer_logits - before.answer_logits).abs().max() > 1e-3


def test_as_released_the_question_stage_hears_the_label(tiny):
    batch = tiny.batch()
    heard = {}
    for variant in ("cra", "cra-released", "ng+", "ng+-released"):
        model = tiny.build(variant).eval()
        candidates = model.encode_text(batch.tokens, batch.keep).unflatten(0, batch.shape)
        known, unknown = model.query_of(candidates, batch.truth), model.query_of(candidates)
        heard[variant] = not torch.equal(known, unknown)
    assert heard == {"cra": False, "cra-released": True, "ng+": False, "ng+-released": True}


@pytest.mark.parametrize("variant", [*DESCRIBED, "cra-released"])
def test_sigma_stays_finite_and_positive_through_training(tiny, variant):
    model, batch = tiny.build(variant), tiny.batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05, amsgrad=True)
    for _ in range(6):
        optimizer.zero_grad()
        answer_loss(tiny.run(model, batch).answer_logits, batch.truth).backward()
        optimizer.step()
    sigma = getattr(getattr(model, "smoother", None), "sigma", torch.tensor(1.0))
    assert torch.isfinite(sigma) and sigma > 0
    assert torch.isfinite(tiny.run(model, batch).answer_logits).all()


def test_as_interrupted_the_back_door_moves_the_query_alone(tiny):
    batch, door = tiny.batch(), tiny.build("cra", back_door="query").back_door
    query, candidates = torch.randn(4, 32), torch.randn(4, 5, 32)
    assert not torch.equal(door(query), query) and torch.equal(door(candidates), candidates)
    both, alone = (
        tiny.run(tiny.build("cra", back_door=which).eval(), batch) for which in ("applied", "query")
    )
    close(both.frame_weights, alone.frame_weights)
    assert (both.answer_logits - alone.answer_logits).abs().max() > 1e-3


@pytest.mark.parametrize("variant", ["post-hoc-released", "ng+-released"])
def test_as_released_the_baselines_drop_attention_weights(tiny, variant):
    """0.3 on attention weights, feed-forward, projection and Gaussian head, in training alone."""
    model, ours = tiny.build(variant), tiny.build(variant.removesuffix("-released"))
    own = {
        name: part.p
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Dropout) and not name.startswith(("text.", "frames."))
    }
    heads = {"locate.0"} if variant.startswith("ng") else set()
    assert own == dict.fromkeys({"project.0", "layers.0.dropout", "layers.1.dropout"} | heads, 0.3)
    assert {layer.attention.dropout for layer in model.layers} == {0.3}
    assert {layer.attention.dropout for layer in ours.layers} == {0.0}
    attention, x = model.layers[0].attention, torch.randn(2, 6, 32)
    torch.manual_seed(0)
    first, second = attention(x, x, x), attention(x, x, x)
    assert not torch.equal(first, second)
    attention.eval()
    close(attention(x, x, x), attention(x, x, x))


def test_blind_model_does_not_see(tiny):
    model, batch = tiny.build("blind").eval(), tiny.batch()
    first = tiny.run(model, batch)
    batch.features = torch.randn_like(batch.features)
    assert torch.equal(tiny.run(model, batch).answer_logits, first.answer_logits)


def test_encoding_a_video_once_serves_every_question(tiny):
    model, batch = tiny.build("cra").eval(), tiny.batch()
    whole = tiny.run(model, batch)
    for row in range(4):
        video = model.encode_video(batch.features[row : row + 1])
        part = rows(batch, [row])
        candidates = model.encode_text(part.tokens, part.keep).unflatten(0, part.shape)
        close(model(video, candidates, model.query_of(candidates)).answer_logits[0],
              whole.answer_logits[row])  # fmt: skip


def test_answers_start_undecided_whatever_the_width(tiny):
    """Two normed vectors of scale one would start with logits of variance `width`."""
    batch = tiny.batch(videos=64)
    balanced, ones = (
        tiny.run(tiny.build("cra", width=256, norm_scale=scale).eval(), batch).answer_logits
        for scale in ("balanced", "ones")
    )
    assert balanced.std(dim=0).max() < 2 < 8 < ones.std(dim=0).min()
    close(ones, balanced * 16, tolerance=1e-3)


def test_as_released_norms_start_at_one(tiny):
    assert (tiny.build("cra-released").front_door.norm.weight == 1).all()
