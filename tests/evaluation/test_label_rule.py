from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sersl_jax.evaluation import label_rule
from sersl_jax.evaluation.label_rule import LabelRule

LETTERS = "ADFHNS"


def as_votes(column: pd.Series) -> np.ndarray:
    return np.array([[letter in vote for letter in LETTERS] for vote in column], np.float64)


@pytest.fixture(scope="module")
def summary_table(shared_data: Path) -> pd.DataFrame:
    return pd.read_csv(shared_data / "crema_d" / "processedResults" / "summaryTable.csv")


def test_plurality_ties_and_no_votes():
    votes = np.array([[3.0, 1, 0], [2, 2, 1], [0, 0, 0]])
    assert label_rule.apply(votes, ["a", "b", "c"], "drop").tolist() == [0, -1, -1]
    random = label_rule.apply(votes, ["a", "b", "c"], "random", seed=0)
    assert random[0] == 0
    assert random[1] in (0, 1)
    assert random[2] == -1


@given(st.integers(0, 100), st.permutations(range(20)), st.integers(1, 20))
def test_a_tie_depends_on_seed_and_clip_alone(seed, order, number):
    votes, clips = np.ones((20, 6)), [f"clip{k}" for k in range(20)]
    whole = label_rule.apply(votes, clips, seed=seed)
    some = order[:number]
    part = label_rule.apply(votes[some], [clips[k] for k in some], seed=seed)
    np.testing.assert_array_equal(part, whole[some])


def test_ties_are_broken_evenly():
    votes, clips = np.tile([0.0, 1, 0, 1, 1, 0], (3000, 1)), [str(k) for k in range(3000)]
    counts = np.bincount(label_rule.apply(votes, clips), minlength=6)
    assert counts[[0, 2, 5]].sum() == 0
    assert np.all(abs(counts[[1, 3, 4]] - 1000) < 120)  # 4.6 standard deviations


def test_rules():
    votes = np.zeros((1, 3, 2))
    votes[0, 0], votes[0, 1] = [1, 3], [2, 0]
    intended = np.array([0])
    assert label_rule.create_labels(LabelRule("multimodal"), votes, intended, ["a"]) == [1]
    assert label_rule.create_labels(LabelRule("voice"), votes, intended, ["a"]) == [0]
    assert label_rule.create_labels(LabelRule("intended"), votes, intended, ["a"]) == [0]
    np.testing.assert_allclose(label_rule.soft_targets(LabelRule(), votes), [[0.25, 0.75]])


def test_a_stamp_is_said_in_words():
    said = label_rule.describe(LabelRule(targets="soft", ties="drop").stamp())
    assert said == (
        "label: plurality of the multimodal votes, learnt from their shares, ties dropped"
    )
    assert label_rule.describe(LabelRule("intended").stamp()) == "label: the intended emotion"
    assert label_rule.describe({"source": "corpus"}) == "label: the corpus's own"
    assert label_rule.describe({"rater": "one"}) == "label: rater one"


def test_misfits_are_named():
    with pytest.raises(ValueError, match="ties='coin' is none of random, drop"):
        LabelRule(ties="coin")
    with pytest.raises(ValueError, match="no face votes; take source=intended"):
        label_rule.create_labels(LabelRule("face"), np.zeros((1, 3, 2)), np.array([0]), ["a"])


def test_crema_d_counts_of_unique_votes(summary_table):
    """The paper's class counts (Sec. 4.1)."""
    votes = as_votes(summary_table["MultiModalVote"])
    unique = label_rule.apply(votes, list(summary_table["FileName"]), "drop")
    counts = dict(zip(LETTERS, np.bincount(unique[unique >= 0]), strict=True))
    assert counts == {"N": 1972, "H": 1219, "D": 1139, "F": 1084, "A": 1019, "S": 589}
    assert (unique == -1).sum() == 420


def test_crema_d_counts_are_near_the_papers(summary_table):
    votes = as_votes(summary_table["MultiModalVote"])
    paper = {"H": 1230, "F": 1180, "D": 1222, "A": 1067, "S": 672, "N": 2071}
    for seed in range(5):
        counts = np.bincount(label_rule.apply(votes, list(summary_table["FileName"]), seed=seed))
        for letter, count in zip(LETTERS, counts, strict=True):
            assert abs(count - paper[letter]) <= 30, letter
