import os
import socket
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

# What is tested runs for moments and compiles for long: LLVM's optimisations are not worth it.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Programs are compiled once a session, also those of the processes that tests start."""
    import jax

    base = tmp_path_factory.getbasetemp()
    cache = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "xla")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """Nothing in the package reaches for other computers: connecting to one is an error here."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            assert address[0] in ("127.0.0.1", "::1", "localhost"), f"connects to {address}"
        return connect(self, address)

    socket.socket.connect = guarded
    yield
    socket.socket.connect = connect


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout (CREMA-D, talking faces); tests skip without it."""
    path = Path(os.environ.get("SERSL_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"needs real data in {path} (or SERSL_SHARED_DATA)")
    return path


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A folder of two talking faces, made up."""
    from sersl_jax.corpora import synthetic

    root = tmp_path_factory.mktemp("corpus") / "faces"
    return synthetic.write_pretext(root, num_speakers=2, clips_per_speaker=1)


@pytest.fixture(scope="session")
def utterances(tmp_path_factory):
    """A folder of twelve labelled utterances of two speakers, made up."""
    from sersl_jax.corpora import synthetic

    root = tmp_path_factory.mktemp("corpus") / "utterances"
    return synthetic.write_speech(root, num_speakers=2, clips_per_speaker=6)
