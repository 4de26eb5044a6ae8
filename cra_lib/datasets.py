"""The one table of datasets: a new dataset is one entry here and one reader.

A reader is a function ``prepare(root, ...) -> data card`` that brings the folder ``root`` into the
normal form (`cra_lib.paths.DataFiles`) and checks it. It asks by name for what it needs: any
setting of `cra_lib.config.DataConfig`, ``seed``, ``workers``, ``skip_bad`` or ``progress``.

Sizes and sha256 are of the official files; None where they could not be read. A file that sits
behind a form or a confirmation page has ``manual`` set: it is listed with its address, not fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from cra_lib.records import InputError


@dataclass(frozen=True)
class SourceFile:
    """One file (or folder) of a dataset."""

    path: str
    """Relative to the dataset's folder; a trailing slash marks a folder."""
    purpose: str
    without: str
    """What still works where it is missing."""
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    required: bool = True
    manual: bool = False
    made_by: str = ""
    """The command that makes it, for files that are not fetched."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What the library knows about a dataset before it has seen a file of it."""

    name: str
    splits: tuple[str, ...]
    """``train`` first; the others have annotated evidence and are evaluated."""
    reader: str
    """``module:function`` of the reader."""
    encoder: str = "clip-vit-l14"
    """Frame encoder whose features are extracted unless another is named."""
    default_profile: str = "paper"
    confounded_words: tuple[str, str]
    """Two words of its questions whose answers differ by habit (Fig. 1b of the paper)."""
    marks: tuple[str, ...] = ()
    """Files that tell the dataset's own folder from a folder of datasets."""
    source: str = ""
    """Where the annotation comes from; empty for a dataset that is made here."""
    given: tuple[str, ...] = ()
    """Patterns of the files that its authors publish (a reader may write others beside them)."""
    files: tuple[SourceFile, ...] = ()
    """Every file that something of it needs."""
    models: Mapping[str, int] = field(default_factory=dict)
    """Pre-trained weights that its profiles use, by their hub name: about how many bytes."""
    optional_models: Mapping[str, int] = field(default_factory=dict)
    """Weights that only some variants need, by their hub name: about how many bytes."""
    parser: str = ""
    """spaCy model that its profiles use."""
    published_as: Mapping[str, str] = field(default_factory=dict)
    """Split here -> its name in the papers, where that differs."""
    frames: tuple[str, ...] = ("video_feature/*/*.h5", "videos/*")
    """Patterns of frame features, and of the videos that they are extracted from."""
    counted: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Split -> videos, questions and segments as its authors count them."""

    @property
    def is_made_here(self) -> bool:
        """Whether preparing it needs no file of anybody else's."""
        return not self.source

    @property
    def evaluated(self) -> tuple[str, ...]:
        """Splits with public evidence, which are predicted and scored."""
        return self.splits[1:]

    def load_reader(self) -> Any:
        """The function that brings its folder into normal form."""
        module, _, function = self.reader.partition(":")
        return getattr(import_module(module), function)


_GQA = "https://raw.githubusercontent.com/doc-doc/NExT-GQA/main/datasets/nextgqa"
_QA = "https://raw.githubusercontent.com/doc-doc/NExT-QA/main/dataset/nextqa"
_OE = "https://raw.githubusercontent.com/doc-doc/NExT-OE/main/dataset/nextqa"
_STAR = "https://star-benchmark.s3.us-east.cloud-object-storage.appdomain.cloud"
_CHARADES_LISTS = "https://ai2-public-datasets.s3-us-west-2.amazonaws.com/charades/Charades.zip"
_CHARADES = "https://ai2-public-datasets.s3-us-west-2.amazonaws.com/charades/Charades_v1_480.zip"
_CLIP_FEATURES = "https://drive.google.com/file/d/101W4r6ibXJE2IOr6MINbNIMC3MFiN-us/view"
_RAW_VIDEOS = "https://drive.google.com/file/d/1jTcRCrVHS66ckOUfWRb-rXdzJ52XAWQH/view"


def _gqa(name: str, size: int, sha256: str, purpose: str, without: str, required: bool = True):
    return SourceFile(name, purpose, without, (f"{_GQA}/{name}",), size, sha256, required)


_TEST_ONLY = "training and validation"
_VAL_ONLY = "scoring test predictions"
_NEXTGQA_FILES = (
    _gqa("val.csv", 638_860, "ac5a1eb1d6dee9cd84ab7f9c94ab345b2404646f24b79ac182cd2aa9e2d424c1",
         "validation questions", _VAL_ONLY),
    _gqa("test.csv", 1_052_149, "0443ede53f521de4cbfb5e4fb02253926b90f81f62041b18bd17207a3511d114",
         "test questions", _TEST_ONLY),
    _gqa("gsub_val.json", 115_228,
         "4feb23e53102cb2d4779e857ff8f9fd9b552fc38435621406b2ed9b0bf76204b",
         "validation segments", _VAL_ONLY),
    _gqa("gsub_test.json", 195_500,
         "0c16c31699238a0f2b8ace45aeed7f193149ce2f011d6ed4f1ef7170ef5d41e9",
         "test segments", _TEST_ONLY),
    _gqa("frame2time_val.json", 112_598,
         "61dca3cc960848127e3bc7aa173a64a28f1df730e32b9f4c8c0399d04b04f029",
         "validation time stamps", _VAL_ONLY),
    _gqa("frame2time_test.json", 196_789,
         "e2a043e8c5141f15a212536343cd7d329ab212eac4917eb53aadf341abb30820",
         "test time stamps", _TEST_ONLY),
    SourceFile("train.csv", "training questions", "evaluation; training with --train-from nextoe",
               (f"{_GQA}/train.csv",), None, None),
    _gqa("upbd_val.json", 112_918,
         "a718cb126da5a2e4b5594f72eba83804deb5d1afa3e1f8b29ceee6cd63fa3218",
         "second official stamp file (data.stamps: upbd)", "everything by default", False),
    _gqa("upbd_test.json", 197_230,
         "ac4653ca6e621e5c36e1705ebc4ffd3e3670ac35b79b85e980d489e1e601b0a2",
         "second official stamp file (data.stamps: upbd)", "everything by default", False),
    _gqa("train_gpt4_sub.json", 1_330_281,
         "88cc6f058f2ec94b4293d359fe973e36d9fb1af43beaf0c049bb9302e2b258b5",
         "paraphrases of training questions", "all but paraphrase augmentation", False),
    SourceFile("nextoe/train.csv", "open-ended training questions (--train-from nextoe)",
               "everything with the official train.csv", (f"{_OE}/train.csv",), 3_729_576,
               "5e20b082a8a30bcd173533f1238c5dcaf7d784f14da89d86be2cc3dd1a9ab150", False),
    SourceFile("map_vid_vidorID.json", "video id -> folder of the raw VidOR videos",
               "everything with features or flat videos", (f"{_QA}/map_vid_vidorID.json",),
               331_540, "1955d89e7a175346faf8d4a582297ff349619231394f59fd7872f459ac8a8685", False),
    # The size is that of 32 frames of 768 float32 numbers for each video that is listed.
    *(SourceFile(f"video_feature/clip-vit-l14/{split}.h5", f"CLIP features of {split}",
                 "the profile `annotation`: data card, question graphs, blind rows; scoring",
                 (_CLIP_FEATURES,), videos * 32 * 768 * 4, manual=True,
                 made_by="unpack the published CLIPL/ here, or `cra features extract`")
      for split, videos in (("train", 3860), ("val", 570), ("test", 999))),
    SourceFile("videos/", "raw videos", "everything with published features; no frame figures",
               (_RAW_VIDEOS,), None, required=False, manual=True),
)  # fmt: skip


def _star(name: str, folder: str, purpose: str, required: bool = True) -> SourceFile:
    without = "the other datasets" if required else "everything but questions without times"
    return SourceFile(name, purpose, without, (f"{_STAR}/{folder}/{name}",), required=required)


_STAR_FILES = (
    _star("STAR_train.json", "Question_Answer_SituationGraph", "training questions"),
    _star("STAR_val.json", "Question_Answer_SituationGraph", "questions that are reported on"),
    _star("Video_Segments.csv", "Situation_Video_Data", "times of questions", required=False),
    *(SourceFile(f"Charades_v1_{part}.csv", "lengths of videos that are not at hand",
                 "everything with the videos; else lengths are a lower bound", (_CHARADES_LISTS,),
                 required=False, manual=True) for part in ("train", "test")),
    SourceFile("videos/", "Charades videos, 480p (unpack the archive here)",
               "the profile `annotation`: data card, question graphs, blind rows",
               (_CHARADES,), 13_000_000_000, manual=True),
    *(SourceFile(f"{split}.csv", f"{split} questions in normal form", "nothing of STAR",
                 made_by="`cra prepare star`") for split in ("train", "val", "test")),
    *(SourceFile(f"{kind}_{split}.json", f"{split} {what}", "training",
                 made_by="`cra prepare star`")
      for split in ("val", "test")
      for kind, what in (("gsub", "segments"), ("frame2time", "time stamps"))),
    *(SourceFile(f"video_feature/clip-vit-l14/{split}.h5", f"CLIP features of {split}",
                 "preparation, data card", made_by="`cra features extract`")
      for split in ("train", "val", "test")),
)  # fmt: skip

_SHAPES_SPLITS = ("train", "val", "test_iid", "test", "test_ood")
_SHAPES_FILES = (
    *(SourceFile(f"{split}.csv", f"{split} questions", "nothing; it takes about a minute to make",
                 made_by="`cra prepare shapes`") for split in _SHAPES_SPLITS),
    *(SourceFile(f"gsub_{split}.json", f"{split} segments", "training",
                 made_by="`cra prepare shapes`") for split in _SHAPES_SPLITS[1:]),
    *(SourceFile(f"frame2time_{split}.json", f"{split} time stamps", "training",
                 made_by="`cra prepare shapes`") for split in _SHAPES_SPLITS[1:]),
    SourceFile("videos/", "rendered videos", "everything with features",
               made_by="`cra prepare shapes`"),
    *(SourceFile(f"video_feature/shapes-clip/{split}.h5", f"features of {split}", "data card",
                 made_by="`cra prepare shapes`") for split in _SHAPES_SPLITS),
)  # fmt: skip

_PRETRAINED = {"roberta-base": 500_000_000, "openai/clip-vit-large-patch14": 1_710_000_000}
# Computed, for no file was at hand: 887,871,588 parameters in 16-bit floats.
_FROZEN = {"microsoft/deberta-v2-xlarge": 2 * 887_871_588}
_TABLE = (
    Dataset(
        name="shapes",
        splits=_SHAPES_SPLITS,
        reader="cra_lib.data.shapes.prepare:prepare",
        encoder="shapes-clip",
        default_profile="quick",
        confounded_words=("circle", "star"),
        files=_SHAPES_FILES,
    ),
    Dataset(
        name="nextgqa",
        splits=("train", "val", "test"),
        reader="cra_lib.data.nextgqa:prepare",
        confounded_words=("baby", "woman"),
        marks=("val.csv", "gsub_val.json"),
        source="https://github.com/doc-doc/NExT-GQA, 6 MB in all",
        given=("val.csv", "test.csv", "gsub_*.json", "frame2time_*.json", "upbd_*.json"),
        files=_NEXTGQA_FILES,
        models=_PRETRAINED,
        optional_models=_FROZEN,
        parser="en_core_web_sm",
        frames=("video_feature/*/*.h5", "CLIPL/*.h5", "videos/*"),
        counted={
            "train": {"videos": 3860, "questions": 34132},
            "val": {"videos": 567, "questions": 3358, "segments": 3931},
            "test": {"videos": 990, "questions": 5553, "segments": 6600},
        },
    ),
    Dataset(
        name="star",
        # STAR's val is cut from train, its test is the public val.
        splits=("train", "val", "test"),
        reader="cra_lib.data.star:prepare",
        confounded_words=("take", "open"),
        marks=("STAR_val.json",),
        source="https://bobbywu.com/STAR, 40 MB in all",
        given=("STAR_*.json", "Video_Segments.csv", "Charades_v1_*.csv"),
        files=_STAR_FILES,
        models=_PRETRAINED,
        optional_models=_FROZEN,
        parser="en_core_web_sm",
        published_as={"test": "val"},
        frames=("video_feature/*/*.h5", "videos/*", "Charades_v1_480/*"),
    ),
)
DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in _TABLE}
"""Name -> dataset."""


def dataset_named(name: str) -> Dataset:
    """The entry of a dataset.

    Raises:
        InputError: an unknown name, with the nearest one.
    """
    if name in DATASETS:
        return DATASETS[name]
    near = get_close_matches(name, DATASETS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"Unknown dataset {name!r}: choose one of {', '.join(DATASETS)}.{hint}")
