import json

import numpy as np
import pytest

from sersl_jax import methods
from sersl_jax.config import create
from sersl_jax.corpora import iemocap
from sersl_jax.datasets import classes, ledger
from sersl_jax.datasets.preparation import dry_run, prepare
from sersl_jax.evaluation.label_rule import describe
from sersl_jax.training.finetune import open_recognition
from tests.corpora.media import speak, touch, write_text
from tests.datasets.examples import read_all

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
CODES = ("ang", "hap", "exc", "neu", "sad", "fru", "xxx")
USUAL = ("anger", "happiness+excited", "neutral", "sadness")


def line(turn, emotion, numbers="[2.5000, 3.0000, 4.5000]"):
    """A turn as the release has it: its own line, then each rater's."""
    return (
        f"[6.2901 - 8.2357]\t{turn}\t{emotion}\t{numbers}\n"
        "C-E2:\tNeutral state;\t()\nC-F1:\tAnger; Neutral state;\t(curious)\n"
        "A-E3:\tval 3; act 2; dom  2;\t()\nA-F1:\tval 3; act 2; dom  1;\t()\n\n"
    )


def write(root, sessions=(1, 2, 3, 4, 5), sound=touch):
    """Every session has a dialogue of `CODES`, by the woman and the man in turn."""
    for session in sessions:
        folder, dialogue = root / f"Session{session}", f"Ses0{session}F_impro01"
        turns = [f"{dialogue}_{'FM'[i % 2]}{i:03d}" for i in range(len(CODES))]
        text = "".join(line(turn, code) for turn, code in zip(turns, CODES, strict=True))
        evaluation = folder / "dialog" / "EmoEvaluation"
        write_text(evaluation / f"{dialogue}.txt", HEADER + text)
        write_text(evaluation / f"._{dialogue}.txt", "\0\1Mac OS X")
        write_text(evaluation / "Self-evaluation" / f"{dialogue}_e2.txt", "x :Anger; ()\n")
        touch(folder / "dialog" / "wav" / f"{dialogue}.wav")  # both speakers
        for turn in turns:
            sound(folder / "sentences" / "wav" / dialogue / f"{turn}.wav")
    return root


def test_a_turn(tmp_path):
    clips = {clip.id: clip for clip in iemocap.clips(write(tmp_path, (3,)))}
    woman, man = clips["Ses03F_impro01_F000"], clips["Ses03F_impro01_M001"]
    assert woman.speaker_id == "iemocap_Ses03F"
    assert woman.media.is_file()
    assert woman.labels == {"emotion": "anger"}
    assert woman.attributes == {
        "sex": "female", "session": "3", "scene": "improvised",
        "arousal": "3.0000", "valence": "2.5000", "dominance": "4.5000",
    }  # fmt: skip
    assert man.speaker_id == "iemocap_Ses03M"
    assert man.attributes["sex"] == "male"


def test_votes_are_the_raters_own_not_the_actors(tmp_path):
    path = tmp_path / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    first = line("Ses01F_impro01_F000", "ang").replace("C-E2:\tNeutral state;\t()", (
        "C-E1:\tAnger;\t()\nC-E2:\tAnger; Frustration;\t(Sadness; Fear)\n"
        "C-E4:\tHappiness; Excited;\t()\nC-E5:\tBored;\t()"
    ))  # fmt: skip
    write_text(path, HEADER + first + line("Ses01F_impro01_M000", "xxx"))
    one, other = iemocap.clips(tmp_path)
    named = {n: k for n, k in zip(iemocap.CLASSES, one.votes["multimodal"], strict=True) if k}
    assert named == {"anger": 2, "frustration": 1, "happiness": 1, "excited": 1}
    assert other.votes["multimodal"] == tuple(int(n == "neutral") for n in iemocap.CLASSES)
    chosen = classes.select([one], iemocap.CLASSES, USUAL)[0]
    assert chosen.votes == {"multimodal": (2, 2, 0, 0)}


def test_speakers_are_told_by_the_last_letter_and_scripts_by_their_name(tmp_path):
    turns = ("Ses01M_script02_2_F012", "Ses01F_script01_1_M003")
    for turn in turns:
        path = tmp_path / "Session1" / "dialog" / "EmoEvaluation" / f"{turn[:-5]}.txt"
        write_text(path, line(turn, "sur"))
    clips = {clip.id: clip for clip in iemocap.clips(tmp_path)}
    assert [clips[turn].speaker_id[-1] for turn in turns] == ["F", "M"]
    assert {clip.attributes["scene"] for clip in clips.values()} == {"scripted"}
    path = tmp_path / "Session1" / "sentences" / "wav" / turns[0][:-5] / f"{turns[0]}.wav"
    assert clips[turns[0]].media == path


def test_the_five_sessions_without_dialogues_of_both_speakers(tmp_path):
    clips = iemocap.clips(write(tmp_path))
    assert len(clips) == 5 * len(CODES)
    assert len({clip.speaker_id for clip in clips}) == 10
    assert all(clip.media.is_file() and "sentences" in clip.media.parts for clip in clips)
    assert [clip.labels for clip in clips].count({}) == 5  # xxx


def test_without_evaluations_one_line_says_what_is_missing(tmp_path):
    write(tmp_path, (1,))
    for path in (tmp_path / "Session1" / "dialog" / "EmoEvaluation").glob("Ses*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"EmoEvaluation.*is missing.*IEMOCAP_full_rele"):
        iemocap.clips(tmp_path)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    pitches = iter(range(100, 2_000, 7))
    root = tmp_path_factory.mktemp("IEMOCAP")
    return write(root, sound=lambda path: speak(path, next(pitches)))


def test_all_classes_and_turns_without_agreement(corpus, tmp_path):
    builder = prepare("speech/iemocap", corpus, tmp_path, workers=1)
    assert builder.info.metadata["class_balance"]["emotion"]["unknown"] == 5
    examples = read_all(builder)
    unknown = [e for e in examples if e["labels"]["emotion"] == -1]
    assert len(examples) == 35
    assert {e["clip"].decode()[-4:] for e in unknown} == {"F006"}
    assert json.loads(unknown[0]["attributes"])["valence"] == "2.5000"


def test_four_classes_and_a_session_left_out(corpus, tmp_path):
    builder = prepare("speech/iemocap", corpus, tmp_path, workers=1, classes=list(USUAL))
    assert builder.info.metadata["classes"] == ["anger", "happiness", "neutral", "sadness"]
    assert builder.info.metadata["class_balance"]["emotion"] == {
        "anger": 5, "happiness": 10, "neutral": 5, "sadness": 5, "unknown": 0,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"classes .*--overwrite"):
        prepare("speech/iemocap", corpus, tmp_path, workers=1)
    assert ledger.read(builder.data_path / ledger.NAME) == []


def test_sessions_are_the_protocol(corpus, tmp_path):
    prepare("speech/iemocap", corpus, tmp_path, workers=1, classes=list(USUAL))
    config = methods.defaults()
    config.name, config.stages, config.data.data_dir = "supervised", ("finetune",), str(tmp_path)
    config.finetune.update({"dataset": "speech/iemocap", "protocol": "corpus", "num_splits": 20})
    recognition = open_recognition(create(config), tmp_path / "run")
    splits = recognition.splits
    assert [split.seed for split in splits] == [f"session-{n}" for n in range(1, 6)]
    assert splits[0].test == ("iemocap_Ses01F", "iemocap_Ses01M")
    assert splits[0].validation == ("iemocap_Ses02F", "iemocap_Ses02M")
    assert splits[4].validation == splits[0].test
    assert {len(split.train) for split in splits} == {6}
    assert recognition.check(None) == []
    assert recognition.label_rule == {"source": "corpus", "classes": ",".join(USUAL)}
    assert describe(recognition.label_rule).endswith(f", classes {','.join(USUAL)}")
    config.finetune.label.update({"source": "multimodal", "targets": "soft"})
    voted = open_recognition(create(config), tmp_path / "voted")
    assert voted.label_rule["source"] == "multimodal"
    assert {*voted.clips["label"]} == {"neutral"}  # as all raters of `line` say
    assert {*voted.clips["votes_multimodal"]} == {"neutral:1"}
    np.testing.assert_array_equal(voted.dataset.labels["emotion"][0], [0, 0, 1, 0])


def test_a_dry_run_says_what_is_missing(corpus, tmp_path):
    root = write(tmp_path / "IEMOCAP")
    (root / "Session2/sentences/wav/Ses02F_impro01/Ses02F_impro01_M001.wav").unlink()
    said = dry_run("speech/iemocap", root, tmp_path)
    assert "35 clips of 10 speakers; media: 1 missing" in said
    assert "missing: Ses02F_impro01_M001\n" in said
    assert "session: {'1': 7, '2': 7, '3': 7, '4': 7, '5': 7}" in said
    assert "arousal: 35 known" in said
    assert "multimodal votes: 35 known" in said
    assert "'excited': 5" in said
    assert "'happiness': 10" in dry_run("speech/iemocap", root, tmp_path, classes=list(USUAL))
