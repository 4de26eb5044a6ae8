"""Pickled confounder files are read without running what is in them."""

import collections
import io
import pickle
import sys
import types

import numpy as np
import pytest
import torch

from cra_lib.model.intervention import EDGES
from cra_lib.records import InputError
from cra_lib.released import (
    read_dictionary,
    read_qa_graphs,
    read_visual_clusters,
)

EDGE_INDEX = torch.tensor(EDGES).T


@pytest.fixture
def graph_library():
    """Classes laid out like torch_geometric's, importable only while a file is written."""
    data = types.ModuleType("torch_geometric.data.data")
    storage = types.ModuleType("torch_geometric.data.storage")

    class GlobalStorage:
        def __init__(self, mapping):
            self._mapping = mapping

        def __getstate__(self):
            return dict(self.__dict__)

    class Data:
        def __init__(self, **mapping):
            self.__dict__["_edge_attr_cls"] = None
            self.__dict__["_store"] = GlobalStorage(mapping)

    Data.__module__, GlobalStorage.__module__ = data.__name__, storage.__name__
    Data.__qualname__, GlobalStorage.__qualname__ = "Data", "GlobalStorage"
    data.Data, storage.GlobalStorage = Data, GlobalStorage
    fake = {"torch_geometric": types.ModuleType("torch_geometric")}
    fake |= {"torch_geometric.data": types.ModuleType("torch_geometric.data")}
    fake |= {data.__name__: data, storage.__name__: storage}
    sys.modules.update(fake)
    yield Data
    for name in fake:
        sys.modules.pop(name, None)


def forget(graph_library):
    for name in [name for name in sys.modules if name.startswith("torch_geometric")]:
        sys.modules.pop(name)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("shape", ["list", "batch", "dict"])
def test_graphs_are_read_with_stand_ins(graph_library, tmp_path, shape, zipped):
    nodes = torch.randn(5, 8, 12)
    content = {
        "list": [graph_library(x=x, edge_index=EDGE_INDEX) for x in nodes],
        "batch": graph_library(x=nodes.flatten(0, 1), edge_index=EDGE_INDEX),
        "dict": {"centres": [graph_library(x=x, edge_index=EDGE_INDEX) for x in nodes]},
    }[shape]
    path = tmp_path / "qa_graphs.npy"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    forget(graph_library)
    assert torch.equal(read_qa_graphs(path), nodes)
    kind, centres = read_dictionary(path)
    assert kind == "language" and torch.equal(centres, nodes)
    assert "torch_geometric" not in sys.modules


def test_plain_pickle_of_tensors(tmp_path):
    centres = torch.randn(7, 4)
    path = tmp_path / "visual_clusters.npy"
    path.write_bytes(pickle.dumps(centres))
    assert torch.equal(read_visual_clusters(path), centres)


@pytest.mark.parametrize("make", [torch.save, lambda x, p: np.save(p, x.numpy())])
def test_visual_clusters(make, tmp_path):
    centres = torch.randn(7, 4)
    path = tmp_path / "visual_clusters.npy"
    make(centres, path)
    assert torch.equal(read_visual_clusters(path), centres)
    kind, again = read_dictionary(path)
    assert kind == "visual" and torch.equal(again, centres)


def test_numpy_object_array_of_arrays(tmp_path):
    rows = np.empty(3, dtype=object)
    rows[:] = [np.ones(4, np.float32)] * 3
    np.save(tmp_path / "odd.npy", rows, allow_pickle=True)
    with pytest.raises(InputError, match="expected a matrix"):
        read_visual_clusters(tmp_path / "odd.npy")


class Harmful:
    """Executed, it would end the test run."""

    def __init__(self, call, *args):
        self.call = call, args

    def __reduce__(self):
        return self.call


HARMFUL = [
    Harmful(eval, "1/0"),
    Harmful(exec, "raise SystemExit"),
    Harmful(getattr, "text", "upper"),
    Harmful(__import__, "os"),
    Harmful(io.open, "/dev/null"),
    Harmful(collections.Counter, "abc"),
    Harmful(torch.hub.load, "a", "b"),
    Harmful(torch.load, "x"),
    Harmful(pickle.loads, b"x"),
]


@pytest.mark.parametrize("harmful", HARMFUL, ids=lambda h: h.call[0].__name__)
@pytest.mark.parametrize("how", ["zip", "legacy", "pickle", "numpy"])
def test_other_classes_are_refused_and_not_called(harmful, how, tmp_path):
    path = tmp_path / "visual_clusters.npy"
    content = {"centres": harmful}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    elif how == "numpy":
        np.save(path, np.array([content], dtype=object), allow_pickle=True)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(InputError, match="refused, it asks for .*nothing of it was run"):
        read_visual_clusters(path)


def test_harm_inside_a_nested_storage_is_refused(tmp_path):
    """A plain pickle may carry another torch file; that one is read just as carefully."""
    inner = io.BytesIO()
    torch.save(HARMFUL[0], inner)
    path = tmp_path / "nested.npy"
    path.write_bytes(pickle.dumps(Harmful(torch.storage._load_from_bytes, inner.getvalue())))
    with pytest.raises(InputError, match="refused"):
        read_visual_clusters(path)


def test_scripted_module_is_refused(tmp_path):
    path = tmp_path / "script.npy"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    with pytest.raises(InputError, match="refused, it asks for a scripted module"):
        read_visual_clusters(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x09", b"hello, world"])
def test_broken_file_is_one_sentence(content, tmp_path):
    path = tmp_path / "broken.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match="broken.npy"):
        read_visual_clusters(path)


def test_nan_centres_of_empty_clusters_are_refused(tmp_path):
    centres = torch.randn(4, 3)
    centres[2] = torch.nan
    torch.save(centres, tmp_path / "nan.npy")
    with pytest.raises(InputError, match="empty cluster"):
        read_visual_clusters(tmp_path / "nan.npy")


def test_graphs_of_another_shape_are_refused(graph_library, tmp_path):
    other = graph_library(x=torch.randn(7, 12), edge_index=EDGE_INDEX)
    torch.save([other], tmp_path / "seven.npy")
    wrong = graph_library(x=torch.randn(8, 12), edge_index=EDGE_INDEX.flip(0))
    torch.save([wrong], tmp_path / "edges.npy")
    forget(graph_library)
    with pytest.raises(InputError, match="expected 8 nodes"):
        read_qa_graphs(tmp_path / "seven.npy")
    with pytest.raises(InputError, match="other edges"):
        read_qa_graphs(tmp_path / "edges.npy")
