"""Every part of the released CRA reproduces the numbers recorded from it."""

import json
from functools import cache

import pytest
import torch
from torch import nn

from cra_lib.model.base import maximum_query
from cra_lib.model.cra import CRA
from cra_lib.model.grounding import ReleasedGrounder, SoftmaxSmoother, smooth
from cra_lib.model.intervention import EDGES, BackDoor, BatchFrontDoor, GraphConvolution
from cra_lib.model.temp_clip import AdditivePooling
from cra_lib.model.video import (
    Attention,
    EncoderLayer,
    FrameEmbedding,
    UnbiasedNorm,
    VideoEncoder,
    sinusoid,
)
from cra_lib.released.names import CRA_NAMES, from_released

PRECISIONS = [(torch.float32, "32"), (torch.float64, "64")]
precisions = pytest.mark.parametrize(("dtype", "bits"), PRECISIONS, ids=["float32", "float64"])


def check(result, expected):
    tolerance = {torch.float32: (1e-5, 1e-5), torch.float64: (1e-9, 1e-9)}[result.dtype]
    rtol, atol = tolerance
    torch.testing.assert_close(result, expected.to(result.dtype), rtol=rtol, atol=atol)


def load(module, state, released_prefix, our_prefix, strict=True):
    """A state under the released names into one of our parts."""
    named, _ = from_released({released_prefix + k: v for k, v in state.items()}, CRA_NAMES)
    own = {k.removeprefix(our_prefix): v for k, v in named.items() if k.startswith(our_prefix)}
    module.load_state_dict(own, strict=strict)
    return module.eval()


@cache
def filter_cases(folder):
    return json.loads((folder / "01_gaussian_filter_cases.json").read_text())


@precisions
def test_gaussian_filter_and_its_derivative(golden, dtype, bits):
    arrays = golden.recorded("01_gaussian_filter.npz")
    cases = filter_cases(golden.folder)
    assert len(cases) == 168
    for case in cases:
        smoother = SoftmaxSmoother(case["kernel_size"]).to(dtype)
        smoother.sigma.data.fill_(case["sigma"])
        weights = smoother(arrays[case["case"] + "_in"].squeeze(-1).to(dtype))
        check(weights, arrays[f"{case['case']}_out{bits}"].squeeze(-1))
        (weights * torch.linspace(-1, 1, weights.shape[1], dtype=dtype)).sum().backward()
        if bits == "64":
            check(smoother.sigma.grad, arrays[case["case"] + "_dsigma64"])


@precisions
@pytest.mark.parametrize("name", ["d32_T8", "d32_T16", "d32_T32", "d32_T16_tiny", "d768_T32"])
def test_grounding_head(golden, name, dtype, bits):
    arrays = golden.recorded(f"01_grounding_{name}.npz")
    state = golden.stored_state(arrays)
    state = state or golden.generated("01_grounding_manifest.json", name)
    parts = nn.ModuleDict(
        {"grounder": ReleasedGrounder(arrays["in_v"].shape[-1]), "smoother": SoftmaxSmoother(5)}
    )
    load(parts, state, "decoder.grounding_module.", "").to(dtype)
    weights = parts["grounder"](arrays["in_v"].to(dtype), arrays["in_qa"].to(dtype))
    check(weights, arrays[f"out{bits}_ori_key"])
    check(parts["smoother"](weights), arrays[f"out{bits}_key"])


@precisions
def test_front_door(golden, dtype, bits):
    arrays = golden.recorded("02_frontdoor_small.npz")
    door = BatchFrontDoor(arrays["in_xhat"], width=16)
    load(door, golden.stored_state(arrays), "decoder.do.do.", "front_door.", strict=False).to(dtype)
    context, mediator = arrays["in_x"].to(dtype), arrays["in_m"].to(dtype)
    check(door.over_batch(mediator, context), arrays[f"out{bits}"])
    alone = [door.over_batch(mediator[i : i + 1], context[i : i + 1]) for i in range(5)]
    check(torch.cat(alone), arrays[f"out{bits}_single"])
    deep = door.over_batch(arrays["in3_m"].to(dtype), arrays["in3_x"].to(dtype))
    torch.testing.assert_close(deep.float(), arrays["out32_3d"], rtol=1e-5, atol=1e-5)


@precisions
@pytest.mark.parametrize("name", ["small", "768"])
def test_front_door_with_residual_norm(golden, name, dtype, bits):
    arrays = golden.recorded(f"02_visual_{name}.npz")
    state = golden.stored_state(arrays)
    state = state or golden.generated("02_causal_manifest.json", f"visual_{name}")
    door = BatchFrontDoor(state["visual_clusters"], width=arrays["in_x"].shape[1])
    load(door, state, "decoder.do.", "front_door.").to(dtype)
    video, mediator = arrays["in_x"].to(dtype).unsqueeze(1), arrays["in_m"].to(dtype)
    check(door(mediator, video, nn.Identity()), arrays[f"out{bits}"])
    rows = [door(mediator[i : i + 1], video[i : i + 1], nn.Identity()) for i in range(len(video))]
    check(torch.cat(rows), arrays[f"out{bits}_single"])


@precisions
def test_back_door(golden, dtype, bits):
    arrays = golden.recorded("02_backdoor_768.npz")
    state = golden.generated("02_causal_manifest.json", "backdoor_768")
    door = BackDoor(torch.zeros(6, 8, 768), width=768)
    load(door, state, "do.do.", "back_door.", strict=False).to(dtype)
    result = door.expectation(arrays["in_x"].to(dtype), arrays["in_confounder"].to(dtype))
    check(result, arrays[f"out{bits}"])


@precisions
def test_graph_convolution(golden, dtype, bits):
    arrays = golden.recorded("02_gcn_small.npz")
    assert arrays["edge_index"].T.tolist() == [list(edge) for edge in EDGES]
    convolution = GraphConvolution(12, 6)
    state = golden.stored_state(arrays)
    load(convolution, state, "do.gcn.", "back_door.convolve.").to(dtype)
    check(convolution.adjacency, arrays["norm_adj_dst_src"])
    check(convolution(arrays["in_x"].to(dtype)), arrays[f"out{bits}"])


@precisions
def test_norm_embedding_and_positions(golden, dtype, bits):
    arrays = golden.recorded("03_small_parts.npz")
    norm = UnbiasedNorm(12)
    load(norm, golden.stored_state(arrays, "ln_sd:"), "decoder.norm.", "video.norm.").to(dtype)
    check(norm(arrays["ln_in"].to(dtype)), arrays[f"ln_out{bits}"])
    embed = FrameEmbedding(24, 16, dropout=0.3)
    state = golden.stored_state(arrays, "ve_sd:")
    positions = state.pop("position_embedding.pe")
    load(embed, state, "video_model.", "video.embed.").to(dtype)
    check(embed(arrays["ve_in"].to(dtype)), arrays[f"ve_out{bits}"])
    table = sinusoid(8, torch.zeros(1, 8, 16), torch.float32)
    assert torch.equal(table, positions[0])


@precisions
def test_attention(golden, dtype, bits):
    arrays = golden.recorded("03_small_parts.npz")
    attention = Attention(16, heads=4)
    state = golden.stored_state(arrays, "mha_sd:")
    prefix = "decoder.layers.0.self_attn.", "video.layers.0.attention."
    load(attention, state, *prefix).to(dtype)
    inputs = [arrays[f"mha_{name}"].to(dtype) for name in "qkv"]
    check(attention(*inputs), arrays[f"mha_out{bits}"])
    # A soft mask that multiplies the attention, renormalised; the release's models never pass one.
    bias = arrays["mha_mask"].to(dtype).log()
    check(attention(*inputs, bias), arrays[f"mha_masked_out{bits}"])


@precisions
def test_layer(golden, dtype, bits):
    arrays = golden.recorded("03_small_parts.npz")
    layer = EncoderLayer(16, 24, 4, 0.1)
    state = golden.stored_state(arrays, "layer_sd:")
    load(layer, state, "decoder.layers.0.", "video.layers.0.").to(dtype)
    check(layer(arrays["layer_in"].to(dtype)), arrays[f"layer_out{bits}"])


@precisions
def test_plain_decoder(golden, dtype, bits):
    """The release's decoder without grounding: additive attention over the same layers."""
    arrays = golden.recorded("03_small_parts.npz")
    state = golden.stored_state(arrays, "bdec_sd:")
    layers = [EncoderLayer(16, 24, 4, 0.1) for _ in range(2)]
    parts = nn.ModuleDict(
        {
            "video": VideoEncoder(FrameEmbedding(24, 16, 0.3), layers, 16),
            "project": nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 16)),
        }
    )
    load(parts, state, "decoder.", "", strict=False).to(dtype)
    pooling = AdditivePooling(16)
    prefix = "attention_video_feature."
    pooling.load_state_dict(golden.stored_state(state, prefix))
    frames = parts["video"].contextualise(arrays["bdec_in"].to(dtype))
    weights = pooling.to(dtype)(frames)
    check(weights, arrays[f"bdec_attn{bits}"].squeeze(-1))
    pooled = torch.einsum("btd,bt->bd", frames, weights)
    check(parts["project"](pooled), arrays[f"bdec_out{bits}"])


@precisions
def test_refine_decoder(golden, dtype, bits):
    """Frames to evidence, without the intervention and with it."""
    arrays = golden.recorded("03_refine_decoder_refdec1.npz")
    state = golden.generated("03_refdec1_manifest.json", "refdec1")
    layers = [EncoderLayer(768, 768, 8, 0.1)]
    model = CRA(
        text=nn.Identity(),
        video=VideoEncoder(FrameEmbedding(768, 768, 0.3), layers, 768),
        grounder=ReleasedGrounder(768),
        smoother=SoftmaxSmoother(5),
        back_door=nn.Identity(),
        front_door=BatchFrontDoor(state["do.visual_clusters"], 768),
        query_rule=maximum_query,
        width=768,
        dropout=0.1,
    )
    load(model, state, "decoder.", "", strict=False).to(dtype)
    frames = model.video.contextualise(arrays["in_x"].to(dtype))
    output = model(frames, torch.zeros(3, 5, 768, dtype=dtype), arrays["in_qa"].to(dtype))
    check(output.raw_weights, arrays[f"ori_key{bits}"])
    check(output.frame_weights, arrays[f"key{bits}"])
    check(output.grounded, arrays[f"do0_video_proj{bits}"])
    check(output.evidence, arrays[f"do1_video_proj{bits}"])


def test_smoothing_loses_mass_at_the_borders():
    """Zero padding, as recorded: the described smoother has to divide by the sum."""
    edge = torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 0]])
    assert smooth(edge, torch.tensor(1.0), 5).sum() < 0.75
