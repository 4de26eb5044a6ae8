"""Batches: what one training step or one pass over a split reads, as tensors.

B batch, C candidates, L tokens, N texts of a batch, T frames, F feature width.

A batch is a pure function of (seed, epoch, place): the order of the questions and every random
text of an epoch are drawn at once from their own generator, so a killed run goes on exactly where
it was, and several processes agree on who takes which question without talking to each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from cra_lib.config import RunConfig
from cra_lib.data.distractors import Candidates, DistractorSampler, TextIndex, index_texts
from cra_lib.data.prompts import PromptTable
from cra_lib.data.tokens import Texts, TokenTable, length_chunks
from cra_lib.evaluator.annotations import read_questions
from cra_lib.paths import DataFiles
from cra_lib.records import InputError, Question
from cra_lib.video.features import FeatureStore


class TextChunk(NamedTuple):
    """Texts of similar length, padded to the longest of them."""

    tokens: Tensor
    """[n, L] int64."""
    keep: Tensor
    """[n, L] bool, True is a real token."""


class Batch(NamedTuple):
    """What one training step reads.

    The texts of both stages lie together in ``chunks``; ``pair_rows`` and ``question_rows`` say
    where each candidate's text is once the chunks are laid end to end.
    """

    questions: Tensor
    """[B] place of each question in its split."""
    features: Tensor
    """[B, T, F] float32."""
    chunks: tuple[TextChunk, ...]
    """N texts in all."""
    pair_rows: Tensor
    """[B, C] row of each question-answer pair among the N texts."""
    answer_index: Tensor
    """[B] the right answer among its candidates."""
    question_rows: Tensor
    """[B, C] row of each candidate question; [B, 0] without a question stage."""
    question_index: Tensor
    """[B] the true question among its candidates."""
    video_ids: Tensor
    """[B] number of the video: equal numbers are no negatives of each other."""
    question_text_ids: Tensor
    """[B] number of the true question's text."""
    pair_text_ids: Tensor
    """[B] number of the true pair's text."""
    weights: Tensor
    """[B] weight of each question in a mean over B; all one in a single process. Fillers that
    even out the shares of several processes weigh zero, and the others make up for them."""
    num_questions: int
    """Questions n of this step over all processes, fillers left out."""
    offsets: Tensor
    """[B, C] what the strata of a question say of each answer, added to its logit; [B, 0] without
    strata."""
    negatives: Tensor
    """[2, n, M] for each question of the step, others of it: drawn anew for the answer and for the
    question stage, as released. M is 0 for any other alignment."""


@dataclass(frozen=True)
class Split:
    """One split in memory: questions, tokens, features."""

    questions: list[Question]
    video_ids: tuple[str, ...]
    video_index: np.ndarray
    """[N] question -> its video."""
    features: Tensor
    """[V, T, F] float32."""
    texts: TextIndex
    table: TokenTable

    def __len__(self) -> int:
        return len(self.questions)


def load_split(config: RunConfig, data: DataFiles, split: str, tokenizer) -> Split:
    """Read and tokenise a split; paraphrases are taken into account for ``train``.

    Raises:
        InputError: a missing or damaged file, features of another width.
    """
    questions = read_questions(data.questions(split))
    paraphrases = read_paraphrases(data) if split == "train" else None
    with FeatureStore(
        data.features(config.data.encoder, split), width=config.data.feature_width
    ) as store:
        return make_split(config, questions, store, tokenizer, paraphrases)


def make_split(
    config: RunConfig,
    questions: list[Question],
    store: FeatureStore,
    tokenizer,
    paraphrases: dict[str, list[str]] | None = None,
) -> Split:
    """A split from questions and an open feature file."""
    if not questions:
        raise InputError(f"No questions to go with the features of {store.path}.")
    video_ids, video_index = np.unique([q.video_id for q in questions], return_inverse=True)
    texts = index_texts(questions, paraphrases)
    table = token_table(config, tokenizer, texts.questions, texts.answers)
    names = tuple(map(str, video_ids))
    features = torch.from_numpy(store.take(names))
    return Split(questions, names, video_index.astype(np.int64), features, texts, table)


def token_table(
    config: RunConfig, tokenizer, questions: Sequence[str], answers: Sequence[str]
) -> TokenTable:
    """The texts as the model of these settings reads them: pairs, or prompts with a mask."""
    if config.model.is_frozen:
        return PromptTable(
            tokenizer,
            questions,
            answers,
            max_tokens=config.model.max_prompt_tokens,
            raw_distractors=config.train.distractors == "released",
        )
    return TokenTable(
        tokenizer,
        questions,
        answers,
        max_question_tokens=config.model.max_question_tokens,
        max_pair_tokens=config.model.max_pair_tokens,
    )


def read_paraphrases(data: DataFiles) -> dict[str, list[str]]:
    """Question key -> its paraphrases; empty where the dataset has none."""
    if not data.paraphrases.exists():
        return {}
    try:
        rows = json.loads(data.paraphrases.read_text(encoding="utf-8"))
        return {key: list(map(str, row["gen"])) for key, row in rows.items()}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise InputError(
            f'{data.paraphrases}: expected {{key: {{"ori": question, "gen": [paraphrases]}}}} '
            f"({type(error).__name__}: {error})."
        ) from None


def chunk_texts(
    table: TokenTable, texts: Texts, budget: int, fixed_width: bool
) -> tuple[tuple[TextChunk, ...], np.ndarray]:
    """Texts in chunks of about ``budget`` tokens, and [N] each text's row in the chunks' sequence.

    Padding is what most of a step would be spent on, so texts of similar length go together.

    Args:
        fixed_width: pad every text to its own limit, as the released pooling (which counts
            padding) needs.
    """
    lengths = texts.limit if fixed_width else table.num_tokens(texts)
    runs = length_chunks(lengths, budget)
    if fixed_width:
        # Pairs and bare questions have different limits and must not share a chunk.
        runs = [run[lengths[run] == limit] for run in runs for limit in np.unique(lengths[run])]
    chunks = []
    for run in runs:
        chosen = Texts(texts.first[run], texts.second[run], texts.limit[run])
        tokens, keep = table.padded(chosen, int(lengths[run].max()))
        chunks.append(TextChunk(torch.from_numpy(tokens), torch.from_numpy(keep)))
    rows = np.empty(len(lengths), np.int64)
    rows[np.concatenate(runs)] = np.arange(len(lengths))
    return tuple(chunks), rows


class Offsets(Protocol):
    """What is known of answers without the network (`causal.strata.Strata`)."""

    def of(self, rows: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """float32 [B, C] for questions [B] and the answer texts [B, C] that are offered."""
        ...


class EpochPlan(NamedTuple):
    """Everything random in the data of one epoch."""

    order: np.ndarray
    """[N] the questions in the order they are taken."""
    candidates: Candidates
    negatives: np.ndarray
    """[2, N, M] uniform numbers that become places in a step's batch."""


class TrainingBatches:
    """One process's share of every epoch's batches.

    Args:
        batch_size: questions of one process and step.
        seed: fixes order, distractors and paraphrases of every epoch.
        rank, world_size: which share; all shares of a step together are what one process with
            ``world_size * batch_size`` would take, in the same order.
        question_stage: also draw candidate questions.
        chunk_tokens: tokens of one call of the text encoder, about.
        fixed_width: pad texts to their limits (released pooling).
        num_negatives: negatives to draw for each question (released alignment).
        drop_last: leave out the last, smaller step of an epoch, as the release's loader does.
        strata: offsets of the answers' logits.

    Raises:
        InputError: fewer questions than one step takes, and ``drop_last``.
    """

    def __init__(
        self,
        split: Split,
        sampler: DistractorSampler,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        question_stage: bool = True,
        chunk_tokens: int = 1024,
        fixed_width: bool = False,
        num_negatives: int = 0,
        drop_last: bool = False,
        strata: Offsets | None = None,
    ):
        self.split, self.sampler, self.seed = split, sampler, seed
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.question_stage, self.chunk_tokens = question_stage, chunk_tokens
        self.fixed_width, self.num_negatives = fixed_width, num_negatives
        self.drop_last, self.strata = drop_last, strata
        if not len(self):
            raise InputError(
                f"{len(split)} training questions do not fill one step of "
                f"{batch_size * world_size}, and train.drop_last leaves smaller ones out; "
                "lower train.batch_size or set train.drop_last to false."
            )

    def __len__(self) -> int:
        """Steps of an epoch; the last may be smaller, or is left out."""
        whole, rest = divmod(len(self.split), self.batch_size * self.world_size)
        return whole + (rest > 0 and not self.drop_last)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch (counted from 0), from step ``start`` on."""
        plan = self.plan(epoch)
        for step in range(start, len(self)):
            yield self.batch(plan, step)

    def plan(self, epoch: int) -> EpochPlan:
        """The order of the questions and the candidates of each, for one epoch."""
        generator = np.random.default_rng([self.seed, epoch])
        order, candidates = generator.permutation(len(self.split)), self.sampler.draw(generator)
        # Whether negatives are drawn or not must not change the texts: they come last.
        others = generator.random((2, len(order), self.num_negatives), np.float32)
        return EpochPlan(order, candidates, others)

    def batch(self, plan: EpochPlan, step: int) -> Batch:
        """This process's share of one step."""
        order, candidates, others = plan
        together = self.batch_size * self.world_size
        rows, weights = self._share(order[step * together : (step + 1) * together])
        split, answer_index = self.split, self.sampler.answer_index[rows]
        own, answers = candidates.question_text[rows], candidates.answers[rows]
        batch, width = answers.shape
        pairs = split.table.pairs(np.repeat(own, width), answers.ravel())
        asked = candidates.questions[rows] if self.question_stage else answers[:, :0]
        questions = split.table.candidate_questions(asked, candidates.question_index[rows])
        texts = Texts(*(np.concatenate(halves) for halves in zip(pairs, questions, strict=True)))
        chunks, place = chunk_texts(split.table, texts, self.chunk_tokens, self.fixed_width)
        right = answers[np.arange(batch), answer_index]
        known = self.strata.of(rows, answers) if self.strata else np.empty((batch, 0), np.float32)
        return Batch(
            questions=torch.from_numpy(rows),
            features=split.features[torch.from_numpy(split.video_index[rows])],
            chunks=chunks,
            pair_rows=torch.from_numpy(place[: batch * width].reshape(batch, width)),
            answer_index=torch.from_numpy(answer_index),
            question_rows=torch.from_numpy(place[batch * width :].reshape(batch, -1)),
            question_index=torch.from_numpy(candidates.question_index[rows]),
            video_ids=torch.from_numpy(split.video_index[rows]),
            question_text_ids=torch.from_numpy(own),
            pair_text_ids=torch.from_numpy(own * len(split.texts.answers) + right),
            weights=torch.from_numpy(weights),
            num_questions=min(together, len(order) - step * together),
            offsets=torch.from_numpy(known),
            negatives=draw_negatives(others[:, step * together : (step + 1) * together]),
        )

    def _share(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """This process's rows of a step and their weights; fillers make all shares equal."""
        size = -(-len(rows) // self.world_size)
        filled = np.concatenate([rows, np.repeat(rows[:1], size * self.world_size - len(rows))])
        weights = np.zeros(len(filled), np.float32)
        weights[: len(rows)] = len(filled) / len(rows)
        mine = slice(self.rank * size, (self.rank + 1) * size)
        return filled[mine], weights[mine]


def draw_negatives(uniform: np.ndarray) -> Tensor:
    """[..., n, M] numbers in [0, 1) to as many places in 0..n-1, none of them the row's own."""
    count = uniform.shape[-2]
    # In float32 the product of a number just below one may round up to the bound itself.
    places = np.minimum(uniform * (count - 1), max(count - 2, 0)).astype(np.int64)
    return torch.from_numpy((places + (places >= np.arange(count)[:, None])) % count)


def question_keys(split: Split, batch: Batch) -> list[str]:
    """Keys of a batch's questions, for messages."""
    return [split.questions[row].key for row in batch.questions.tolist()]


def unique_pairs(split: Split, rows: Sequence[int]) -> tuple[Texts, np.ndarray]:
    """The distinct question-answer pairs of some questions, and [n, C] which is whose."""
    rows = np.asarray(rows)
    choices, num_answers = split.texts.choices[rows], len(split.texts.answers)
    number = split.texts.question_text[rows][:, None] * num_answers + choices
    distinct, inverse = np.unique(number, return_inverse=True)
    texts = split.table.pairs(distinct // num_answers, distinct % num_answers)
    return texts, inverse.reshape(number.shape)
