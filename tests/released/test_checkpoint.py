"""A released checkpoint becomes our model and goes back without loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cra_lib.model import CRA
from cra_lib.model.losses import answer_loss, released_alignment_loss, weighted
from cra_lib.records import InputError
from cra_lib.released import (
    export_checkpoint,
    export_state,
    import_checkpoint,
    import_state,
    read_checkpoint,
)
from cra_lib.released.names import CRA_NAMES, TEMP_CLIP_NAMES, translate

PAD = 1


@pytest.fixture(scope="module")
def imported(released_state):
    return import_state(released_state)


def batch(seed=0, videos=3, choices=2):
    generator = torch.Generator().manual_seed(seed)
    tokens = {}
    for name, length in (("answer", 38), ("question", 30)):
        ids = torch.randint(4, 200, (videos * choices, length), generator=generator)
        kept = torch.arange(length) < torch.randint(5, length, (len(ids), 1), generator=generator)
        tokens[name] = ids.masked_fill(~kept, PAD)
    features = torch.randn(videos, 32, 768, generator=generator)
    return features, tokens, torch.tensor([1, 0, 0])


def stage(model, video, tokens, truth, known):
    candidates = model.encode_text(tokens, tokens != PAD).unflatten(0, (len(truth), -1))
    return candidates, model(video, candidates, model.query_of(candidates, known))


def losses(model, data):
    """The total of the recipe, with the first negatives that there are."""
    features, tokens, truth = data
    video, found = model.encode_video(features), {}
    others = torch.tensor([[1, 2], [0, 2], [0, 1]])
    for name, known in (("answer", None), ("question", truth)):
        candidates, output = stage(model, video, tokens[name], truth, known)
        right = candidates[torch.arange(3), truth]
        found[name] = answer_loss(output.answer_logits, truth)
        found[f"alignment_{name}"] = released_alignment_loss(output.evidence, right, others)
    return weighted(found)


def test_every_name_has_its_place(released_state, imported):
    assert imported.missing == []
    unread = ("selector", "time_reparam", "attention_video_feature", "pooler")
    assert all(any(part in name for part in unread) for name in imported.leftovers)
    assert len(imported.leftovers) == 14


def test_25_tensors_never_get_a_gradient(imported):
    """14 that have no counterpart, and the 11 of the back-door, which is never called."""
    model = imported.model.eval()
    model.zero_grad()
    losses(model, batch()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert len(without) + len(imported.leftovers) == 25
    assert all(name.startswith("back_door.") for name in without)


def test_round_trip_is_lossless(released_state, imported):
    back = export_state(imported.model, imported.leftovers)
    assert set(back) == set(released_state)
    assert all(torch.equal(back[name], released_state[name]) for name in back)


def test_prefix_of_several_gpus_is_dropped(released_state):
    prefixed = {f"module.{name}": tensor for name, tensor in released_state.items()}
    back = import_state(prefixed)
    assert set(export_state(back.model, back.leftovers)) == set(released_state)


def test_settings_come_from_the_tensors(imported):
    settings = imported.model.settings
    assert (settings.width, settings.ffn_width, settings.layers, settings.heads) == (768, 768, 2, 8)
    assert settings.grounding == settings.smoothing.replace("softmax", "released") == "released"
    assert (settings.front_door, settings.back_door) == ("batch", "unused")


def test_whole_pass_equals_a_plain_one(released_state, imported):
    """The release's forward pass written out over its own names, in float64."""
    state = {name: tensor.double() for name, tensor in released_state.items()}
    model = imported.model.double().eval()
    features, tokens, truth = batch()
    candidates, output = stage(
        model, model.encode_video(features.double()), tokens["answer"], truth, None
    )
    words = model.text.backbone(
        tokens["answer"], attention_mask=(tokens["answer"] != PAD).long()
    ).last_hidden_state
    logits, weights = plain_pass(state, features.double(), words)
    imported.model.float()
    torch.testing.assert_close(output.answer_logits, logits, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(output.frame_weights, weights, rtol=1e-9, atol=1e-9)


def plain_pass(state, features, words):
    """Logits [B, C] and frame weights [B, T] of the released model."""

    def linear(name, x):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    def unbiased(name, x):
        scaled = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)
        return state[f"{name}.gamma"] * scaled + state[f"{name}.beta"]

    words = linear("lang_model.linear_text", words)
    attention = linear("lang_model.word_attn.0", words).softmax(dim=-2)
    candidates = (words * attention).sum(dim=-2).view(len(features), -1, 768)
    x = F.gelu(linear("video_model.proj", features))
    x = F.layer_norm(
        x, (768,), state["video_model.norm.weight"], state["video_model.norm.bias"], 1e-12
    )
    x = x + table(32, 768)
    for layer in ("decoder.layers.0", "decoder.layers.1"):
        y = unbiased(f"{layer}.sublayer_self.norm", x)
        q, k, v = (
            linear(f"{layer}.self_attn.linears.{i}", y).view(-1, 32, 8, 96).transpose(1, 2)
            for i in range(3)
        )
        mixed = (q @ k.transpose(-1, -2) / 96**0.5).softmax(-1) @ v
        x = x + linear(f"{layer}.self_attn.linears.3", mixed.transpose(1, 2).reshape(-1, 32, 768))
        hidden = linear(f"{layer}.feed_forward.w_1", unbiased(f"{layer}.sublayer_ff.norm", x))
        x = x + linear(f"{layer}.feed_forward.w_2", hidden.relu())
    x, head = unbiased("decoder.norm", x), "decoder.grounding_module"
    frames = F.gelu(linear(f"{head}.v_proj.1", norm(f"{head}.v_proj.0", x)))
    query = candidates.amax(dim=1)
    asked = F.gelu(linear(f"{head}.qa_proj.1", norm(f"{head}.qa_proj.0", query)))
    gated = frames * (frames @ asked[:, :, None]).tanh()
    hidden = F.gelu(linear(f"{head}.grounding.1", norm(f"{head}.grounding.0", gated)))
    raw = linear(f"{head}.grounding.3", hidden).softmax(dim=1)
    taps = torch.exp(-0.5 * (torch.arange(-2, 3) / state[f"{head}.gs_filter.sigma"]) ** 2)
    smoothed = F.conv1d(raw.transpose(1, 2), (taps / taps.sum()).view(1, 1, 5), padding=2)
    weights = smoothed.softmax(dim=-1)
    segment = linear("decoder.video_proj.1", (weights @ x).squeeze(1))
    context, door = linear("decoder.video_proj.1", x.mean(dim=1)), "decoder.do.do"
    video = linear(f"{door}.prob_x", context)
    centres = linear(f"{door}.prob_x_hat", state["decoder.do.visual_clusters"])
    inside = (linear(f"{door}.prob_m", segment) @ video.T / 768**0.5).softmax(-1) @ video
    across = (video @ centres.T / 768**0.5).softmax(-1) @ centres
    parts = [linear(f"{door}.prob_x_m", inside), linear(f"{door}.prob_x_hat_x", across)]
    evidence = norm("decoder.do.norm", segment + linear(f"{door}.fc", torch.cat(parts, -1)))
    return torch.einsum("bcd,bd->bc", candidates, evidence), weights.squeeze(1)


def table(length, width):
    """Positions as the release makes them, in float32."""
    steps = torch.arange(length).float()[:, None]
    scale = torch.exp(torch.arange(0, width, 2).float() * (-np.log(10000.0) / width))
    positions = torch.zeros(length, width)
    positions[:, 0::2], positions[:, 1::2] = torch.sin(steps * scale), torch.cos(steps * scale)
    return positions.double()


def test_optimizer_steps_stay_with_the_state(released_state):
    """Adam with AMSGrad on our names moves the state as it would on the released ones."""
    ours = import_state(released_state)
    optimizer = torch.optim.Adam(ours.model.eval().parameters(), lr=1e-5, amsgrad=True)
    for step in range(2):
        optimizer.zero_grad()
        losses(ours.model, batch(step)).backward()
        torch.nn.utils.clip_grad_norm_(ours.model.parameters(), 12.0)
        optimizer.step()
    after = export_state(ours.model, ours.leftovers)
    moved = {name for name in after if not torch.equal(after[name], released_state[name])}
    still = {name for name in after if name.startswith("do.")} | set(ours.leftovers)
    assert not moved & still
    again = import_state(after)
    torch.testing.assert_close(losses(again.model.eval(), batch()), losses(ours.model, batch()))


def test_checkpoint_file_and_back(released_state, tmp_path):
    path, folder, out = tmp_path / "run.pth", tmp_path / "model", tmp_path / "back.pth"
    best = {"accuracy": np.float64(60.8), "epoch": 9}
    torch.save(
        {"epoch": 9, "state_dict": released_state, "optimizer": {}, "monitor_best": best}, path
    )
    content = read_checkpoint(path)
    assert content["monitor_best"]["accuracy"] == 60.8
    import_checkpoint(path, folder)
    assert {"model.safetensors", "config.json", "README.md"} <= {p.name for p in folder.iterdir()}
    assert isinstance(CRA.from_pretrained(folder), CRA)
    export_checkpoint(folder, out)
    back = torch.load(out, weights_only=True)["state_dict"]
    assert set(back) == set(released_state)
    assert all(torch.equal(back[name], released_state[name]) for name in back)


class Harmful:
    def __reduce__(self):
        return eval, ("pytest.fail('code of a checkpoint was executed')",)


def test_checkpoint_with_code_is_refused(tmp_path):
    torch.save({"state_dict": {}, "extra": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="cannot be read safely|can be read safely"):
        read_checkpoint(tmp_path / "bad.pth")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_broken_checkpoint_is_one_sentence(content, tmp_path):
    (tmp_path / "broken.pth").write_bytes(content)
    with pytest.raises(InputError, match="broken.pth"):
        read_checkpoint(tmp_path / "broken.pth")


def test_state_of_another_width_is_one_sentence(released_state):
    wrong = dict(released_state) | {"video_model.proj.weight": torch.zeros(384, 768)}
    with pytest.raises(InputError, match="another width|multiple of"):
        import_state(wrong)


def test_state_of_another_model_is_one_sentence():
    with pytest.raises(InputError, match="Not a state of the released model"):
        import_state({"conv.weight": torch.zeros(3, 3)})


def test_described_variant_has_no_released_names(imported):
    model = import_state_like(imported)
    with pytest.raises(InputError, match="no place for 'smoother.raw_sigma'"):
        export_state(model)


def import_state_like(imported):
    from cra_lib.model.grounding import SumSmoother

    model = imported.model.__class__.__new__(CRA)
    model.__dict__.update(imported.model.__dict__)
    model._modules = dict(imported.model._modules, smoother=SumSmoother(5))
    return model


@pytest.mark.parametrize("table_", [CRA_NAMES, TEMP_CLIP_NAMES], ids=["cra", "temp-clip"])
def test_table_reads_both_ways(table_):
    reverse = [(ours, theirs) for theirs, ours in table_]
    for theirs, _ in table_:
        name = theirs.replace("#", "1") + ("weight" if theirs.endswith(".") else "")
        assert translate(translate(name, table_), reverse) == name
