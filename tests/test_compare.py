# ruff: noqa: F811 (a fixture and the argument that asks for it have one name)
import csv
import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from sersl_jax import checksums, compare
from sersl_jax.evaluation import comparable, comparison, paper
from sersl_jax.evaluation import runs as finished
from sersl_jax.evaluation.label_rule import LabelRule
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
    assert first[:12] == [
        "method",
        "---",
        "Supervised",
        "*in the paper*",
        "wav2vec 2.0 (retrain)",
        "*in the paper*",
        r"SSL 1 (our method)\*†",
        "*in the paper*",
        "*Crowd that only heard it*",
        "*SVM, unweighted*",
        "*SVM, balanced*",
        "*Majority class*",
    ]
    assert "| *59.7* | *57.9* | *57.0* | *57.7* |" in text
    assert "label: the intended emotion; LLDs z-normalised by the training speakers" in text


def test_csv_holds_fractions(outputs):
    rows = list(csv.DictReader((outputs / "compare.csv").open()))
    assert [row["kind"] for row in rows] == ["run", "paper"] * 3 + ["line"] * 4
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
    table = tables.latex([comparison.compare(renamed)])
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
    compared = comparison.compare([one, *others], ours=one)
    rows = compared.rows
    assert [row.tasks for row in rows if row.kind == "run"] == [
        ("✓", "✓", "✓"),
        ("✓", "~", "✓"),
        ("✓", "", ""),
    ]
    assert [row.values["macro_f1"] for row in rows if row.kind == "paper"] == [0.57, 0.564, 0.358]
    assert paper.figures(one.results, "mine") is None
    table, _ = tables.markdown([compared]).split("\n\n", 1)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert {len(line) for line in lines} == {len(lines[0])}
    ssl2 = dict(zip(lines[0], lines[5], strict=True))
    assert (ssl2["method"], ssl2["macro F1"]) == ("*in the paper*", "*56.4*")


def test_equal_runs_get_no_marks(runs):
    one, two = comparable.read_all([runs["ssl1"], runs["ssl1"]])
    result = comparison.compare([one, two])
    assert result.contests[0].marks == ""
    assert all(row.marks == "" for row in result.rows)


def test_one_split_has_no_test_but_a_table(runs, tmp_path):
    table = finished.read(runs["ssl1"]).predictions
    path = tmp_path / "one.csv"
    table[table["split"] == "3"].to_csv(path, index=False)
    result = comparison.compare(comparable.read_all([path, path]))
    assert tables.contest_cells(result.contests[0])[3:] == ["—"] * 5
    assert "—" in tables.markdown([result])


def test_a_warning_is_in_every_output(runs):
    run = finished.read(runs["ssl1"])
    run.results["warnings"] = ["split 0: speaker 1001 in both train and test"]
    for text in compare._texts([comparison.compare([run])]).values():
        assert "speaker 1001 in both train and test" in text


def test_the_better_run_can_be_named(runs):
    read = comparable.read_all(runs.values())
    assert compare._find(read, str(runs["supervised"])).name == "supervised"
    assert compare._find(read, "ssl1").name == "ssl1"
    with pytest.raises(ValueError, match="--ours=nobody is none of the runs: supervised"):
        compare.run([*map(str, runs.values())], ours="nobody")


@pytest.fixture
def voted(runs, tmp_path):
    """A run on the voted label; one clip in ten has another one."""
    path = shutil.copytree(runs["ssl1"], tmp_path / "voted")
    saved = json.loads((path / "results.json").read_text())
    saved["label_rule"] = LabelRule("multimodal").stamp()
    table = pd.read_csv(path / "predictions.csv")
    table.loc[table["clip"].str.contains("_07_"), "label"] = "neutral"
    write(path, saved, table)
    return path


def write(path, saved, table):
    table.to_csv(path / "predictions.csv", index=False)
    saved["predictions_sha256"] = checksums.digest(path / "predictions.csv")
    (path / "results.json").write_text(json.dumps(saved))


def test_labels_are_side_by_side_and_not_tested_against_each_other(runs, voted, tmp_path, capsys):
    paths = [*map(str, runs.values()), str(voted)]
    compare.run(paths, out=str(tmp_path))
    text = capsys.readouterr().out
    assert text.startswith("> Supervised, wav2vec 2.0 (retrain), SSL 1 (our method) (")
    assert f"({voted}) are shown apart and not tested against each other: label rule " in text
    assert "source=intended against source=multimodal" in text
    intended, other = text.split("\n## ")[1:]
    assert intended.startswith("label: the intended emotion; LLDs")
    assert intended.count("*in the paper*") == 3
    assert "against" in intended
    assert other.startswith("label: plurality of the multimodal votes")
    assert "*in the paper*" not in other
    assert "The paper's figures are left out: they belong to the intended emotion" in other
    rows = list(csv.DictReader((tmp_path / "compare.csv").open()))
    assert {row["label"] for row in rows} == {"intended", "multimodal"}
    page = (tmp_path / "compare.html").read_text()
    assert page.count("<h2>Results (label: ") == 2
    assert (tmp_path / "compare.tex").read_text().count(r"\begin{table}") == 2


def test_the_number_of_common_splits_is_told(runs, tmp_path):
    short = shutil.copytree(runs["supervised"], tmp_path / "short")
    saved = json.loads((short / "results.json").read_text())
    saved["splits"] = saved["splits"][:2]
    table = pd.read_csv(short / "predictions.csv")
    write(short, saved, table[table["split"] < 2])
    result = comparison.compare(comparable.read_all([short, runs["ssl1"]]))
    said = tables.notes(result)[0]
    assert "of the 2 splits that all runs have (SSL 1 (our method) has 4 more);" in said


def test_an_older_run_without_the_second_svm_reads(runs):
    run = finished.read(runs["ssl1"])
    del run.results["baselines"]["svm_unweighted"]
    titles = [row.title for row in comparison.compare([run]).rows]
    assert "SVM, balanced" in titles
    assert "SVM, unweighted" not in titles
    beside = comparison.compare([run, finished.read(runs["supervised"])])
    assert "SVM, unweighted" in [row.title for row in beside.rows]


def test_runs_of_one_name_are_told_apart_by_their_paths(runs, tmp_path):
    again = shutil.copytree(runs["ssl1"], tmp_path / "again")
    read = comparable.read_all([runs["ssl1"], again, runs["supervised"]])
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
