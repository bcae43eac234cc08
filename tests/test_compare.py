# ruff: noqa: F811 (a fixture and the argument that asks for it have one name)
import csv
import shutil
import subprocess
import sys

import pytest

from sersl_jax import compare
from sersl_jax.evaluation import comparison, paper
from sersl_jax.evaluation import runs as finished
from sersl_jax.reports import tables
from tests.evaluation.made_up_runs import corpus, runs  # noqa: F401


@pytest.fixture(scope="module")
def outputs(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    compare.run([*map(str, runs.values())], out=str(out))
    return out


def test_markdown_has_ours_the_papers_and_the_reference_lines(outputs):
    text = (outputs / "compare.md").read_text()
    first = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert first[:11] == [
        "method",
        "---",
        "Supervised",
        "*in the paper*",
        "wav2vec 2.0 (retrain)",
        "*in the paper*",
        r"SSL 1 (our method)\*†",
        "*in the paper*",
        "*Crowd that only heard it*",
        "*SVM on functionals*",
        "*Majority class*",
    ]
    assert "| *59.7* | *57.9* | *57.0* | *57.7* |" in text
    assert "label: plurality of the multimodal votes, ties broken at random (seed 0)" in text


def test_csv_holds_fractions(outputs):
    rows = list(csv.DictReader((outputs / "compare.csv").open()))
    assert [row["kind"] for row in rows] == ["run", "paper"] * 3 + ["line"] * 3
    assert float(rows[5]["macro_f1"]) == pytest.approx(0.570)
    assert 0 < float(rows[0]["macro_f1_sd"]) < 0.2


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX is installed")
@pytest.mark.parametrize("names", [["supervised", "ssl1"], ["ssl1", "ssl2"]])
def test_latex_compiles(runs, tmp_path, names):
    read = [finished.read(runs["ssl1"]) for _ in names]
    renamed = [
        finished.Run(r.path, n, r.predictions, r.results, r.classes)
        for r, n in zip(read, names, strict=True)
    ]
    renamed[0].results["warnings"] = ["50 % of {speakers} & clips_1 overlap #~^\\"]
    table = tables.latex(comparison.compare(renamed))
    document = rf"\documentclass{{article}}\begin{{document}}{table}\end{{document}}"
    (tmp_path / "t.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout + (tmp_path / "t.log").read_text()


def test_table_3_shows_which_tasks_were_learnt(runs):
    one = finished.read(runs["ssl1"])
    others = [
        finished.Run(one.path, name, one.predictions, one.results, one.classes)
        for name in ("ssl2", "ssl5")
    ]
    rows = comparison.compare([one, *others], ours=one).rows
    assert [row.tasks for row in rows if row.kind == "run"] == [
        ("✓", "✓", "✓"),
        ("✓", "~", "✓"),
        ("✓", "", ""),
    ]
    assert [row.values["macro_f1"] for row in rows if row.kind == "paper"] == [0.57, 0.564, 0.358]
    assert paper.figures(one.results, "mine") is None


def test_equal_runs_get_no_marks(runs):
    one, two = finished.read_all([runs["ssl1"], runs["ssl1"]])
    result = comparison.compare([one, two])
    assert result.contests[0].marks == ""
    assert all(row.marks == "" for row in result.rows)


def test_one_split_has_no_test_but_a_table(runs, tmp_path):
    table = finished.read(runs["ssl1"]).predictions
    path = tmp_path / "one.csv"
    table[table["split"] == "3"].to_csv(path, index=False)
    result = comparison.compare(finished.read_all([path, path]))
    assert tables.contest_cells(result.contests[0])[3:] == ["—"] * 5
    assert "—" in tables.markdown(result)


def test_a_warning_is_in_every_output(runs):
    run = finished.read(runs["ssl1"])
    run.results["warnings"] = ["split 0: speaker 1001 in both train and test"]
    for text in compare._texts(comparison.compare([run])).values():
        assert "speaker 1001 in both train and test" in text


def test_the_better_run_can_be_named(runs):
    read = finished.read_all(runs.values())
    assert compare._find(read, str(runs["supervised"])).name == "supervised"
    assert compare._find(read, "ssl1").name == "ssl1"
    with pytest.raises(ValueError, match="--ours=nobody is none of the runs: supervised"):
        compare._find(read, "nobody")


def test_runs_of_one_name_are_told_apart_by_their_paths(runs, tmp_path):
    again = shutil.copytree(runs["ssl1"], tmp_path / "again")
    read = finished.read_all([runs["ssl1"], again, runs["supervised"]])
    titles = [f"SSL 1 (our method) ({path})" for path in (runs["ssl1"], again)]
    assert [run.title for run in read] == [*titles, "Supervised"]


def test_a_mistake_is_one_line_and_exit_code_2(runs, tmp_path):
    command = [sys.executable, "-m", "sersl_jax.compare", str(runs["ssl1"]), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_comparing_and_reporting_do_not_wait_for_jax():
    code = (
        "import sys, sersl_jax.compare, sersl_jax.report;"
        "sys.exit(bool({'jax', 'tensorflow_datasets', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
