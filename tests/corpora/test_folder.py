import pytest

from sersl_jax.corpora import folder


def create(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def test_media_faces_and_speakers_meet_by_stem(tmp_path):
    create(tmp_path, "media/b.mp4", "media/a.wav", "media/notes.txt", "openface/a.csv")
    (tmp_path / "speakers.csv").write_text("clip, speaker_id\na,ann\n")
    a, b = folder.clips(tmp_path)
    assert (a.id, a.speaker_id, a.face) == ("a", "ann", tmp_path / "openface/a.csv")
    assert (b.id, b.speaker_id, b.face) == ("b", "b", None)
    (tmp_path / "speakers.csv").write_text("clip,speaker_id\na,ann\ngone,bob\n")
    assert [clip.id for clip in folder.clips(tmp_path)] == ["a", "b", "gone"]  # for the ledger


def test_folders_in_media_are_part_of_the_id(tmp_path):
    create(tmp_path, "media/day 1/x.wav", "media/day 2/x.wav", "openface/day 2/x.csv")
    one, two = folder.clips(tmp_path)
    assert (one.id, two.id) == ("day 1/x", "day 2/x")
    assert one.face is None
    assert two.face == tmp_path / "openface/day 2/x.csv"


def test_labels_may_name_files_and_speakers(tmp_path):
    create(tmp_path, "media/a.wav", "media/b.c.wav")
    (tmp_path / "labels.csv").write_text("clip,label,speaker_id\na.wav,anger,ann\nb.c,fear,bob\n")
    clips = folder.clips(tmp_path)
    assert [(c.id, c.labels["emotion"], c.speaker_id) for c in clips] == [
        ("a", "anger", "ann"),
        ("b.c", "fear", "bob"),
    ]


def test_a_labelled_clip_without_media_is_yielded_for_the_ledger(tmp_path):
    create(tmp_path, "media/a.wav")
    (tmp_path / "labels.csv").write_text("clip,label\na,anger\nlost,fear\n")
    assert not folder.clips(tmp_path)[1].media.exists()


def test_another_face_backend_has_its_own_folder(tmp_path):
    create(tmp_path, "media/a.wav", "openface/a.csv", "mediapipe/a.csv")
    assert folder.clips(tmp_path, "mediapipe")[0].face == tmp_path / "mediapipe/a.csv"


@pytest.mark.parametrize(
    ("files", "error"),
    [((), "media is no folder"), (("media/a.txt",), "holds no audio or video file")],
)
def test_a_folder_without_media_is_refused(tmp_path, files, error):
    create(tmp_path, *files)
    with pytest.raises(FileNotFoundError, match=error):
        folder.clips(tmp_path)


def test_columns_of_numbers_are_attributes(tmp_path):
    create(tmp_path, "media/a.wav", "media/b.wav")
    (tmp_path / "labels.csv").write_text(
        "clip,label,arousal,take,sex,remark\na,anger,3.5,2,female,loud\nb,,1.25,,,7\n"
    )
    a, b = folder.clips(tmp_path)
    assert a.attributes == {"arousal": "3.5", "take": "2", "sex": "female"}
    assert (b.labels, b.attributes) == ({}, {"arousal": "1.25"})
    assert folder.scales([a, b]) == {"arousal": (1.0, 4.0), "take": (2.0, 2.0)}


def test_numbers_need_no_label_beside_them(tmp_path):
    create(tmp_path, "media/a.wav")
    (tmp_path / "labels.csv").write_text("clip,valence\na,-0.5\nlost,0.25\n")
    clips = folder.clips(tmp_path)
    assert [clip.attributes for clip in clips] == [{"valence": "-0.5"}, {"valence": "0.25"}]
    assert not clips[1].media.exists()


def test_a_table_without_its_column_is_refused(tmp_path):
    create(tmp_path, "media/a.wav")
    (tmp_path / "labels.csv").write_text("clip,emotion\na,anger\n")
    with pytest.raises(ValueError, match=r"labels.csv lacks the column label"):
        folder.clips(tmp_path)


def test_a_track_in_one_folder_belongs_to_the_only_clip_of_its_name(tmp_path):
    create(tmp_path, "media/ann/one.mp4", "media/bob/one.mp4", "media/bob/two.mp4")
    create(tmp_path, "openface/one.csv", "openface/two.csv")
    faces = {clip.id: clip.face for clip in folder.clips(tmp_path)}
    two = tmp_path / "openface" / "two.csv"
    assert faces == {"ann/one": None, "bob/one": None, "bob/two": two}


def test_an_empty_cell_is_an_unknown_speaker(tmp_path):
    create(tmp_path, "media/a.wav", "media/b.wav", "media/._a.wav")
    (tmp_path / "labels.csv").write_text("clip,label,speaker_id\na,anger,ann\nb,fear,\n")
    (tmp_path / "speakers.csv").write_text("clip,speaker_id\na,\n")
    assert [clip.speaker_id for clip in folder.clips(tmp_path)] == ["ann", "b"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("clip,label,split\na,anger,1\n", "column split would be mistaken"),
        ("clip,label,p_anger\na,anger,0.5\n", "column p_anger would be mistaken"),
        ("clip,arousal\na,1\nb,2\nc,NA\n", "column arousal holds numbers and 'NA'"),
        ("clip,arousal\na,3,5\n", "rows have more cells than its first line"),
        ("clip,label,speaker_id\na,joy,ann,\n", "rows have more cells than its first line"),
    ],
)
def test_a_column_that_would_be_misread_is_refused(tmp_path, table, said):
    create(tmp_path, "media/a.wav")
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(ValueError, match=said):
        folder.clips(tmp_path)


def test_spaces_around_a_cell_and_empty_rows_mean_nothing(tmp_path):
    create(tmp_path, "media/a.wav", "media/b.wav")
    (tmp_path / "labels.csv").write_text("clip,label,speaker_id \na, joy ,ann\n,,\nb,joy,ann \n")
    clips = folder.clips(tmp_path)
    assert [(c.id, c.labels["emotion"], c.speaker_id) for c in clips] == [
        ("a", "joy", "ann"),
        ("b", "joy", "ann"),
    ]
