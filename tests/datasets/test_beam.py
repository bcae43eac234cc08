import pytest

from sersl_jax.datasets.preparation import prepare
from tests.datasets.examples import assert_same

pytest.importorskip("apache_beam", reason="needs the extra [beam]")


def test_two_worker_processes_give_the_same_dataset(faces, tmp_path):
    alone = prepare("pretext/folder", faces, tmp_path / "alone")
    together = prepare(
        "pretext/folder",
        faces,
        tmp_path / "together",
        beam_runner="DirectRunner",
        beam_options="--direct_num_workers=2 --direct_running_mode=multi_processing",
    )
    assert_same(alone, together)
