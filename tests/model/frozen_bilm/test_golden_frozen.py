"""FrozenBiLM, NG+ and CRA reproduce the numbers recorded from the release."""

import json
from functools import cache

import pytest
import torch
import torch.nn.functional as F

from cra_lib.evaluator.spans import best_windows
from cra_lib.model.frozen_bilm.candidates import read_candidates
from cra_lib.model.losses import released_alignment_loss, yes_no_loss
from cra_lib.released.names import FROZEN_GAUSSIAN_NAMES, FROZEN_NAMES, to_released

PRECISIONS = [(torch.float32, "32"), (torch.float64, "64")]
precisions = pytest.mark.parametrize(("dtype", "bits"), PRECISIONS, ids=["float32", "float64"])
RECORDED = {
    "logits": lambda out, read: out.answer_logits,
    "p_yes": lambda out, read: out.score.exp(),
    "att": lambda out, read: read.attention,
    "mask_state": lambda out, read: read.mask_state,
    "center": lambda out, read: out.gaussian[:, 0],
    "width": lambda out, read: out.gaussian[:, 1],
    "x_dot": lambda out, read: out.query,
    "ori_key": lambda out, read: out.raw_weights,
    "key": lambda out, read: out.frame_weights,
    "grounded": lambda out, read: out.grounded,
    "x_bar": lambda out, read: out.evidence,
}


def check(result, expected):
    rtol, atol = {torch.float32: (1e-4, 2e-5), torch.float64: (1e-10, 1e-10)}[result.dtype]
    torch.testing.assert_close(result, expected.to(result.dtype), rtol=rtol, atol=atol)


@cache
def steps(folder):
    return json.loads((folder / "frozenbilm/fbilm_s48_steps.json").read_text())


def prompt(arrays, case, candidate):
    name = f"in_{case}_c{candidate}"
    return arrays[f"{name}_ids"].long(), arrays[f"{name}_mask"].bool()


@precisions
@pytest.mark.parametrize("kind", ["plain", "ng", "cra"])
def test_every_recorded_output(golden, released, kind, dtype, bits):
    model = released(kind, dtype)
    arrays = golden.recorded(f"frozenbilm/fbilm_s48_{kind}.npz")
    video, compared = arrays["in_video"].to(dtype), set()
    for case in ("pad", "eq"):
        scores = []
        for candidate in range(5):
            text = prompt(arrays, case, candidate)
            with torch.no_grad():
                out, read = model(video, *text), model.encode(video, *text)
            scores.append(out.score.exp())
            for name, value in RECORDED.items():
                if (key := f"{case}_c{candidate}_{name}{bits}") in arrays:
                    check(value(out, read), arrays[key])
                    compared.add(key)
        check(torch.stack(scores, dim=1), arrays[f"{case}_p_yes_all{bits}"])
    assert len(compared) >= 30


@pytest.mark.parametrize("kind", ["plain", "ng", "cra"])
def test_every_state_on_the_way(golden, released, kind):
    """Frame prefix, embeddings, layers and decoder passes, at padded positions too."""
    model, seen = released(kind), {}
    encoder = model.language.deberta.encoder
    frames = model.frames.register_forward_hook(lambda m, a, out: seen.update(frame_prefix=out))
    model.language.deberta.embeddings.register_forward_hook(lambda m, a, out: seen.update(emb=out))
    encoder.conv.register_forward_hook(lambda m, a, out: seen.update(layer1=out))
    passes = []
    encoder.layer[-1].register_forward_hook(lambda m, a, out: passes.append(out[0]))
    arrays = golden.recorded(f"frozenbilm/fbilm_s48_{kind}.npz")
    for case in ("pad", "eq"):
        passes.clear()
        with torch.no_grad():
            model(arrays["in_video"].double(), *prompt(arrays, case, 0))
        seen |= dict(zip(("layer2", "emd1", "emd2"), passes, strict=True))
        for name, value in seen.items():
            expected = arrays[f"{case}_c0_{name}_as32"]
            torch.testing.assert_close(value.float(), expected, rtol=1e-5, atol=1e-6)
    frames.remove()


def test_the_gaussian_passes(golden, released):
    model, arrays = released("ng"), golden.recorded("frozenbilm/fbilm_s48_ng.npz")
    passes = []
    model.extra.register_forward_hook(lambda m, a, out: passes.append(out))
    video, text = arrays["in_video"].double(), prompt(arrays, "pad", 0)
    with torch.no_grad():
        read, gaussian = model.encode(video, *text), model(video, *text).gaussian
        mask = model.mask_of(gaussian, 8)
        model.masked_frames(read, mask)
    check(mask, arrays["pad_c0_weight64"])
    expected = arrays["pad_c0_ng_pass1_as32"], arrays["pad_c0_ng_pass2_video_as32"]
    real = read.keep
    torch.testing.assert_close(passes[0].float()[real], expected[0][real], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(passes[1].float(), expected[1], rtol=1e-5, atol=1e-6)


def test_the_parts_of_cra(golden, released):
    model, arrays = released("cra"), golden.recorded("frozenbilm/fbilm_s48_cra.npz")
    seen = {}
    model.fuse_words.register_forward_hook(lambda m, a, out: seen.update(text_pooled=a[1]))
    model.extra.register_forward_hook(lambda m, a, out: seen.update(extra_layer=out))
    model.front_door.norm.register_forward_hook(
        lambda m, a, out: seen.update(mask_state_final=out, added=a[0])
    )
    with torch.no_grad():
        out = model(arrays["in_video"].double(), *prompt(arrays, "pad", 0))
    phi = arrays["pad_c0_mask_state64"]
    check(seen["text_pooled"], arrays["pad_c0_text_pooled64"])
    check(seen["mask_state_final"], arrays["pad_c0_mask_state_final64"])
    check(seen["added"] - phi, arrays["pad_c0_front_door64"])
    check(seen["extra_layer"].mean(dim=1), arrays["pad_c0_mean_video64"])
    check(out.grounded, arrays["pad_c0_grounded64"])
    expected = arrays["pad_c0_extra_layer_as32"]
    torch.testing.assert_close(seen["extra_layer"].float(), expected, rtol=1e-5, atol=1e-6)


def test_word_weights_gate_and_windows(golden, released):
    """What the answer never reads: attention over the words, the saturated gate, windows."""
    model, arrays = released("cra"), golden.recorded("frozenbilm/fbilm_s48_cra.npz")
    video, text = arrays["in_video"].double(), prompt(arrays, "pad", 0)
    with torch.no_grad():
        read, out = model.encode(video, *text), model(video, *text)
        words, rows = read.states[:, 8:], torch.arange(3)
        scores = model.word_pooling.score(words).squeeze(-1)
        scores[rows, read.mask_place - 8] = -torch.inf
        weights = scores.softmax(dim=-1)
        frames = model.grounder.project_frames(read.states[:, :8])
        gate = frames @ model.grounder.project_query(out.query).unsqueeze(-1)
    others = weights > 0
    check(weights[others].view(3, -1), arrays["pad_c0_word_weights64"])
    check(gate.squeeze(-1), arrays["pad_c0_gate_dot64"])
    windows = best_windows(out.frame_weights.numpy(), [1, 3])  # five are more than half of eight
    assert windows.tolist() == arrays["pad_c0_max_indices64"].tolist()
    ends = torch.from_numpy(windows).double() / 31
    check(ends[:, 0], arrays["pad_c0_start64"])
    check(ends[:, 1], arrays["pad_c0_end64"])


@pytest.mark.parametrize("kind", ["nofd", "backdoor"])
def test_interventions_off_and_on(golden, released, kind):
    model, arrays = released(kind), golden.recorded("frozenbilm/fbilm_s48_cra.npz")
    with torch.no_grad():
        out = model(arrays["in_video"].double(), *prompt(arrays, "pad", 0))
    check(out.answer_logits, arrays[f"{kind}_logits64"])
    if kind == "backdoor":
        check(out.query, arrays["backdoor_x_dot64"])
        check(out.raw_weights, arrays["backdoor_ori_key64"])
        check(out.frame_weights, arrays["backdoor_key64"])


@pytest.mark.parametrize("case", ["single", "single_nopad"])
def test_one_sample_at_a_time(golden, released, case):
    """The released front-door gives other answers alone, and padding moves the query."""
    model, arrays = released("cra"), golden.recorded("frozenbilm/fbilm_s48_cra.npz")
    video, (tokens, keep) = arrays["in_video"].double(), prompt(arrays, "pad", 0)
    rows = []
    for i in range(len(video)):
        length = int(keep[i].sum()) if case == "single_nopad" else tokens.shape[1]
        with torch.no_grad():
            rows.append(
                model(video[i : i + 1], tokens[i : i + 1, :length], keep[i : i + 1, :length])
            )
    check(torch.cat([row.answer_logits for row in rows]), arrays[f"{case}_logits64"])
    if case == "single_nopad":
        check(torch.cat([row.query for row in rows]), arrays["single_nopad_x_dot64"])
        check(torch.cat([row.frame_weights for row in rows]), arrays["single_nopad_key64"])
    assert (arrays["single_logits64"] - arrays["pad_c0_logits64"]).abs().max() > 1e-3


def test_padded_frames_and_the_whole_vocabulary(golden, released):
    model, arrays = released("plain"), golden.recorded("frozenbilm/fbilm_s48_plain.npz")
    video, text = arrays["in_video"].double(), prompt(arrays, "eq", 0)
    keep = arrays["in_vmask_short"].bool()
    with torch.no_grad():
        out, read = model(video, *text, keep), model.encode(video, *text, keep)
        words = model.language.word_logits(model.encode(video, *text).mask_state)
    check(out.answer_logits, arrays["shortvideo_logits64"])
    check(out.frame_weights, arrays["shortvideo_att64"])
    check(read.mask_state, arrays["shortvideo_mask_state64"])
    check(words, arrays["vocab_logits64"])


def recorded_batch(golden, dtype):
    """The recorded training batch: features, both stages' chunks, right candidates."""
    arrays = golden.recorded("frozenbilm/fbilm_s48_batches.npz")
    stages = {}
    for stage, name, truth in (("vqa", "text", "answer_id"), ("vq", "qtext", "qsn_id")):
        texts = [(arrays[f"b0_{name}_c{c}_ids"], arrays[f"b0_{name}_c{c}_mask"]) for c in range(5)]
        chunks = [(tokens.long(), keep.bool()) for tokens, keep in texts]
        stages[stage] = chunks, arrays[f"b0_{truth}"].long()
    return arrays["b0_video"].to(dtype), stages


def stage_loss(model, video, chunks, truth, negatives):
    """The release's loss of one stage and its terms."""
    rows = torch.arange(15).view(5, 3).T  # candidate after candidate, as recorded
    out = read_candidates(model, video, chunks, rows)
    right = torch.arange(3), truth
    yes, no = out.answer_logits.log_softmax(dim=-1).unbind(dim=-1)
    others = F.one_hot(truth, 5) == 0
    terms = {"pos": -yes[right].mean(), "neg": -no[others].mean()}
    total = yes_no_loss(out.answer_logits, truth).mean()
    if out.evidence is not None:
        terms["align"] = released_alignment_loss(
            out.evidence[right], out.query[right], torch.tensor(negatives)
        )
        total = total + 0.5 * terms["align"]
    return total, terms


@precisions
@pytest.mark.parametrize(  # PH has no question stage
    ("kind", "stages"),
    [("plain", "step"), ("ng", "step"), ("ng", "step_vq"), ("cra", "step"), ("cra", "step_vq")],
)
def test_training_step(golden, released, kind, stages, dtype, bits):
    name = f"s48_{kind}_{stages}{bits}"
    recorded = steps(golden.folder)[name]
    model = released(kind, dtype)
    video, texts = recorded_batch(golden, dtype)
    draws, total = list(recorded["negatives"]), 0.0
    for stage in ("vq", "vqa")[stages == "step" :]:
        loss, terms = stage_loss(model, video, *texts[stage], draws.pop(0) if draws else None)
        total = total + loss
        for term, value in terms.items():
            check(value, torch.tensor(recorded["loss"][f"{stage}_{term}"], dtype=dtype))
    check(total, torch.tensor(recorded["loss"]["total_loss"], dtype=dtype))
    total.backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    table = FROZEN_GAUSSIAN_NAMES if kind == "ng" else FROZEN_NAMES
    gradients = to_released({n: p.grad for n, p in trained.items()}, table)
    compare_gradients(gradients, recorded["gradient"], bits)
    norm = torch.nn.utils.get_total_norm([p.grad for p in trained.values() if p.grad is not None])
    assert float(norm) == pytest.approx(recorded["loss"]["grad_norm_before_clip"], rel=1e-5)


def compare_gradients(gradients, recorded, bits):
    """Norms and first values; the release leaves out what it never reaches, or gives zeros."""
    tolerance = 1e-8 if bits == "64" else 1e-3
    assert set(gradients) == set(recorded)
    for name, expected in recorded.items():
        gradient = gradients[name]
        if expected is None or expected["norm"] == 0:
            assert gradient is None or not gradient.any(), name
            continue
        assert float(gradient.norm()) == pytest.approx(expected["norm"], rel=1e-4, abs=tolerance)
        first = torch.tensor(expected["first"], dtype=gradient.dtype)
        torch.testing.assert_close(
            gradient.flatten()[:3][: len(first)], first, rtol=1e-3, atol=tolerance, msg=name
        )


@pytest.mark.parametrize("kind", ["ng", "cra"])
def test_recorded_evaluation(golden, released, kind):
    """Predictions and what is written about the predicted candidate."""
    recorded = steps(golden.folder)[f"s48_{kind}_eval64"]
    model = released(kind)
    video, texts = recorded_batch(golden, torch.float64)
    with torch.no_grad():
        out = read_candidates(model, video, texts["vqa"][0], torch.arange(15).view(5, 3).T)
        chosen = out.score.argmax(dim=1)
        rows = torch.arange(3)
        attention = torch.stack(
            [
                model.encode(video, *texts["vqa"][0][c]).attention[i]
                for i, c in enumerate(chosen.tolist())
            ]
        )
    expected = recorded["results"].values()
    assert chosen.tolist() == [row["prediction"] for row in expected]
    check(attention, torch.tensor(list(recorded["att"].values()), dtype=torch.float64))
    second = torch.tensor(list(recorded["second"].values()), dtype=torch.float64)
    if kind == "cra":
        check(out.frame_weights[rows, chosen], second)
    else:
        centre, width = out.gaussian[rows, chosen].unbind(dim=1)
        ends = torch.stack([centre - 0.8 * width / 9, centre + 0.8 * width / 9], dim=1)
        check(ends.clamp(0, 1), second)
