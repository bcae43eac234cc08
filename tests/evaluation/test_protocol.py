import json

import numpy as np
import pandas as pd
import pytest

from sersl_jax.evaluation.protocol import LeakError, Split, check, create_splits
from sersl_jax.evaluation.splits import by_fraction

ACTORS = [str(actor) for actor in range(1001, 1092)]
CLIPS = [actor for actor in ACTORS for _ in range(3)]


def test_a_split_is_a_function_of_its_own_seed():
    assert create_splits("paper", CLIPS, 5, seed=0)[3] == create_splits("paper", CLIPS, 20)[3]
    assert create_splits("paper", CLIPS, 1, seed=7) == [by_fraction(CLIPS, 7)]
    assert len(create_splits("paper", CLIPS, None)) == 20


@pytest.mark.parametrize("protocol", ["emosuperb", "hicmae"])
def test_blocks_test_every_actor_once(protocol):
    splits = create_splits(protocol, CLIPS)
    assert [(min(s.test), max(s.test)) for s in splits] == [
        ("1001", "1018"),
        ("1019", "1036"),
        ("1037", "1054"),
        ("1055", "1072"),
        ("1073", "1091"),
    ]
    for split in splits:
        check(split, CLIPS)
        assert sorted(split.train + split.validation + split.test) == ACTORS


def test_emosuperb_chooses_on_the_next_block_and_hicmae_never_on_test():
    emosuperb = create_splits("emosuperb", CLIPS)
    assert emosuperb[0].validation == emosuperb[1].test
    assert emosuperb[4].validation == emosuperb[0].test
    assert len(create_splits("hicmae", CLIPS)[0].validation) == 7  # a tenth of 73 actors


def test_blocks_need_crema_d():
    with pytest.raises(ValueError, match=r"missing or strange here: 1001.*protocol=paper"):
        create_splits("emosuperb", CLIPS[3:])


def test_leave_one_speaker_out():
    splits = create_splits("leave_one_speaker_out", ["a", "b", "c", "c"], None)
    assert [split.test for split in splits] == [("a",), ("b",), ("c",)]
    for split in splits:
        check(split, ["a", "b", "c", "c"])
    with pytest.raises(ValueError, match=r"splits named b#2: a name that ends in # and a number"):
        create_splits("leave_one_speaker_out", ["a", "b#2", "c"], None)


def test_a_users_file_and_another_runs_results(tmp_path):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps([{"train": ["a"], "validation": ["b"], "test": ["c"]}]))
    assert create_splits(str(path), "abc") == [Split(0, ("a",), ("b",), ("c",))]
    original = create_splits("paper", CLIPS, 2)
    entries = [{"seed": s.seed, "speakers": s.speakers} for s in original]
    path.write_text(json.dumps({"splits": entries}))
    assert create_splits("file", CLIPS, path=path) == original


@pytest.mark.parametrize("text", ["{", "[1]", '[{"train": ["a"]}]'])
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "splits.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"splits.json is no splits file"):
        create_splits(str(path), "abc")


def test_splits_of_one_seed_are_refused(tmp_path):
    path = tmp_path / "splits.json"
    fold = {"seed": 42, "train": ["a"], "validation": ["b"], "test": ["c"]}
    path.write_text(json.dumps([fold, fold]))
    with pytest.raises(ValueError, match=r"splits.json: several splits have the seed 42"):
        create_splits(str(path), "abc")


def test_unknown_protocol():
    with pytest.raises(ValueError, match="unknown protocol 'papr'; take one of paper, emosuperb"):
        create_splits("papr", CLIPS)


def test_the_guard_names_speakers_on_two_sides():
    split = Split(0, ("ann", "bob"), ("cy",), ("bob",))
    with pytest.raises(LeakError, match="speaker bob in both train and test"):
        check(split, ["ann", "bob", "cy"])
    warnings = check(split, ["ann", "bob", "cy"], allow_speaker_overlap=True)
    assert warnings == ["split 0: speaker bob in both train and test"]


def test_the_guard_names_byte_identical_clips():
    split, clips = Split(0, ("ann",), ("bob",), ("cy",)), ["a1", "a2", "b1", "c1"]
    speakers = ["ann", "ann", "bob", "cy"]
    check(split, speakers, ["x", "x", "y", "z"], clips)  # twins on one side are no leak
    with pytest.raises(LeakError, match="byte-identical clips a2, c1 in both train and test"):
        check(split, speakers, ["w", "x", "y", "x"], clips)


def test_the_guard_sees_speakers_behind_clip_ids():
    split = Split("random clips", ("a1",), ("b1",), ("a2",))
    with pytest.raises(LeakError, match="speaker ann in both train and test"):
        check(split, ["ann", "ann", "bob"], clips=["a1", "a2", "b1"])


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(0, ("ann",), (), ("bob",)), "no validation clips; the best epoch could then only"),
        (Split(0, ("ann",), ("bob",), ()), "no test clips"),
        (Split(0, ("ann",), ("bob",), ("zoe",)), "does not have: zoe"),
    ],
)
def test_the_guard_refuses_incomplete_splits(split, message):
    with pytest.raises(ValueError, match=message):
        check(split, ["ann", "bob"], allow_speaker_overlap=True)


def corpus(**columns):
    return pd.DataFrame(
        {"clip": [f"clip{i}" for i in range(len(next(iter(columns.values()))))], **columns}
    )


def test_a_corpus_own_partitions():
    speakers = ["ann", "ann", "bob", "cy", "dee"]
    clips = corpus(partition=["train", "train", "validation", "test", "test2"])
    (split,) = create_splits("corpus", speakers, clips=clips)
    assert split == Split("corpus", ("ann",), ("bob",), ("cy",))
    assert check(split, speakers, clips=[*clips["clip"]]) == []


def test_partitions_that_share_a_speaker_are_refused():
    speakers = ["ann", "bob", "bob", "cy"]
    clips = corpus(partition=["train", "validation", "test", "test"])
    (split,) = create_splits("corpus", speakers, clips=clips)
    assert split.test == ("clip2", "cy")
    with pytest.raises(LeakError, match="speaker bob in both validation and test"):
        check(split, speakers, clips=[*clips["clip"]])


def test_a_partition_that_is_missing_is_named():
    clips = corpus(partition=["train", "test", "test2"])
    (split,) = create_splits("corpus", "abc", clips=clips)
    with pytest.raises(ValueError, match="split corpus has no validation clips"):
        check(split, "abc", clips=[*clips["clip"]])


def test_a_corpus_own_sessions():
    speakers, clips = ["a", "b", "c", "d"], corpus(session=["1", "1", "2", "3"])
    splits = create_splits("corpus", speakers, clips=clips)
    assert splits == [
        Split("session-1", ("d",), ("c",), ("a", "b")),
        Split("session-2", ("a", "b"), ("d",), ("c",)),
        Split("session-3", ("c",), ("a", "b"), ("d",)),
    ]
    assert create_splits("corpus", speakers, 2, clips=clips) == splits[:2]
    more = corpus(session=["1", "1", "2", "3", None, np.nan])
    assert create_splits("corpus", [*speakers, "e", "f"], clips=more) == splits  # on no side


def test_a_corpus_without_partitions_or_sessions():
    with pytest.raises(ValueError, match="comes with neither partitions nor sessions; take proto"):
        create_splits("corpus", ["a"], clips=pd.DataFrame({"clip": ["a1"]}))


def test_unknown_speakers_are_stamped_on_every_protocol():
    split = Split(0, ("unknown:7", "ann"), ("bob",), ("unknown:8",))
    speakers = ["unknown:7", "unknown:7", "ann", "bob", "unknown:8"]
    (said,) = check(split, speakers)
    assert "clips of unknown speakers (2 in train, 1 in test)" in said
