"""Explicit causal intervention: back-door over texts, front-door over videos (4.4)."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cra_lib.data.confounders import EDGES, NUM_NODES
from cra_lib.model.base import Frames, Vector

Any = Float[Tensor, "*batch D"]
Inner = Float[Tensor, "*batch I"]
Project = Callable[[Any], Any]


def attend(
    queries: Float[Tensor, "*batch Q D"], keys: Float[Tensor, "*shared K D"], width: int
) -> Float[Tensor, "*batch Q D"]:
    """softmax(q k^T / sqrt width) k: the expectation over k under what q makes likely."""
    return attention(queries, keys, width).to(keys.dtype) @ keys


def attention(
    queries: Float[Tensor, "*batch Q D"], keys: Float[Tensor, "*shared K D"], width: int
) -> Float[Tensor, "*batch Q K"]:
    """softmax(q k^T / sqrt width): how much of each key a query reads."""
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(width)
    return scores.softmax(dim=-1)


class GraphConvolution(nn.Module):
    """One graph convolution (symmetric normalisation, self loops) on the fixed graph."""

    def __init__(self, node_width: int, width: int):
        super().__init__()
        self.project = nn.Linear(node_width, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(width))
        edges = torch.eye(NUM_NODES)
        for source, target in EDGES:
            edges[target, source] = 1
        self.register_buffer("edges", edges, persistent=False)

    @property
    def adjacency(self) -> Float[Tensor, "8 8"]:
        """Row = target; each edge is scaled by 1 / sqrt(in-degree) of both its ends."""
        scale = self.edges.sum(dim=1).rsqrt()
        return scale[:, None] * self.edges * scale

    def forward(self, nodes: Float[Tensor, "J 8 N"]) -> Float[Tensor, "J 8 M"]:
        return self.adjacency @ self.project(nodes) + self.bias


class BackDoor(nn.Module):
    """do(l) = LN(l + softmax(W_q l (W_k z)^T / sqrt D) W_v z) over the confounder graphs z.

    Args:
        inner: width in which texts and graphs are compared; None: the model's.
        graph_width: width of a convolved graph, a multiple of 8; None: the model's.
    """

    def __init__(
        self,
        graphs: Float[Tensor, "J 8 N"],
        width: int,
        norm_scale: float = 1.0,
        *,
        inner: int | None = None,
        graph_width: int | None = None,
    ):
        super().__init__()
        inner, graph_width = inner or width, graph_width or width
        self.graphs = nn.Parameter(graphs.detach().float().clone())
        self.convolve = GraphConvolution(graphs.shape[-1], graph_width // NUM_NODES)
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(graph_width, inner)
        self.value = nn.Linear(graph_width, width)
        self.norm = nn.LayerNorm(width)
        nn.init.constant_(self.norm.weight, norm_scale)

    def forward(self, text: Any) -> Any:
        """Intervene on a text of any batch shape."""
        return self.norm(text + self.expectation(text, self.convolve(self.graphs).flatten(1)))

    def expectation(self, text: Any, confounders: Float[Tensor, "J M"]) -> Any:
        """The confounders' values, weighed by how well each fits the text."""
        return self._weights(text, confounders).to(text.dtype) @ self.value(confounders)

    def selection(self, text: Any) -> Float[Tensor, "*batch J"]:
        """How much of each entry a text reads."""
        return self._weights(text, self.convolve(self.graphs).flatten(1))

    def _weights(self, text: Any, confounders: Float[Tensor, "J M"]) -> Float[Tensor, "*batch J"]:
        return attention(self.query(text), self.key(confounders), self.query.out_features)


class QueryBackDoor(BackDoor):
    """Acts on queries [B, D] alone, as the release's interrupted line would have."""

    def forward(self, text: Any) -> Any:
        return super().forward(text) if text.ndim == 2 else text


class UncalledBackDoor(BackDoor):
    """Built, saved and never called, as released: the text passes as it is."""

    def forward(self, text: Any) -> Any:
        return text


class ReleasedFrozenBackDoor(UncalledBackDoor):
    """As released with FrozenBiLM: a second norm, which not even a call would use."""

    def __init__(self, graphs: Float[Tensor, "J 8 N"], width: int, **sizes):
        super().__init__(graphs, width, **sizes)
        self.inner_norm = nn.LayerNorm(width)


class FrontDoor(nn.Module):
    """P(M|X) over the frames of the mediator's own video, P(Y|X',M) P(X') over the centres.

    Args:
        inner: width in which mediator, video and centres are compared; None: the model's.
    """

    def __init__(
        self,
        centres: Float[Tensor, "K F"],
        width: int,
        norm_scale: float = 1.0,
        *,
        inner: int | None = None,
    ):
        super().__init__()
        self.width, inner = width, inner or width
        self.centres = nn.Parameter(centres.detach().float().clone())
        self.mediator = nn.Linear(width, inner)
        self.video = nn.Linear(width, inner)
        self.confounder = nn.Linear(centres.shape[-1], inner)
        self.from_video = nn.Linear(inner, width)
        self.from_confounders = nn.Linear(inner, width)
        self.combine = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)
        nn.init.constant_(self.norm.weight, norm_scale)

    def forward(
        self, grounded: Vector, video: Frames, project: Project, onto: Vector | None = None
    ) -> Vector:
        """Intervene on the grounded segment.

        Args:
            project: the mediator's own projection.
            onto: what the effect is added to; None: the grounded segment itself.
        """
        base = grounded if onto is None else onto
        return self.norm(base + self.effect(grounded, video, project))

    def effect(self, grounded: Vector, video: Frames, project: Project) -> Vector:
        """The intervention's own part, before any residual connection."""
        mediator = self.mediator(grounded).unsqueeze(1)
        inside = attend(mediator, self.video(project(video)), self.width)
        across = attend(mediator, self.confounder(self.centres), self.width)
        return self.mix(inside, across).squeeze(1)

    def selection(self, grounded: Vector) -> Float[Tensor, "B K"]:
        """How much of each centre a grounded segment reads."""
        return attention(self.mediator(grounded), self.confounder(self.centres), self.width)

    def mix(self, inside: Inner, across: Inner) -> Any:
        """Both expectations, projected and joined."""
        parts = [self.from_video(inside), self.from_confounders(across)]
        return self.combine(torch.cat(parts, dim=-1))


class BatchFrontDoor(FrontDoor):
    """As released: P(M|X) runs over the samples of the batch, and X queries the centres."""

    def effect(self, grounded: Vector, video: Frames, project: Project) -> Vector:
        return self.over_batch(grounded, project(video.mean(dim=1)))

    def over_batch(self, grounded: Any, context: Any) -> Any:
        """The intervention's own part, given the mean of each video."""
        video = self.video(context)
        inside = attend(self.mediator(grounded), video, self.width)
        across = attend(video, self.confounder(self.centres), self.width)
        return self.mix(inside, across)


class NoFrontDoor(nn.Module):
    """The evidence is the grounded segment itself."""

    def forward(
        self, grounded: Vector, video: Frames, project: Project, onto: Vector | None = None
    ) -> Vector:
        return grounded


FRONT_DOORS = {"frames": FrontDoor, "batch": BatchFrontDoor}
BACK_DOORS = {"applied": BackDoor, "query": QueryBackDoor, "unused": UncalledBackDoor}
