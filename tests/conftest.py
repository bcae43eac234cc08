import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout (CREMA-D, talking faces); tests skip without it."""
    path = Path(os.environ.get("SERSL_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"needs real data in {path} (or SERSL_SHARED_DATA)")
    return path
