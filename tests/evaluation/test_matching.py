import numpy as np
import pytest
from scipy.special import softmax

from sersl_jax.evaluation import matching

THEIRS = ("anger", "boredom", "calm", "neutral", "fear")
OURS = ("fear", "happiness", "neutral", "anger")
OCCURRING = {"anger", "boredom", "calm", "neutral"}


def match(renamed=None, only_shared=False, theirs=THEIRS, ours=OURS, occurring=OCCURRING):
    return matching.match(theirs, ours, renamed or {}, only_shared, occurring)


def test_what_one_side_knows_counts_as_an_error():
    found = match()
    assert found.classes == ("anger", "boredom", "calm", "neutral")  # fear has no clip
    assert found.answers == (*found.classes, "fear", "happiness")
    assert (found.only_there, found.only_here) == (("boredom", "calm"), ("fear", "happiness"))
    assert found.describe("speech/x") == [
        "only speech/x has boredom, calm: every clip of them counts as an error",
        "only the model has fear, happiness: an error wherever it is predicted",
    ]


def test_or_is_left_out():
    found = match(only_shared=True)
    assert found.classes == found.answers == ("anger", "neutral")
    assert found.names == {"anger": "anger", "neutral": "neutral"}
    assert found.stamp()["only_there"] == ["boredom", "calm"]
    assert all(said.endswith(": left out") for said in found.describe("speech/x"))


def test_mapped_classes_are_tested_under_the_models_name():
    found = match({"calm": "neutral"})
    assert found.names["calm"] == "neutral"
    assert found.classes == ("anger", "boredom", "neutral")
    assert found.stamp()["map"] == {"calm": "neutral"}


def test_probabilities_are_the_softmax_over_the_shared_logits():
    logits = np.random.default_rng(0).normal(size=(2, 7, len(OURS))).astype(np.float32)
    p, names = match(only_shared=True).restrict(softmax(logits, axis=-1), OURS)
    assert names == ("neutral", "anger")  # in the model's order
    np.testing.assert_allclose(p, softmax(logits[..., [2, 3]], axis=-1), rtol=1e-5)
    p, names = match().restrict(softmax(logits, axis=-1), OURS)
    assert names == OURS
    np.testing.assert_allclose(p, softmax(logits, axis=-1), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"renamed": {"joy": "happiness"}}, r"names joy as theirs: the corpus has anger, boredom"),
        ({"renamed": {"calm": "joy"}}, r"names joy as ours: the model knows fear, happiness"),
        ({"occurring": {"boredom"}}, r"no class is shared: the corpus has boredom, the model"),
        ({"occurring": {"anger"}, "only_shared": True}, r"only anger is shared: .*--map="),
    ],
)
def test_classes_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        match(**options)


def test_a_map_is_read_from_the_command_line():
    assert matching.parse(["calm=neutral", "excited=joy"]) == {"calm": "neutral", "excited": "joy"}
    for wrong in (["calm"], ["=neutral"], ["calm="], ["calm=neutral", "calm=joy"]):
        with pytest.raises(ValueError, match="should name each class once, as theirs=ours"):
            matching.parse(wrong)
