from tests.evaluation.made_up_runs import corpus, runs  # noqa: F401
