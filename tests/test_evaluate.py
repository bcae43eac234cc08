import subprocess
import sys


def evaluate(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sersl_jax.evaluate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_model_in_the_package_is_refused_on_what_it_learnt(tmp_path):
    """Names may follow a flag, separated by spaces."""
    names = ("--checkpoint", "default", "--dataset", "speech/savee", "speech/crema_d")
    done = evaluate(*names, "--out", str(tmp_path / "out"), f"--data_dir={tmp_path}")
    assert done.returncode == 1
    refused = "error: the model in the package has learnt the emotions of speech/crema_d's speakers"
    assert done.stderr.count(refused) == 1
    assert done.stderr.count("error: no prepared dataset speech/savee") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "matrix.csv",
        "matrix.md",
        "matrix.html",
    }


def test_an_empty_dataset_is_told(tmp_path):
    done = evaluate("--dataset=", f"--data_dir={tmp_path}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--dataset is empty" in done.stderr


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path):
    wrong = {
        "--map=calm": "error: --map=calm should name each class once, as theirs=ours",
        "--source=a,b": "error: --source names 2 folders for 1 datasets",
        "--checkpoint=a,a": "error: a run or a dataset is named twice",
        "--dataset=speech/nothing": "error: no corpus is called 'nothing'",
    }
    for flag, said in wrong.items():
        done = evaluate("--dataset=speech/emodb", flag, f"--data_dir={tmp_path}")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.startswith(said)
