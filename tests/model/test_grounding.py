"""Grounding and smoothing on their own."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cra_lib.model.cra import CRA
from cra_lib.model.grounding import (
    SIGMA_RANGE,
    ProductGrounder,
    ReleasedGrounder,
    ScaledGateGrounder,
    SimilarityGrounder,
    SoftmaxSmoother,
    SumSmoother,
)
from cra_lib.model.temp_clip import gaussian_mask

ASKING = [ProductGrounder, ScaledGateGrounder, SimilarityGrounder]


@pytest.mark.parametrize("kind", ASKING)
def test_described_grounders_listen_to_the_question(kind):
    torch.manual_seed(0)
    grounder, video = kind(32), torch.randn(2, 16, 32)
    first, second = grounder(video, torch.randn(2, 32)), grounder(video, torch.randn(2, 32))
    assert (first - second).abs().max() > 1e-4


@pytest.fixture(scope="module", params=[ProductGrounder, ReleasedGrounder])
def wide(request):
    """A grounder of the release's width, in float64, with a video and two queries."""
    torch.manual_seed(0)
    grounder = request.param(768).double()
    return grounder, torch.randn(2, 32, 768).double(), torch.randn(2, 2, 768).double()


def test_as_released_swapping_the_question_changes_nothing(wide):
    """The norm behind the saturated gate cancels it; the described product has no such norm."""
    grounder, video, (first, second) = wide
    moved = (grounder(video, first) - grounder(video, second)).abs().max().item()
    assert moved < 1e-7 if isinstance(grounder, ReleasedGrounder) else moved > 1e-4


def test_as_released_the_query_projection_learns_nothing(wide):
    grounder, video, (query, _) = wide
    (grounder(video, query) * torch.arange(32)).sum().backward()
    asked, seen = (
        part[1].weight.grad.norm().item()
        for part in (grounder.project_query, grounder.project_frames)
    )
    assert asked < 1e-5 * seen if isinstance(grounder, ReleasedGrounder) else asked > 0.1 * seen


@given(raw=st.floats(-60, 60))
def test_sigma_keeps_its_bounds(raw):
    smoother = SumSmoother(5)
    smoother.raw_sigma.data.fill_(raw)
    low, high = SIGMA_RANGE
    assert low - 1e-6 <= smoother.sigma.item() <= high + 1e-6


def test_sigma_starts_at_one_and_has_a_gradient():
    smoother = SumSmoother(5)
    assert smoother.sigma.item() == pytest.approx(1.0)
    smoother(torch.softmax(torch.randn(2, 16), dim=-1))[:, 3].sum().backward()
    assert smoother.raw_sigma.grad.abs() > 0


@given(
    scores=arrays("float64", (3, 16), elements=st.floats(-8, 8)),
    raw=st.floats(-5, 5),
    size=st.sampled_from([1, 3, 5, 9]),
)
def test_described_smoothing_keeps_the_peak(scores, raw, size):
    """The peak keeps at least the filter's central share, and the weights still sum to one."""
    smoother = SumSmoother(size).double()
    smoother.raw_sigma.data.fill_(raw)
    weights = torch.from_numpy(scores).softmax(dim=-1)
    smoothed = smoother(weights)
    offsets = torch.arange(size) - size // 2
    central = torch.exp(-0.5 * (offsets / smoother.sigma) ** 2)
    share = (1 / central.sum()).item()
    torch.testing.assert_close(smoothed.sum(dim=-1), torch.ones(3, dtype=torch.float64))
    peak = weights.argmax(dim=-1, keepdim=True)
    assert (smoothed.gather(1, peak) >= share * weights.gather(1, peak) - 1e-9).all()


@pytest.mark.parametrize("frame", [0, 1, 7, 14, 15])
def test_one_frame_stays_the_peak_wherever_it_is(frame):
    weights = torch.nn.functional.one_hot(torch.tensor([frame]), 16).float()
    smoothed = SumSmoother(5)(weights)
    assert smoothed.argmax().item() == frame
    assert smoothed.max() / smoothed.mean() > 5


def test_released_smoothing_flattens_the_peak():
    """A softmax of probabilities: even all weight on one frame ends up at 1.45 times the mean."""
    weights = torch.nn.functional.one_hot(torch.tensor([7]), 32).float()
    smoothed = SoftmaxSmoother(5)(weights)
    assert smoothed.max() / smoothed.mean() < 1.5


def test_forward_reads_like_the_method():
    lines = inspect.getsource(CRA.forward).splitlines()
    assert len(lines) < 25
    assert not any("==" in line or " if " in line for line in lines)


@pytest.mark.parametrize("width", [0.0, 0.01, 0.3])
def test_a_narrow_gaussian_between_two_frames_is_finite(width):
    """Both neighbours are 105 standard exponents away at the least width: zero in float32."""
    gaussian = torch.tensor([[0.5 / 31, width], [15.5 / 31, width]], requires_grad=True)
    mask = gaussian_mask(gaussian, 32, sigma=9.0)
    assert mask.isfinite().all() and (mask.amax(dim=1) == 1).all()
    (mask * torch.arange(32)).sum().backward()
    assert gaussian.grad.isfinite().all()
