import json
from pathlib import Path

import numpy as np
import pytest

from sersl_jax.datasets import summary
from sersl_jax.datasets.preparation import prepare
from sersl_jax.reports import label_card as page
from tests.datasets.examples import read_all


@pytest.fixture(scope="module")
def pretext(faces, tmp_path_factory):
    return prepare("pretext/folder", faces, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def card(pretext):
    return json.loads((pretext.data_path / summary.NAME).read_text())


def test_counts_agree_with_the_dataset(pretext, card):
    examples = read_all(pretext)
    assert card["examples"] == len(examples) == sum(card["speakers"].values())
    for task, histogram in card["histograms"].items():
        known = sum(not np.isnan(example["scores"][task]) for example in examples)
        assert sum(histogram["counts"]) == known
    units = card["action_units"]
    np.testing.assert_allclose(
        np.diag(units["together"]) / sum(e["labels"]["action_units"] >= 0 for e in examples),
        units["present"],
        atol=1e-3,
    )


@pytest.mark.parametrize("scores", [(-30, -20, -25), (-30, -20, 5), (0, 0, 0), (1, 2, 90)])
def test_every_score_is_in_the_histogram(scores):
    found = summary._histogram([{"scores": {"mine": score}} for score in scores], "mine")
    assert sum(found["counts"]) == 3
    assert found["edges"][0] == min(0, *scores)


def test_the_page_shows_every_part_and_needs_nothing_else(pretext):
    text = page.write(Path(pretext.data_path)).read_text()
    for title in ("Class balance", "Scores and thresholds", "Landmark regions", "Action units",
                  "Ledger", "Speakers", "How it was made"):  # fmt: skip
        assert title in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_speech_dataset_shows_its_votes(shared_data, tmp_path):
    builder = prepare("speech/crema_d", shared_data / "crema_d", tmp_path, limit=4)
    card = json.loads((builder.data_path / summary.NAME).read_text())
    assert sum(card["votes"]["multimodal"].values()) == 4
    assert "What raters chose" in page.create(card)


def test_approximate_labels_are_said_aloud(card):
    assert "approximate" not in page.create(card)
    text = page.create({**card, "approximate": True, "face_backend": "mediapipe"})
    assert "Faces were tracked by mediapipe" in text
    assert 'class="warning"' in text


def test_reasons_are_counted_without_what_differs():
    assert summary._general("no face in 2 of 3 windows") == "no face in … of … windows"
    assert summary._general("a b.wav: empty file (0 bytes)").endswith("empty file (… bytes)")
    assert summary._general("same sound as x_1") == "same sound as another clip"
