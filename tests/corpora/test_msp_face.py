import json
import time

import numpy as np
import pytest

from sersl_jax.corpora import msp_face
from sersl_jax.datasets.preparation import dry_run
from sersl_jax.features import segments

SEGMENTS = [
    ("10.977", "20.487", "MSP-FACE_0001_0001.mp4"),
    ("2.802", "8.041", "MSP-FACE_0001_0002.mp4"),
    ("0.100", "10.042", "MSP-FACE_0002_0001.mp4"),
]
SPEAKERS = {"MSP-FACE_0001": "Speaker_264", "MSP-FACE_0002": "Speaker_211"}


def write_lists(root, rows=SEGMENTS, speakers=SPEAKERS):
    """The lists as the corpus repository has them: tabs, commas, no header."""
    (root / "Doc").mkdir()
    (root / "Doc" / "segments_data.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    talks = "".join(
        f"{name},{speakers[name[:13]]}\n" for _, _, name in rows if name[:13] in speakers
    )
    (root / "Doc" / "speaker_id_segments.txt").write_text(talks)
    sexes = "".join(
        f"{name},{'Male' if i % 2 else 'Female'}\n" for i, name in enumerate(speakers.values())
    )
    (root / "Doc" / "speaker_id_gender.txt").write_text(sexes)
    return root


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def root(tmp_path):
    return write_lists(tmp_path)


def test_full_videos_are_cut_at_the_listed_times(root):
    video = touch(root / "videos" / "MSP-FACE_0001" / "MSP-FACE_0001.mp4")
    face = touch(root / "openface" / "MSP-FACE_0001.csv")
    first, second, _ = msp_face.clips(root)
    assert (first.id, first.speaker_id, first.attributes) == (
        "MSP-FACE_0001_0001", "Speaker_264", {"sex": "female"},
    )  # fmt: skip
    assert (first.media, first.face, first.start, first.end) == (video, face, 10.977, 20.487)
    assert (second.media, second.start, second.end) == (video, 2.802, 8.041)


def test_segments_are_taken_whole(root):
    stem = "MSP-FACE_0001_0002"
    media = touch(root / "MSP-FACE_0001" / "Segments" / stem / f"{stem}.mp4")
    touch(media.parent / "Audio" / f"{stem}.wav")  # the official script leaves one beside
    face = touch(root / "openface" / f"{stem}.csv")
    clip = msp_face.clips(root)[1]
    assert (clip.media, clip.face, clip.start, clip.end) == (media, face, 0.0, None)


def test_of_segment_and_video_the_one_with_a_face_is_taken(root):
    segment, video = touch(root / "MSP-FACE_0001_0001.mp4"), touch(root / "MSP-FACE_0001.mp4")
    assert msp_face.clips(root)[0].media == segment
    touch(root / "openface" / "MSP-FACE_0001.csv")
    assert (msp_face.clips(root)[0].media, msp_face.clips(root)[0].start) == (video, 10.977)
    touch(root / "openface" / "MSP-FACE_0001_0001.csv")
    assert (msp_face.clips(root)[0].media, msp_face.clips(root)[0].start) == (segment, 0.0)


def test_face_back_ends_are_not_mixed(root):
    touch(root / "MSP-FACE_0001.mp4")
    face = touch(root / "mediapipe" / "MSP-FACE_0001.csv")
    assert msp_face.clips(root)[0].face is None
    assert msp_face.clips(root, face_backend="mediapipe")[0].face == face


def test_missing_videos_are_clips_too(root):
    touch(root / "MSP-FACE_0002.mp4")
    clips = msp_face.clips(root)
    assert [clip.media.is_file() for clip in clips] == [False, False, True]
    assert clips[0].media == root / "MSP-FACE_0001.mp4"


def test_a_segment_without_a_speaker_has_its_video_for_one(tmp_path):
    root = write_lists(tmp_path, speakers={"MSP-FACE_0001": "Speaker_1"})
    assert [clip.speaker_id for clip in msp_face.clips(root)] == [
        "Speaker_1", "Speaker_1", "MSP-FACE_0002",
    ]  # fmt: skip


def test_the_whole_list_takes_seconds_and_gives_the_right_windows(tmp_path):
    """27,325 segments, most of them just under 10 s, in 1,200 videos of 491 speakers."""
    rng, rows = np.random.default_rng(0), []
    milliseconds = np.where(rng.random(27_325) < 0.7, 9_943, rng.integers(1_500, 9_943, 27_325))
    starts = rng.integers(0, 600_000, 27_325)
    for index, (start, size) in enumerate(zip(starts, milliseconds, strict=True)):
        name = f"MSP-FACE_{index % 1200:04d}_{index // 1200:04d}.mp4"
        rows.append((f"{start / 1000:.3f}", f"{(start + size) / 1000:.3f}", name))
    speakers = {f"MSP-FACE_{video:04d}": f"Speaker_{video % 491}" for video in range(1200)}
    root, begin = write_lists(tmp_path, rows, speakers), time.monotonic()
    clips = msp_face.clips(root)
    windows = [segments.windows(clip.end - clip.start) for clip in clips if clip.end]
    assert time.monotonic() - begin < 10
    assert (len(clips), len({clip.speaker_id for clip in clips})) == (27_325, 491)
    assert sum(map(len, windows)) == sum(max((m - 2_000) // 1_500 + 1, 0) for m in milliseconds)


def test_lists_that_are_missing_or_malformed_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"speaker_id_segments\.txt is missing"):
        msp_face.clips(tmp_path)
    write_lists(tmp_path)
    (tmp_path / "Doc" / "segments_data.txt").write_text("1.0\t2.0\ta_1.mp4\n1.0 oops a_2.mp4\n")
    with pytest.raises(ValueError, match=r"segments_data\.txt, line 2"):
        msp_face.clips(tmp_path)


def write_labels(root, name="label_consensus.json", **classes):
    rows = {
        f"{clip}.mp4": [
            {
                "EmoClass_Major": letter, "EmoAct": "5.4", "EmoDom": "5.0", "EmoVal": "4.8",
                "SpkrID": "27", "Gender": "Female", "Split_Set": split,
            }
        ]
        for clip, (letter, split) in classes.items()
    }  # fmt: skip
    (root / "Labels").mkdir()
    (root / "Labels" / name).write_text(json.dumps(rows))


@pytest.mark.parametrize("name", ["label_consensus.json", "labels_concensus.json"])
def test_the_labelled_part(root, name):
    labels = {"MSP-FACE_0001_0002": ("H", "Train"), "MSP-FACE_0002_0001": ("X", "Validation")}
    write_labels(root, name, **labels)
    happy, unknown = msp_face.labelled_clips(root)
    assert (happy.id, happy.labels) == ("MSP-FACE_0001_0002", {"emotion": "happiness"})
    assert happy.attributes == {
        "sex": "female", "partition": "train",
        "arousal": "5.4", "valence": "4.8", "dominance": "5.0",
    }  # fmt: skip
    assert (happy.speaker_id, happy.start) == ("Speaker_264", 2.802)
    assert (unknown.labels, unknown.attributes["partition"]) == ({}, "validation")
    assert len(msp_face.clips(root)) == 3
    assert not any(clip.labels for clip in msp_face.clips(root))


def test_speech_takes_the_labelled_part_and_pretext_all(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Labels/label_consensus.json is missing"):
        dry_run("speech/msp_face", root, tmp_path)
    write_labels(root, **{"MSP-FACE_0001_0002": ("N", "Test")})
    said = dry_run("speech/msp_face", root, tmp_path)
    assert said.startswith("1 clips of 1 speakers")
    assert "partition: {'test': 1}" in said
    assert dry_run("pretext/msp_face", root, tmp_path).startswith("3 clips of 2 speakers")
