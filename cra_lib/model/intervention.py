"""Explicit causal intervention: back-door over texts, front-door over videos (4.4)."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

EDGES = (
    (0, 5), (0, 1), (0, 2), (0, 3), (0, 4), (2, 4), (2, 3), (4, 3), (5, 6), (5, 7), (6, 7), (2, 5),
)  # fmt: skip
"""(source, target) among question, question word, subject, verbs, objects, answer, its verbs, its
objects."""
NUM_NODES = 8


def attend(
    queries: Float[Tensor, "*batch S D"], keys: Float[Tensor, "*batch_or_none K D"]
) -> Float[Tensor, "*batch S D"]:
    """softmax(q k^T / sqrt D) k: the expectation over k under what q makes likely."""
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(keys.shape[-1])
    return scores.softmax(dim=-1).to(keys.dtype) @ keys


def normalised_adjacency() -> Float[Tensor, "8 8"]:
    """Edges and self loops, row = target, scaled by 1 / sqrt(in-degree of both ends)."""
    adjacency = torch.eye(NUM_NODES)
    for source, target in EDGES:
        adjacency[target, source] = 1
    scale = adjacency.sum(dim=1).rsqrt()
    return scale[:, None] * adjacency * scale


class GraphConvolution(nn.Module):
    """One graph convolution on the fixed graph of question and answer parts."""

    def __init__(self, node_width: int, width: int):
        super().__init__()
        self.project = nn.Linear(node_width, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("adjacency", normalised_adjacency(), persistent=False)

    def forward(self, nodes: Float[Tensor, "K 8 N"]) -> Float[Tensor, "K 8 M"]:
        return self.adjacency @ self.project(nodes) + self.bias


class BackDoor(nn.Module):
    """do(l) = LN(l + softmax(W_q l (W_k z)^T / sqrt D) W_v z) over the confounder graphs z."""

    def __init__(self, graphs: Float[Tensor, "K 8 N"], width: int):
        super().__init__()
        self.graphs = nn.Parameter(graphs.detach().float().clone())
        self.convolve = GraphConvolution(graphs.shape[-1], width // NUM_NODES)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.norm = nn.LayerNorm(width)

    def confounders(self) -> Float[Tensor, "K D"]:
        """The graphs after the convolution, one vector each."""
        return self.convolve(self.graphs).flatten(1)

    def expectation(
        self, text: Float[Tensor, "*batch D"], confounders: Float[Tensor, "K D"]
    ) -> Float[Tensor, "*batch D"]:
        """What the text makes of the confounders, weighed by how well they fit it."""
        scores = self.query(text) @ self.key(confounders).T / math.sqrt(text.shape[-1])
        return scores.softmax(dim=-1).to(text.dtype) @ self.value(confounders)

    def forward(self, text: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return self.norm(text + self.expectation(text, self.confounders()))


class UncalledBackDoor(BackDoor):
    """Built, saved and never called, as released: the text passes as it is."""

    def forward(self, text: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return text


Project = Callable[[Float[Tensor, "*batch D"]], Float[Tensor, "*batch D"]]


class FrontDoor(nn.Module):
    """P(M|X) over the frames of the mediator's own video, P(Y|X',M) P(X') over the centres."""

    def __init__(self, centres: Float[Tensor, "K F"], width: int):
        super().__init__()
        self.centres = nn.Parameter(centres.detach().float().clone())
        self.mediator = nn.Linear(width, width)
        self.video = nn.Linear(width, width)
        self.confounder = nn.Linear(centres.shape[-1], width)
        self.from_video = nn.Linear(width, width)
        self.from_confounders = nn.Linear(width, width)
        self.combine = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, grounded: Float[Tensor, "B D"], video: Float[Tensor, "B T D"], project: Project
    ) -> Float[Tensor, "B D"]:
        """Intervene on the grounded segment; ``project`` is the mediator's own projection."""
        mediator = self.mediator(grounded).unsqueeze(1)
        inside = attend(mediator, self.video(project(video)))
        across = attend(mediator, self.confounder(self.centres))
        return self.norm(grounded + self.mix(inside, across).squeeze(1))

    def mix(
        self, inside: Float[Tensor, "*batch D"], across: Float[Tensor, "*batch D"]
    ) -> Float[Tensor, "*batch D"]:
        """Both expectations, projected and joined."""
        parts = [self.from_video(inside), self.from_confounders(across)]
        return self.combine(torch.cat(parts, dim=-1))


class BatchFrontDoor(FrontDoor):
    """As released: P(M|X) runs over the samples of the batch, and X queries the centres."""

    def forward(
        self, grounded: Float[Tensor, "B D"], video: Float[Tensor, "B T D"], project: Project
    ) -> Float[Tensor, "B D"]:
        return self.norm(grounded + self.over_batch(grounded, project(video.mean(dim=1))))

    def over_batch(
        self, grounded: Float[Tensor, "*batch B D"], context: Float[Tensor, "*batch B D"]
    ) -> Float[Tensor, "*batch B D"]:
        """The intervention's own part, before the residual connection."""
        video = self.video(context)
        inside = attend(self.mediator(grounded), video)
        across = attend(video, self.confounder(self.centres))
        return self.mix(inside, across)


class NoFrontDoor(nn.Module):
    """The evidence is the grounded segment itself."""

    def forward(
        self, grounded: Float[Tensor, "B D"], video: Float[Tensor, "B T D"], project: Project
    ) -> Float[Tensor, "B D"]:
        return grounded
