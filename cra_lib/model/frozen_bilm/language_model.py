"""A frozen DeBERTa-v2 with adapters, a mask decoder and its masked-word head.

Everything is transformers' own `DebertaV2Model`; what is added lies around it. Frozen: all weights
but the adapters and the LayerNorms.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cra_lib.records import InputError

DECODER_PASSES = 2
"""How often the mask decoder asks the last layer."""

Sequence = Float[Tensor, "N S D"]
SequenceKeep = Bool[Tensor, "N S"]
State = Float[Tensor, "N D"]


class Vocabulary(NamedTuple):
    """The tokens that the model itself must know."""

    mask: int
    """The mask token, one in every text."""
    answers: tuple[int, ...]
    """First tokens of "Yes" and "No"."""


class Adapter(nn.Module):
    """x + up(dropout(relu(down(x)))): the trained part of a frozen layer."""

    def __init__(self, width: int, factor: int, dropout: float):
        super().__init__()
        self.down = nn.Linear(width, width // factor)
        self.up = nn.Linear(width // factor, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Sequence) -> Sequence:
        return x + self.up(self.dropout(F.relu(self.down(x))))


class AdaptedLinear(nn.Module):
    """A frozen projection with an adapter behind it, before dropout and the residual norm."""

    def __init__(self, dense: nn.Linear, adapter: Adapter):
        super().__init__()
        self.dense, self.adapter = dense, adapter

    def forward(self, x: Tensor) -> Sequence:
        return self.adapter(self.dense(x))


class WordHead(nn.Module):
    """LN(GELU(Linear(x))), compared with word embeddings elsewhere; ``bias`` is the words'."""

    def __init__(self, width: int, num_words: int, eps: float):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.bias = nn.Parameter(torch.zeros(num_words))

    def forward(self, x: State) -> State:
        return self.LayerNorm(F.gelu(self.dense(x)))


class Reading(NamedTuple):
    """What the language model makes of N sequences."""

    states: Sequence
    """After the mask decoder."""
    mask_attention: Float[Tensor, "N S"] | None
    """Row of the mask in the last layer's ordinary pass, mean of its heads; None: not asked for."""


class MaskedLanguageModel(nn.Module):
    """DeBERTa-v2, its learned absolute positions (read by the mask decoder only) and its head.

    Args:
        config: of a DeBERTa-v2 with relative attention, without positions at its input.
        vocabulary: the mask token and the answers' tokens.

    Raises:
        InputError: a configuration of another kind of model.
    """

    def __init__(self, config: Any, vocabulary: Vocabulary):
        import transformers  # takes seconds: models without it do not wait for it

        super().__init__()
        _check(config)
        self.config, self.vocabulary = config, vocabulary
        self.deberta = transformers.DebertaV2Model(config)
        self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.head = WordHead(config.hidden_size, config.vocab_size, config.layer_norm_eps)
        for layer in self.deberta.encoder.layer:
            layer.attention.self.register_forward_hook(_silence_padded_rows)

    @property
    def words(self) -> Float[Tensor, "V D"]:
        """The word embeddings."""
        return self.deberta.embeddings.word_embeddings.weight

    def adapt(self, factor: int, dropout: float) -> None:
        """Put an adapter behind both output projections of every layer."""
        width = self.config.hidden_size
        for layer in self.deberta.encoder.layer:
            for part in (layer.attention.output, layer.output):
                part.dense = AdaptedLinear(part.dense, Adapter(width, factor, dropout))

    def freeze(self) -> None:
        """Leave adapters and LayerNorms to the optimizer, and nothing else."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_("LayerNorm" in name or ".adapter." in name)

    def checkpoint_layers(self) -> None:
        """Recompute each layer in the backward pass instead of keeping what it computed."""
        self.deberta.gradient_checkpointing_enable({"use_reentrant": False})

    def embed(self, tokens: Int[Tensor, "N L"]) -> Sequence:
        """Word embeddings of a text."""
        return self.deberta.embeddings.word_embeddings(tokens)

    def read(
        self,
        inputs: Sequence,
        keep: SequenceKeep,
        mask_place: Int[Tensor, "N"],
        *,
        with_attention: bool,
    ) -> Reading:
        """Frames and words to contextual states.

        Args:
            inputs: embeddings of frames and words, before the shared norm.
            keep: True on real frames and words.
            mask_place: place of the mask token in each sequence.

        Raises:
            InputError: a sequence longer than the learned positions.
        """
        length, limit = inputs.shape[1], self.positions.num_embeddings
        if length > limit:
            raise InputError(
                f"A sequence has {length} frames and words, but the language model has positions "
                f"for {limit}; use fewer frames, or lower model.max_pair_tokens."
            )
        encoder = self.deberta.encoder
        mask = keep.long()  # the convolution of transformers refuses booleans
        embedded = self.deberta.embeddings(inputs_embeds=inputs, mask=mask)
        pairs = encoder.get_attention_mask(mask)
        places = {
            "relative_pos": encoder.get_rel_pos(embedded),
            "rel_embeddings": encoder.get_rel_embedding(),
        }
        hidden, last = embedded, encoder.layer[-1]
        for number, layer in enumerate(encoder.layer[:-1]):
            hidden = layer(hidden, pairs, **places)[0]
            if number == 0 and encoder.conv is not None:
                hidden = encoder.conv(embedded, hidden, mask)
        attention = None
        if with_attention:
            # The state of this pass is not used: the decoder starts from the layer before.
            heads = last(hidden, pairs, output_attentions=True, **places)[1]
            attention = heads.mean(dim=1)[_rows(mask_place), mask_place]
        query = hidden + self.positions.weight[:length]
        for _ in range(DECODER_PASSES):
            query = last(hidden, pairs, query_states=query, **places)[0]
        return Reading(query, attention)

    def word_logits(self, states: State) -> Float[Tensor, "N V"]:
        """Logits of every word of the vocabulary."""
        return self.head(states) @ self.words.T + self.head.bias


class AnswerHead(nn.Module):
    """Logits of a few answers: one frozen row each, the mean embedding of its tokens."""

    def __init__(self, language: MaskedLanguageModel, tokens: list[tuple[int, ...]], biased: bool):
        super().__init__()
        words, bias = language.words.detach(), language.head.bias.detach()
        rows = [torch.stack([words[token] for token in answer]).mean(dim=0) for answer in tokens]
        self.weight = nn.Parameter(torch.stack(rows), requires_grad=False)
        # As released the bias is zero: it is assigned to an attribute that nobody reads.
        values = [bias[list(answer)].mean() if biased else bias.new_zeros(()) for answer in tokens]
        self.bias = nn.Parameter(torch.stack(values), requires_grad=False)

    def forward(self, transformed: State) -> Float[Tensor, "N A"]:
        """Logits from what the language model's own head makes of a state."""
        return transformed @ self.weight.T + self.bias


def _rows(places: Int[Tensor, "N"]) -> Int[Tensor, "N"]:
    return torch.arange(len(places), device=places.device)


def _silence_padded_rows(module: nn.Module, args: tuple[Any, ...], output: tuple) -> tuple:
    """A padded query attends to nothing; transformers would let it attend to everything."""
    context, attention = output
    real = args[1].amax(dim=-1).squeeze(1).unsqueeze(-1)
    return context * real.to(context.dtype), attention


def _check(config: Any) -> None:
    if getattr(config, "model_type", None) != "deberta-v2":
        raise InputError(
            f"A frozen backbone should be a masked language model of the deberta-v2 kind, got "
            f"{getattr(config, 'model_type', type(config).__name__)!r}."
        )
    problem = None
    if not config.relative_attention or config.position_biased_input:
        problem = "it should have relative attention and no positions at its input"
    elif config.type_vocab_size:
        problem = "it has token types, which the frames would lack"
    elif config.num_hidden_layers < 2:
        problem = "it has one layer; the mask decoder needs two"
    if problem:
        raise InputError(f"This DeBERTa-v2 cannot read a video: {problem}.")
