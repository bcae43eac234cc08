import pytest

from sersl_jax.corpora import synthetic


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A folder of two talking faces, made up."""
    root = tmp_path_factory.mktemp("corpus") / "faces"
    return synthetic.write_pretext(root, num_speakers=2, clips_per_speaker=1)


@pytest.fixture(scope="session")
def utterances(tmp_path_factory):
    """A folder of twelve labelled utterances of two speakers, made up."""
    root = tmp_path_factory.mktemp("corpus") / "utterances"
    return synthetic.write_speech(root, num_speakers=2, clips_per_speaker=6)
