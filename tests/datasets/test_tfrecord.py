import pytest

from sersl_jax.datasets.dataset import read_dataset
from sersl_jax.datasets.preparation import prepare


def test_without_tensorflow_the_remedy_is_named(utterances, tmp_path):
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match=r"pip install 'sersl_jax\[tf\]'"):
            prepare("speech/folder", utterances, tmp_path, file_format="tfrecord")
    else:
        pytest.skip("TensorFlow is installed")


def test_tfds_load_gives_a_tf_data_dataset(utterances, tmp_path):
    tf = pytest.importorskip("tensorflow", reason="needs the extra [tf]")
    import tensorflow_datasets as tfds

    prepare("speech/folder", utterances, tmp_path, file_format="tfrecord")
    assert not tf.config.get_visible_devices("GPU")
    ds = tfds.load("speech/folder", split="train", data_dir=tmp_path)
    spec = ds.element_spec
    assert spec["llds"].shape.as_list() == [None, 130]
    assert spec["labels"]["emotion"].dtype == tf.int64
    assert sum(1 for _ in ds) == 12
    with pytest.raises(ValueError, match="in tfrecord files"):
        read_dataset("speech/folder", str(tmp_path), "llds")
