"""The pages, in a real browser where one is installed."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from configs import wav2vec2
from sersl_jax.config import create
from sersl_jax.evaluation import comparable, comparison
from sersl_jax.evaluation import runs as finished
from sersl_jax.reports import comparison as comparison_page
from sersl_jax.reports import html, run, run_clips, run_curves
from sersl_jax.training import objectives_wav2vec2

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr"),
)
SCHEMES = {"dark": "preferredColorScheme=0", "light": "preferredColorScheme=1"}
# A window can't be narrower than 500 pixels, a frame in it can.
MEASURE = "<script>parent.document.body.dataset.w=document.documentElement.scrollWidth</script>"
FRAME = '<body><iframe style="border:0" width="{}" height="1400" srcdoc="{}"></iframe></body>'
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def pages(runs, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "report": run.write(runs["ssl1"]).read_text(),
        "compare": comparison_page.page_of(
            [comparison.compare(comparable.read_all(runs.values()))]
        ),
    }
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text)
    return {name: folder / f"{name}.html" for name in made}


def browse(path: Path, width: int, *options: str) -> str:
    """What Chromium prints; fails on any message that the page put on its console."""
    profile = path.parent / "profile"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},1400"]
    done = subprocess.run(
        [*command, *options, path.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    assert "CONSOLE" not in done.stderr
    return done.stdout


@in_a_browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["report", "compare"])
def test_nothing_is_wider_than_the_screen(pages, name, width):
    measured = pages[name].with_name(f"measured_{name}.html")
    inside = pages[name].read_text().replace("</body>", MEASURE + "</body>")
    measured.write_text(FRAME.format(width, html.escape(inside)))
    found = re.search(r'data-w="(\d+)"', browse(measured, width + 100, "--dump-dom"))
    assert found
    assert int(found[1]) == width


@in_a_browser
def test_something_too_wide_would_be_noticed(tmp_path):
    (tmp_path / "wide.html").write_text(f'<body><p style="width:777px">.</p>{MEASURE}</body>')
    assert 'data-w="7' in browse(tmp_path / "wide.html", 600, "--dump-dom")


@in_a_browser
@pytest.mark.parametrize("name", ["report", "compare"])
def test_light_and_dark(pages, name, tmp_path):
    brightness = {}
    for scheme, setting in SCHEMES.items():
        picture = tmp_path / f"{scheme}.png"
        browse(pages[name], 390, f"--blink-settings={setting}", f"--screenshot={picture}")
        pixels = matplotlib.image.imread(picture)
        assert pixels.shape[:2] == (1400, 390)
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50
        brightness[scheme] = float(np.median(pixels[..., :3]))
    assert brightness["light"] > 0.9
    assert brightness["dark"] < 0.2


class Balance(HTMLParser):
    """Fails on a tag that is not closed in order, and on anything fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attributes):
        assert tag != "script"
        for name, value in attributes:
            assert name not in ("src", "href") or value.startswith("data:")
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["report", "compare"])
def test_one_file_that_needs_no_other(pages, name):
    parser = Balance()
    parser.feed(pages[name].read_text())
    assert not parser.open
    assert "url(" not in pages[name].read_text()


def test_the_report_says_all_that_issue_5_asks_for(pages):
    text = pages["report"].read_text()
    for said in (
        "Crowd that only heard it",
        "SVM, balanced",
        "SVM, unweighted",
        "Majority class",
        "Confusion matrix",
        "Each speaker",
        "sex: female",
        "intensity: high",
        "Expected calibration error",
        "Pre-training",
        "Fine-tuning",
        "Residual weights",
        "Loss of each model",
        "Hardest clips",
        "voice votes",
        "finetune.epochs",
        "sersl_jax 0.1.0",
        "57.0 in the paper",
    ):
        assert said in text, said


def test_groups_are_scored_on_the_classes_they_have(runs):
    read = finished.read(runs["ssl1"])
    said = read.predictions.assign(prediction=read.predictions["label"], own_label="x")
    two = said[said["label"].isin(["anger", "fear"])].assign(part="some")
    table = pd.concat([said.assign(part="all"), two])
    page = run_clips.speakers(replace(read, predictions=table))
    assert page.count("part: some") == 1
    assert ">66.7<" not in page
    assert ">33.3<" not in page
    assert "own_label" not in page


def test_a_column_may_have_any_name(runs):
    read = finished.read(runs["ssl1"])
    odd = {"µ": [1, 2], "rating`s": [3, 4], "a\tb": ["x", "y"]}
    values = {name: np.resize(two, len(read.predictions)) for name, two in odd.items()}
    page = run_clips.speakers(replace(read, predictions=read.predictions.assign(**values)))
    for said in ("µ: 2", "rating`s: 4", "a\tb: y"):
        assert said in page


def test_a_speaker_of_unknown_sex_is_shown(runs):
    read = finished.read(runs["ssl1"])
    some = read.predictions["speaker_id"] == read.speakers[0]
    table = read.predictions.assign(sex=read.predictions["sex"].mask(some))
    assert "unknown" in run_clips.speakers(replace(read, predictions=table))


def test_a_table_of_predictions_is_no_run(runs):
    with pytest.raises(ValueError, match=r"predictions.csv is a file: name the directory"):
        run.write(runs["ssl1"] / "predictions.csv")


def test_predictions_and_results_are_enough(runs, tmp_path):
    for name in ("results.json", "predictions.csv"):
        shutil.copy(runs["supervised"] / name, tmp_path)
    text = run.write(tmp_path).read_text()
    assert "Fine-tuning" not in text
    assert "Confusion matrix" in text


def test_a_name_is_text_not_markup(runs, tmp_path):
    shutil.copytree(runs["ssl1"], tmp_path, dirs_exist_ok=True)
    saved = json.loads((tmp_path / "results.json").read_text())
    saved["config"]["name"] = "<b>&</b>"
    saved["warnings"] = ["split 0: speaker <i> in both train and test"]
    (tmp_path / "results.json").write_text(json.dumps(saved))
    text = run.write(tmp_path).read_text()
    assert "<b>&</b>" not in text
    assert '<p class="warning" role="alert"' in text
    assert "speaker &lt;i&gt; in both" in text


def test_an_epoch_trained_again_counts_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [(1, 0.9), (2, 0.5), (2, 0.7), (3, None)]
    path.write_text(
        "".join(
            json.dumps({"stage": "finetune", "member": 0, "epoch": e, "validation/loss": loss})
            + "\n"
            for e, loss in rows
        )
    )
    (member,) = run_curves.read(path, {})["finetune"]
    assert member.values("validation/loss")[:2].tolist() == [0.9, 0.7]
    assert member.chosen == 1


def test_the_perplexity_of_the_codebooks_is_shown(tmp_path):
    path = tmp_path / "metrics.jsonl"
    row = {"stage": "pretrain", "member": 0, "name": "wav2vec2", "epoch": 1}
    row |= {"train/loss": 1.0, "validation/loss": 1.0}
    path.write_text(json.dumps(row) + "\n")
    assert "Codebook" not in "".join(run_curves.sections(path, {}))
    names = objectives_wav2vec2.create_wav2vec2(
        create(wav2vec2.get_config()).model, "float32"
    ).metrics
    row |= {f"validation/{name}": 200.0 for name in names}
    path.write_text(json.dumps(row) + "\n")
    (section,) = run_curves.sections(path, {})
    assert "Perplexity of the quantiser" in section
    assert "group 1" in section
    assert "group 2" in section


@pytest.mark.parametrize(
    ("stage", "chosen", "said"),
    [
        ({}, 4, "the lowest validation loss"),
        ({"patience": 1}, 0, "the lowest validation loss"),
        ({"patience": 2}, 4, "the lowest validation loss"),
        ({"select": "macro_f1"}, 1, "the highest validation macro f1"),
    ],
)
def test_the_marked_epoch_is_the_one_that_training_kept(tmp_path, stage, chosen, said):
    path = tmp_path / "metrics.jsonl"
    losses, scores = (0.5, 0.6, 0.55, 0.7, 0.4), (0.1, 0.9, 0.2, 0.3, 0.4)
    if stage.get("patience") == 2:
        losses = (0.5, 0.6, 0.45, 0.7, 0.4)
    rows = [
        {"stage": "finetune", "member": 0, "epoch": number, "train/loss": 1.0}
        | {"validation/loss": loss, "validation/macro_f1_emotion": score}
        for number, (loss, score) in enumerate(zip(losses, scores, strict=True), start=1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (member,) = run_curves.read(path, {"finetune": stage})["finetune"]
    assert member.chosen == chosen
    assert said in run_curves.sections(path, {"finetune": stage})[0]


def test_splits_trained_one_after_the_other_are_apart(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [{"stage": "finetune", "member": 0, "name": name, "epoch": 1} for name in ("0", "1")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [member.name for member in run_curves.read(path, {})["finetune"]] == ["0", "1"]


def test_an_empty_section_is_not_there():
    assert html.section("Nothing") == ""
    assert html.figures() == ""


@pytest.mark.parametrize(("page", "written"), [(None, True), (1, True), (3, False)])
def test_a_page_of_older_results_is_written_anew(tmp_path, monkeypatch, page, written):
    """A kill between results.json and report.html leaves the page of fewer splits."""
    pages = []
    monkeypatch.setattr(run, "write", pages.append)
    (tmp_path / "results.json").write_text("{}")
    os.utime(tmp_path / "results.json", (2, 2))
    if page:
        (tmp_path / "report.html").touch()
        os.utime(tmp_path / "report.html", (page, page))
    run.refresh(tmp_path)
    assert pages == [tmp_path] * written
