from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

from cra_lib.records import InputError
from cra_lib.video.features import FeatureStore, write_features

RNG = np.random.default_rng(0)
IDS = ["b", "a", "c"]
FEATURES = RNG.normal(size=(3, 4, 6)).astype(np.float32)
TIMES = {"a": (0, 1, 2, 3), "b": (1, 2, 3, 4), "c": (2, 3, 4, 5)}


@pytest.fixture
def stored(tmp_path):
    write_features(tmp_path / "f.h5", IDS, FEATURES, "X_I", TIMES)
    return tmp_path / "f.h5"


def test_rows_come_back_in_the_order_asked_for_also_twice(stored):
    with FeatureStore(stored) as store:
        assert (store.width, store.num_frames, len(store)) == (6, 4, 3)
        taken = store.take(["c", "b", "c"])
        assert taken.dtype == np.float32
        np.testing.assert_array_equal(taken, FEATURES[[2, 0, 2]])
        assert store.stamps("a") == (0.0, 1.0, 2.0, 3.0)


def test_a_store_may_be_sent_to_a_worker(stored):
    store = FeatureStore(stored)
    store.take(["a"])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).take(["b"])[0], FEATURES[0])


def test_the_same_features_give_the_same_bytes(stored, tmp_path):
    write_features(tmp_path / "again.h5", IDS, FEATURES, "X_I", TIMES)
    assert stored.read_bytes() == (tmp_path / "again.h5").read_bytes()


def test_nextgqa_tools_can_read_ours(stored, tmp_path):
    """Their loader walks through both datasets side by side and decodes the ids."""
    write_features(tmp_path / "f.h5", IDS, FEATURES)
    with h5py.File(tmp_path / "f.h5") as file:
        found = {vid.decode("utf-8"): rows for vid, rows in zip(file["vid"], file["CLIPL_I"],
                                                                strict=True)}  # fmt: skip
    np.testing.assert_array_equal(found["a"], FEATURES[1])


@pytest.mark.parametrize("ids", [np.array([b"10", b"20"]), np.array([10, 20])])
def test_published_files_can_be_read(tmp_path, ids):
    with h5py.File(tmp_path / "CLIPL_I_test.h5", "w") as file:
        file["vid"] = ids
        file["CLIPL_I"] = RNG.normal(size=(2, 32, 768))
    with FeatureStore(tmp_path / "CLIPL_I_test.h5", width=768) as store:
        assert store.take(["20"]).shape == (1, 32, 768)
        with pytest.raises(InputError, match="no time stamps"):
            store.stamps("20")


def test_damage_is_named(stored, tmp_path):
    with (
        FeatureStore(stored) as store,
        pytest.raises(InputError, match="no features for video 'z'"),
    ):
        store.take(["a", "z"])
    with pytest.raises(InputError, match="6 wide, but the settings expect 768"):
        FeatureStore(stored, width=768)
    with pytest.raises(InputError, match="not found"):
        FeatureStore(tmp_path / "none.h5")
    with pytest.raises(InputError, match="video 'a' are not finite"):
        write_features(tmp_path / "n.h5", ["a"], np.full((1, 2, 2), np.nan))
    assert not (tmp_path / "n.h5").exists()
    with h5py.File(stored, "a") as file:
        file["X_I"][1, 0, 0] = np.inf
    with FeatureStore(stored) as store, pytest.raises(InputError, match="video 'a' are not finite"):
        store.take(["b", "a"])


def test_shapes_must_fit(tmp_path):
    with pytest.raises(InputError, match=r"expected features \[2, T, F\]"):
        write_features(tmp_path / "f.h5", ["a", "b"], FEATURES)
    with pytest.raises(InputError, match="given twice"):
        write_features(tmp_path / "f.h5", ["a", "b", "a"], FEATURES)
    with pytest.raises(InputError, match="4 frames but 0 time stamps"):
        write_features(tmp_path / "f.h5", IDS, FEATURES, stamps={})
