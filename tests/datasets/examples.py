"""Reading and comparing whole prepared datasets."""

import numpy as np


def read_all(builder):
    source = builder.as_data_source("train")
    return [source[index] for index in range(len(source))]


def assert_same(one, other):
    """Same metadata, same examples in the same order (bytes may differ: maps have no order)."""
    assert one.info.metadata == other.info.metadata
    ours, theirs = read_all(one), read_all(other)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_equal(a, b)
