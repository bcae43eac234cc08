import pytest

from sersl_jax.evaluation import runs as finished
from sersl_jax.evaluation.label_rule import LabelRule
from sersl_jax.reports import run


@pytest.mark.parametrize("source", ["intended", "multimodal"])
def test_a_report_quotes_the_paper_on_its_own_label_alone(runs, source):
    found = finished.read(runs["ssl1"])
    found.results["label_rule"] = LabelRule(source).stamp()
    page = run.create(found)
    quoted = source == "intended"
    assert ("57.0 in the paper" in page) == quoted
    assert ("The paper&#x27;s figures are left out: they belong to the intended" in page) != quoted
