"""Whole passes of the released Temp[CLIP] baselines, their losses and gradient norms."""

import json

import pytest
import torch
from torch.nn.functional import cross_entropy

from cra_lib.released import import_state
from cra_lib.released.names import TEMP_CLIP_NAMES, from_released

PAD = 1
FILES = {"tempclip_d64_posthoc": "posthoc", "tempclip_d64_NG+": "NG+"}


@pytest.fixture(scope="module", params=FILES)
def baseline(request, golden):
    """(name, recorded arrays, imported model in float64)."""
    tag = request.param
    state = golden.generated("05_tempclip_manifest.json", tag)
    imported = import_state(state, heads=4)
    assert imported.missing == []
    arrays = golden.recorded(f"05_tempclip_d64_{FILES[tag]}.npz")
    return tag, arrays, imported.model.double().eval()


def texts(model, tokens):
    flat = tokens.flatten(0, 1).long()
    return model.encode_text(flat, flat != PAD).unflatten(0, tokens.shape[:2])


def stage(model, arrays, name):
    """Candidates, truth and query of the question stage (GD) or of the answer stage (GQA)."""
    tokens, truth = {"GD": ("in_qsns", "in_qsns_id"), "GQA": ("in_answer", "in_answer_id")}[name]
    candidates = texts(model, arrays[tokens])
    known = arrays[truth] if name == "GD" else None
    return candidates, arrays[truth], model.query_of(candidates, known)


def stages(tag):
    return ["GQA"] if tag.endswith("posthoc") else ["GD", "GQA"]


def close(result, expected):
    torch.testing.assert_close(result, expected.double(), rtol=1e-9, atol=1e-9)


def test_full_videos(baseline):
    tag, arrays, model = baseline
    video = model.encode_video(arrays["in_video"].double())
    for name in stages(tag):
        candidates, _, query = stage(model, arrays, name)
        output = model(video, candidates, query)
        close(candidates, arrays[f"full_{name}_answer_proj64"])
        close(output.answer_logits, arrays[f"full_{name}_logits64"])
        close(output.evidence, arrays[f"full_{name}_fusion64"])
        close(output.frame_weights, arrays[f"full_{name}_fatt64"].squeeze(-1))
        if output.gaussian is not None:
            close(output.gaussian[:, 0], arrays[f"full_{name}_gcenter64"])
            close(output.gaussian[:, 1], arrays[f"full_{name}_gwidth64"])


def test_float32_agrees_to_its_precision(baseline):
    tag, arrays, model = baseline
    model = model.float()
    video = model.encode_video(arrays["in_video"])
    for name in stages(tag):
        candidates, _, query = stage(model, arrays, name)
        logits = model(video, candidates, query).answer_logits
        torch.testing.assert_close(logits, arrays[f"full_{name}_logits32"], rtol=1e-4, atol=2e-5)
    model.double()


def test_padded_videos(baseline):
    """The release shifts its mask by one in the first pass: the query comes last, its bit first."""
    tag, arrays, model = baseline
    keep = arrays["in_mask_pad"].bool()
    video = model.encode_video(arrays["in_video"].double(), keep)
    for name in stages(tag):
        candidates, _, query = stage(model, arrays, name)
        if name == "GD" or "NG" in tag:
            shifted = torch.cat([torch.ones_like(keep[:, :1]), keep], dim=1)
            gaussian = model.gaussian_of(video, query, shifted)
            close(gaussian[:, 0], arrays[f"pad_{name}_gcenter64"])
            frames = model.mask_frames(video, gaussian, keep)
        else:
            frames = video
        weights = model.attention(frames)
        close(weights, arrays[f"pad_{name}_fatt64"].squeeze(-1))
        evidence = model.project(torch.einsum("btd,bt->bd", frames, weights))
        close(evidence, arrays[f"pad_{name}_fusion64"])


def test_losses_and_gradients(baseline, golden):
    """Cross-entropy of every stage; the recorded gradients are norms."""
    tag, arrays, model = baseline
    expected = json.loads((golden.folder / "05_tempclip_loss_grad.json").read_text())[tag]
    video = model.encode_video(arrays["in_video"].double())
    total = 0
    for name in stages(tag):
        candidates, truth, query = stage(model, arrays, name)
        total = total + cross_entropy(model(video, candidates, query).answer_logits, truth)
    assert total.item() == pytest.approx(expected["loss"]["total_loss"], abs=1e-9)
    model.zero_grad()
    total.backward()
    recorded, unread = from_released(expected["grad"], TEMP_CLIP_NAMES)
    assert {name for name in unread if unread[name]} == set()
    for name, parameter in model.named_parameters():
        assert parameter.grad.norm().item() == pytest.approx(recorded[name], rel=1e-8, abs=1e-12)
