"""Losses: recorded values of the released ones, properties of the described ones."""

import json

import pytest
import torch

from cra_lib.model.losses import (
    LOSS_WEIGHTS,
    alignment_loss,
    answer_loss,
    loss_weights,
    released_alignment_loss,
    weighted,
)


@pytest.fixture(scope="module")
def arrays(golden):
    return golden.recorded("04_losses.npz")


def leaf(tensor):
    return tensor.double().clone().requires_grad_()


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_released_alignment_with_given_negatives(arrays, case):
    parts = [leaf(arrays[f"{case}_{name}"]) for name in ("grounding", "qsn", "neg")]
    evidence, texts, negatives = parts
    loss = released_alignment_loss(evidence, texts, negatives)
    assert loss.item() == pytest.approx(arrays[f"{case}_loss64"].item(), abs=1e-9)
    loss.backward()
    for part, name in zip(parts, ("dgrounding64", "dqsn64", "dneg64"), strict=True):
        torch.testing.assert_close(part.grad, arrays[f"{case}_{name}"], rtol=1e-9, atol=1e-9)
    swapped = released_alignment_loss(texts, evidence, negatives)
    assert swapped.item() == pytest.approx(arrays[f"{case}_swapped_loss64"].item(), abs=1e-9)


def test_released_alignment_with_drawn_negatives(arrays):
    evidence, texts = leaf(arrays["s_grounding"]), leaf(arrays["s_qsn"])
    loss = released_alignment_loss(evidence, texts, arrays["s_idx"].long())
    loss.backward()
    assert loss.item() == pytest.approx(arrays["s_loss64"].item(), abs=1e-9)
    for part, name in ((evidence, "s_dgrounding64"), (texts, "s_dqsn64")):
        torch.testing.assert_close(part.grad, arrays[name], rtol=1e-9, atol=1e-9)


def test_zero_vectors_are_harmless(arrays):
    parts = [arrays[f"e_{name}"].double() for name in ("grounding", "qsn", "neg")]
    assert released_alignment_loss(*parts).item() == pytest.approx(arrays["e_loss64"].item())


def test_answer_loss_skips_what_has_no_answer(arrays):
    loss = answer_loss(arrays["ce_logits"].double(), arrays["ce_target"])
    assert loss.item() == pytest.approx(arrays["ce_loss64"].item(), abs=1e-9)
    nobody = answer_loss(arrays["ce_logits"].double(), torch.full_like(arrays["ce_target"], -1))
    assert nobody.isnan()  # as recorded: a batch without any answer is the caller's mistake


def test_total_of_both_stages(arrays, golden):
    expected = json.loads((golden.folder / "04_losses_total.json").read_text())
    negatives = arrays["bl_neg_idx"].long()
    losses = {
        "question": answer_loss(arrays["bl_vq_pred"].double(), arrays["bl_vq_target"]),
        "answer": answer_loss(arrays["bl_vqa_pred"].double(), arrays["bl_vqa_target"]),
    }
    for name, stage, drawn in (("question", "vq", 0), ("answer", "vqa", 1)):
        evidence, texts = arrays[f"bl_{stage}_ground"], arrays[f"bl_{stage}_text"]
        losses[f"alignment_{name}"] = released_alignment_loss(
            evidence.double(), texts.double(), negatives[drawn]
        )
    total = expected["full"]["total_loss"]
    assert weighted(losses).item() == pytest.approx(total, abs=1e-9)
    both = losses["alignment_question"] + losses["alignment_answer"]
    assert both.item() == pytest.approx(expected["full"]["ag_loss"], abs=1e-9)
    only_answers = weighted(losses, loss_weights(0.0)).item()
    assert only_answers == pytest.approx(expected["ce_only"]["total_loss"], abs=1e-9)


def test_release_leaks_the_answer_loss_into_its_alignment(arrays, golden):
    """Without the question stage the recorded alignment holds the cross-entropy too; ours not."""
    recorded = json.loads((golden.folder / "04_losses_total.json").read_text())["no_vg"]
    alignment = released_alignment_loss(
        arrays["bl_vqa_ground"].double(),
        arrays["bl_vqa_text"].double(),
        arrays["bl_neg_idx"][0].long(),
    )
    leaked = recorded["ag_loss"] - recorded["vqa_loss"]
    assert alignment.item() == pytest.approx(leaked, abs=1e-9)


def samples(batch=6, width=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, batch, width, generator=generator, dtype=torch.float64)


def test_described_alignment_is_the_mean_of_both_directions():
    evidence, texts = samples()
    ids = torch.arange(6)
    given_all = torch.stack([torch.cat([ids[:i], ids[i + 1 :]]) for i in range(6)])
    forward = released_alignment_loss(evidence, texts, given_all)
    backward = released_alignment_loss(texts, evidence, given_all)
    both = alignment_loss(evidence, texts, ids, ids)
    torch.testing.assert_close(both, (forward + backward) / 2)


def test_same_video_or_text_is_not_a_negative():
    evidence, texts = samples(4)
    evidence[1], texts[2] = evidence[0], texts[0]
    apart = torch.arange(4)
    with_false_negatives = alignment_loss(evidence, texts, apart, apart)
    videos, questions = torch.tensor([0, 0, 2, 3]), torch.tensor([0, 1, 0, 3])
    assert alignment_loss(evidence, texts, videos, questions) < with_false_negatives


@pytest.mark.parametrize("batch", [1, 3])
def test_no_negatives_no_loss(batch):
    evidence, texts = (leaf(part) for part in samples(batch))
    same = torch.zeros(batch, dtype=torch.long)
    loss = alignment_loss(evidence, texts, same, torch.arange(batch))
    loss.backward()
    assert loss.item() == 0
    assert not evidence.grad.any()


def test_released_alignment_of_one_sample_is_zero():
    evidence, texts = samples(1)
    assert released_alignment_loss(evidence, texts, torch.zeros(1, 0).long()).item() == 0


def test_gathering_equals_one_large_batch():
    """Two processes that gather each other's samples see the loss of the whole batch."""
    evidence, texts = samples(6)
    ids = torch.arange(6)
    whole = alignment_loss(evidence, texts, ids, ids)
    others = iter([evidence[3:], texts[3:], ids[3:], ids[3:]])

    def gather(local):
        other = next(others)
        if other.is_floating_point():
            other = torch.nn.functional.normalize(other, dim=-1)
        return torch.cat([local, other])

    local = alignment_loss(evidence[:3], texts[:3], ids[:3], ids[:3], gather=gather)
    torch.testing.assert_close(local, whole)


def test_weights_of_one_are_no_weights(arrays):
    logits, target = arrays["ce_logits"].double(), arrays["ce_target"].clamp(min=0)
    plain = answer_loss(logits, target)
    torch.testing.assert_close(answer_loss(logits, target, torch.ones(len(target))), plain)


def test_a_filler_does_not_count(arrays):
    """Shares of processes are evened out by samples of weight zero; the others make up for them."""
    logits, target = arrays["ce_logits"][:2].double(), arrays["ce_target"][:2].clamp(min=0)
    weighed = answer_loss(logits, target, torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(weighed, answer_loss(logits[:1], target[:1]))


def test_weights_have_the_names_of_the_history():
    assert set(loss_weights(0.1)) == set(LOSS_WEIGHTS)
    assert loss_weights(0.1)["alignment_answer"] == 0.1
    assert loss_weights(0.1)["answer"] == 1.0
