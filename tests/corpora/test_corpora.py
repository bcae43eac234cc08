import dataclasses

import pytest

from sersl_jax import corpora


def test_a_corpus_is_found_by_name():
    assert {"crema_d", "folder", "synthetic"} <= {*corpora.names()}
    assert corpora.get("crema_d").CLASSES[0] == "anger"


def test_every_corpus_can_give_clips():
    for name in corpora.names():
        assert callable(corpora.get(name).clips), name


def test_an_unknown_corpus_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'crema'.*crema_d, .*folder"):
        corpora.get("crema")


def test_a_clip_cannot_be_changed(tmp_path):
    clip = corpora.Clip("a", "b", tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        clip.id = "c"  # pyright: ignore[reportAttributeAccessIssue]
