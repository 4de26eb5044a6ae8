"""Which files each stage of a plan reads and leaves behind."""

from __future__ import annotations

from pathlib import Path

from cra_lib.config import RunConfig
from cra_lib.datasets import DATASETS
from cra_lib.paths import DataFiles, ResultFiles, RunFiles, expected_json, published_csv


class Layout:
    """The files of a plan; `Plan` adds what is asked for."""

    dataset: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    data: DataFiles
    results: ResultFiles
    runs: list[tuple[str, int]]
    trained_runs: list[tuple[str, int]]

    @property
    def evaluated_splits(self) -> tuple[str, ...]:
        """Splits with public truths that notebook 04 predicts."""
        return DATASETS[self.dataset].evaluated

    def given(self) -> list[str]:
        """Annotation files that the user has put into the dataset's folder."""
        patterns = DATASETS[self.dataset].given
        return sorted(str(path) for pattern in patterns for path in self.data.root.glob(pattern))

    def prepared(self) -> list[str]:
        """What the first stage leaves behind.

        Only files that it makes itself: the workflow deletes a stage's products before it runs
        the stage again, and a user's features must survive that.
        """
        files = [self.results.data_card]
        if DATASETS[self.dataset].is_made_here:
            encoder = self.config(self.variants[0], self.seeds[0]).data.encoder
            for split in DATASETS[self.dataset].splits:
                files += [self.data.questions(split), self.data.features(encoder, split)]
            files += [self.data.segments(split) for split in self.evaluated_splits]
            files.append(self.data.root / "reference.json")
        return [str(path) for path in files]

    def sampled(self) -> list[str]:
        """What the second stage leaves behind; frames are looked at only where a model is."""
        files = [self.results.confounders_card, self.data.language_confounders]
        files += [self.data.visual_confounders] if self.trained_runs else []
        return [str(path) for path in files]

    @property
    def trained(self) -> tuple[str, ...]:
        """What a training leaves behind in its run's folder."""
        return "config.yaml", "config.json", "model.safetensors", "history.csv", "runtime.json"

    def model(self, variant: str, seed: int | str) -> list[str]:
        """What notebook 04 waits for: the files of a training; none where nothing is trained."""
        root = self.results.run(variant, int(seed)).root
        trains = (variant, int(seed)) in self.trained_runs
        return [str(root / name) for name in self.trained] if trains else []

    def scored(self, variant: str, seed: int | str) -> list[str]:
        """What the evaluation of one run leaves behind."""
        folder = f"{self.results.root}/runs/{variant}/seed{seed}"  # Snakemake's wildcards, too
        kinds = ("predictions", "jsonl"), ("scores", "json")
        return [
            f"{folder}/{kind}_{split}.{suffix}"
            for split in self.evaluated_splits
            for kind, suffix in kinds
        ]

    @property
    def asked_page(self) -> Path:
        """The executed copy of notebook 06, which nothing else depends on."""
        return self.results.notebooks / "06_ask_a_video.html"

    def asked(self) -> list[str]:
        """What notebook 06 waits for: the first run of `cra`; without one it asks the model that
        comes with the library."""
        runs = [run for run in self.runs if run[0] == "cra"][:1]
        return [path for run in runs for path in self.scored(*run)]

    def products(self) -> list[str]:
        """Everything that must be there in the end; a deleted file is made again."""
        pages = [self.results.report, self.results.explorer]
        pages += [self.asked_page] if self.trained_runs else []
        files = [*self.prepared(), *self.sampled(), *map(str, pages)]
        for run in self.runs:
            files += [*self.model(*run), *self.scored(*run)]
        return files

    def references(self) -> list[str]:
        """Files that the report compares with, where they exist."""
        files = published_csv(), expected_json(self.dataset)
        return [str(path) for path in files if path.is_file()]

    def reads(self, stage: str, config: RunConfig, run: RunFiles) -> list[Path]:
        """What a stage is made from, where it is there."""
        data, files = self.data, []
        splits = {"sample": ("train",), "train": ("train", "val")}
        splits["evaluate"] = self.evaluated_splits
        for split in splits.get(stage, ()):
            files += [data.questions(split), data.features(config.data.encoder, split)]
            if split != "train":
                files += [data.segments(split), data.stamps(split, config.data.stamps)]
        if stage == "prepare":
            files += map(Path, self.given())
        elif stage == "train":
            number = config.causal.num_confounders
            dictionaries = [data.confounders(kind, number) for kind in ("visual", "language")]
            files += [data.paraphrases, *dictionaries]
        elif stage == "evaluate":
            files += [run.config, run.weights] if config.model.is_trained else []
        elif stage == "figures":
            files += [Path(path) for pair in self.runs for path in self.scored(*pair)]
        elif stage == "ask":
            files += map(Path, self.asked())
        elif stage == "report":
            files += map(Path, self.references())
        return files

    def makes(self, stage: str, variant: str, seed: int) -> list[str]:
        """What a stage must leave behind."""
        run = self.results.run(variant, seed)
        makes = {
            "prepare": self.prepared,
            "sample": self.sampled,
            "train": lambda: [str(run.root / name) for name in self.trained],
            "evaluate": lambda: self.scored(variant, seed),
            "figures": lambda: [str(self.results.notebooks / "05_figures.html")],
            "ask": lambda: [str(self.asked_page)],
            "report": lambda: [str(self.results.report), str(self.results.explorer)],
        }
        return makes[stage]()
