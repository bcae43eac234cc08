import pytest

from sersl_jax.datasets.preparation import prepare
from tests.datasets.examples import assert_same, read_all


def test_relabelling_equals_preparing_anew(faces, tmp_path):
    old = prepare("pretext/folder", faces, tmp_path / "a")
    before = read_all(old)
    new = prepare("pretext/folder", None, tmp_path / "a", relabel=True, min_proportion=0.6)
    assert_same(new, prepare("pretext/folder", faces, tmp_path / "b", min_proportion=0.6))
    assert [e["labels"] for e in before] != [e["labels"] for e in read_all(new)]


def test_then_preparing_finds_it_made(faces, tmp_path):
    prepare("pretext/folder", faces, tmp_path)
    prepare("pretext/folder", None, tmp_path, relabel=True, match="all")
    builder = prepare("pretext/folder", faces, tmp_path, match="all")
    assert builder.info.metadata["options"]["match"] == "all"
    assert sorted(p.name for p in (tmp_path / "pretext" / "folder").iterdir()) == [".lock", "1.0.0"]


def test_what_must_be_measured_again_is_refused(faces, tmp_path):
    prepare("pretext/folder", faces, tmp_path)
    with pytest.raises(ValueError, match=r"can change match, min_proportion only.*--overwrite"):
        prepare("pretext/folder", None, tmp_path, relabel=True, hop=1.0)


def test_there_must_be_a_pretext_dataset(tmp_path):
    with pytest.raises(ValueError, match="needs a prepared pretext dataset"):
        prepare("pretext/folder", None, tmp_path, relabel=True)


def test_a_dataset_that_was_being_replaced_comes_back(faces, tmp_path):
    builder = prepare("pretext/folder", faces, tmp_path)
    folder = tmp_path / "pretext" / "folder"
    (folder / "1.0.0").rename(folder / "1.0.0.previous")
    (folder / "1.0.0.incomplete_relabel").mkdir()
    again = prepare("pretext/folder", faces, tmp_path)
    assert len(read_all(again)) == builder.info.splits["train"].num_examples
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "1.0.0"]
