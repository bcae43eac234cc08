import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import chex
import jax
import numpy as np
import pytest

from sersl_jax import sharding
from sersl_jax.config import create
from sersl_jax.training import checkpoint, loop, preemption
from sersl_jax.training.trainer import create_trainer, fresh_params
from tests import made_up
from tests.training import process as processes
from tests.training.process import finish

VOLATILE = ("time", "examples_per_second")


def fit(directory: Path, training, program=None, method="supervised", epochs=2, **changes):
    config = made_up.config(method)
    config.data.update(changes)
    config.finetune.epochs = epochs
    directory.mkdir(exist_ok=True)
    return loop.fit(training, create(config), directory / "members", directory, program)


def start(directory: Path, *arguments: str) -> BaseProcess:
    directory.mkdir(exist_ok=True)
    return processes.start("tests.made_up", f"--directory={directory}", *arguments)


def rows(directory: Path) -> list[dict]:
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in VOLATILE} for line in lines]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Three members trained in one go, by the program that other tests kill."""
    directory = tmp_path_factory.mktemp("straight")
    finish(start(directory, "--members=3"))
    return directory


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Three members in one program, in this process."""
    return fit(tmp_path_factory.mktemp("together"), made_up.training((0, 1, 2)))


def test_a_member_of_three_equals_the_same_member_alone(together, tmp_path):
    _, best = together
    program = None
    for number in (0, 2):
        trainer, alone = fit(tmp_path / str(number), made_up.training((number,)), program)
        program = trainer.program
        ours = jax.tree.map(lambda leaf, n=number: leaf[n], best)
        # Not bitwise: XLA multiplies one matrix otherwise than three at once. Adam's first steps
        # divide by gradients near 0, which magnifies rounding in a few parameters.
        theirs = jax.tree.map(lambda leaf: leaf[0], alone)
        chex.assert_trees_all_close(ours.params, theirs.params, atol=2e-4)
        np.testing.assert_allclose(ours.value, theirs.value, atol=1e-5)
        assert ours.epoch == theirs.epoch


@pytest.fixture(scope="module", params=["best", "portable"])
def convolving(request, tmp_path_factory):
    """A method of convolutions, batch normalisation, averaged weights and a cosine; trained."""
    members = made_up.training((0, 1), method=request.param)
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, *fit(folder, members, method=request.param)


def test_a_member_of_two_equals_the_same_member_alone_with_batch_normalisation(
    convolving, tmp_path
):
    """Also the one with fewer steps, whose cosine ends with its own last one."""
    method, both, together = convolving
    assert both.num_steps.tolist() == [8, 10]
    program = None
    for number in (0, 1):
        members = made_up.training((number,), method=method)
        trainer, alone = fit(tmp_path / str(number), members, program, method=method)
        program = trainer.program
        ours = jax.tree.map(lambda leaf, n=number: leaf[n], together)
        theirs = jax.tree.map(lambda leaf: leaf[0], alone)
        chex.assert_trees_all_close(ours.params, theirs.params, atol=2e-4)
        statistics = ours.params["embed"]["norm_0"]
        assert np.abs(statistics["mean"]).max() > 1e-3  # measured, not as they were at the start
        assert np.abs(statistics["variance"] - 1).max() > 0.01


def test_members_of_two_sizes_train_as_many_steps_as_are_asked_for(tmp_path):
    config = made_up.config()
    config.finetune.steps = 9  # of 4 and 5 an epoch
    both = create_trainer(made_up.training((0, 1)), create(config))
    for number in (0, 1):
        alone = create_trainer(made_up.training((number,)), create(config), both.program)
        plans = [
            [step.indices[row] for epoch in range(3) for step in trainer.plan(epoch)]
            for trainer, row in ((both, number), (alone, 0))
        ]
        ours, theirs = ([row for row in plan if (row >= 0).any()] for plan in plans)
        np.testing.assert_array_equal(ours, theirs)
        assert len(ours) == 9
    assert both.epochs.tolist() == [3, 2]
    assert not both.plan(3)
    loop.fit(made_up.training((0, 1)), create(config), tmp_path / "members", tmp_path, both.program)
    assert [(row["name"], row["epoch"], row["step"]) for row in rows(tmp_path)] == [
        ("0", 1, 4), ("1", 1, 5), ("0", 2, 8), ("1", 2, 9), ("0", 3, 9),
    ]  # fmt: skip


def test_batch_normalisation_and_averages_stream_alike(convolving, tmp_path):
    method, trainer, together = convolving
    members = made_up.training((0, 1), "stream", method=method)
    _, streamed = fit(tmp_path / "stream", members, trainer.program, method=method)
    chex.assert_trees_all_equal(jax.device_get(streamed), jax.device_get(together))


def test_streaming_gives_the_same_parameters_as_device_resident_data(together, tmp_path):
    members = made_up.training((0, 1, 2), "stream")
    _, streamed = fit(tmp_path / "stream", members, together[0].program)
    chex.assert_trees_all_equal(jax.device_get(streamed), jax.device_get(together[1]))


def test_steps_per_dispatch_change_nothing(together, tmp_path):
    members = made_up.training((0, 1, 2))
    _, two = fit(tmp_path / "two", members, together[0].program, steps_per_dispatch=2)
    _, four = fit(tmp_path / "four", members, together[0].program, steps_per_dispatch=4)
    chex.assert_trees_all_equal(jax.device_get(two), jax.device_get(four))
    # One step alone is compiled without a loop, which rounds otherwise; Adam magnifies that where
    # the gradient is zero but for rounding, as that of the keys' bias is.
    chex.assert_trees_all_close(jax.device_get(four), jax.device_get(together[1]), atol=2e-4)


def test_programs_compiled_ahead_are_not_compiled_again():
    training, config = made_up.training((0,)), create(made_up.config())
    trainer = create_trainer(training, config)
    placed = sharding.put(fresh_params(training, config), trainer.feed.mesh, "member")
    state, _ = trainer.program.create_state(placed)
    trainer.compile_ahead(state)
    compiled = []

    def listen(event: str, duration: float, **_) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    length, count, xs = next(trainer.feed.dispatches(trainer.plan(0)))
    data, first = (trainer.member, trainer.feed.resident), xs[0]
    number = sharding.put(np.int32(count), trainer.feed.mesh)
    checked = trainer.plan_once(training.validation)[0].length
    jax.monitoring.register_event_duration_secs_listener(listen)
    trainer.program.evaluate(state.chosen, *data, first, checked)
    trainer.program.run_steps(state, *data, xs, number, length)
    jax.monitoring.unregister_event_duration_listener(listen)
    assert not compiled


def test_training_learns_what_there_is_to_learn(straight):
    last = [row for row in rows(straight) if row["epoch"] == 3]
    assert all(row["train/loss"] < 1.05 for row in last), [row["train/loss"] for row in last]


def test_evaluation_scores_every_example_once(together):
    trainer, best = together
    members = [np.arange(13), np.arange(13, 60), np.array([5])]
    totals = jax.device_get(trainer.totals(best.params, members))
    assert totals["accuracy_emotion"][1].tolist() == [13.0, 47.0, 1.0]
    logits = trainer.logits(best.params, members, "emotion")
    assert [len(rows) for rows in logits] == [13, 47, 1]
    reverse = trainer.logits(best.params, [m[::-1] for m in members], "emotion")
    for one, other in zip(logits, reverse, strict=True):
        np.testing.assert_allclose(one, other[::-1], atol=1e-5)
    labels = trainer.training.dataset.labels["emotion"]
    correct = [(x.argmax(axis=1) == labels[m]).sum() for x, m in zip(logits, members, strict=True)]
    assert totals["accuracy_emotion"][0].tolist() == correct


def test_an_epoch_trains_on_each_members_examples_once():
    trainer = create_trainer(made_up.training((0, 1)), create(made_up.config()))
    for epoch in (0, 1):
        indices = np.stack([step.indices for step in trainer.plan(epoch)])
        for member, examples in enumerate(trainer.training.train):
            seen = indices[:, member][indices[:, member] >= 0]
            assert sorted(seen) == sorted(examples)
    assert not np.array_equal(trainer.plan(0)[0].indices, trainer.plan(1)[0].indices)


METHODS = {  # state: a plateau's | running statistics, averages, a cosine's
    "supervised": ("--members=3", "--residency=stream"),
    "best": ("--members=2", "--method=best"),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_training_killed_anywhere_ends_with_the_same_bits(straight, tmp_path, method):
    directory = straight
    if method != "supervised":
        directory = tmp_path / "straight"
        finish(start(directory, *METHODS[method]))
    kill_and_compare(directory, tmp_path / "killed", *METHODS[method], "--save")


def kill_and_compare(straight: Path, tmp_path: Path, *arguments: str) -> None:
    luck = random.Random(arguments[0])
    for number in (0, 6):  # in the first epoch, and in a later one
        process = start(tmp_path, *arguments)
        wait_for_checkpoint(tmp_path, process, number)
        time.sleep(luck.uniform(0.0, 0.2))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    finish(start(tmp_path, *arguments))
    same(straight, tmp_path)


def test_sigterm_saves_and_exits_with_143(together, tmp_path):
    trainer, _ = together
    fit(tmp_path / "straight", trainer.training, trainer.program, epochs=12)
    arguments = (tmp_path / "stopped", "--members=3", "--epochs=12")
    process = start(*arguments)
    metrics = tmp_path / "stopped" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size, process)
    assert not checkpoint.is_saved(tmp_path / "stopped" / "members")
    process.terminate()
    process.join(timeout=60)
    assert process.exitcode == preemption.EXIT_CODE
    epoch, _ = checkpoint.read_model(tmp_path / "stopped" / "members").info["position"]
    assert 1 <= epoch < 12
    finish(start(*arguments))
    same(tmp_path / "straight", tmp_path / "stopped")


def test_a_last_save_may_take_its_time(together, tmp_path, monkeypatch):
    """What ends a process that does not look at SIGTERM waits no longer once it has looked."""
    order, save = [], checkpoint.Checkpoints.save

    class Told:
        requested = True

        def acknowledge(self):
            order.append("acknowledge")

        def close(self):
            order.append("close")

    def noted(*arguments):
        order.append("save")
        save(*arguments)

    monkeypatch.setattr(loop, "Termination", Told)
    monkeypatch.setattr(checkpoint.Checkpoints, "save", noted)
    with pytest.raises(SystemExit, match="143"):
        fit(tmp_path / "run", together[0].training, together[0].program)
    assert order[:3] == ["acknowledge", "save", "close"]
    program = """
import signal, time
from sersl_jax.training import preemption
preemption.PATIENCE = 0.2
termination = preemption.Termination()
signal.raise_signal(signal.SIGTERM)
termination.acknowledge()
time.sleep(0.6)
termination.close()
print(termination.requested)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("True\n", 0)


def test_sigterm_ends_a_process_that_python_cannot_interrupt():
    """A sleep in C that starts again by itself stands for XLA's compiler."""
    program = """
import ctypes
from sersl_jax.training import preemption
preemption.PATIENCE = 0.5
preemption.Termination()
print("ready", flush=True)
lock = (ctypes.c_char * 64)()
ctypes.CDLL(None).sem_init(lock, 0, 0)
while True:
    ctypes.CDLL(None).sem_wait(lock)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == preemption.EXIT_CODE


def test_the_second_dispatch_is_traced(together, tmp_path):
    """Here the second epoch's: each epoch is one step."""
    trainer, _ = together
    training = replace(trainer.training, train=[clips[:8] for clips in trainer.training.train])
    config = made_up.config()
    config.finetune.epochs = 2
    config.profile = True
    loop.fit(training, create(config), tmp_path / "members", tmp_path, trainer.program)
    assert len(list(tmp_path.glob("profile/**/*.trace.json.gz"))) == 1


@pytest.mark.parametrize("when", ["create_state", "run_steps"])
def test_out_of_memory_says_what_to_lower(tmp_path, monkeypatch, when):
    def full(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")

    training = made_up.training((0, 1))
    made = create_trainer(training, create(made_up.config())).program
    monkeypatch.setattr(loop, "create_trainer", lambda training, config, _: create_trainer(
        training, config, replace(made, **{when: full})))  # fmt: skip
    with pytest.raises(MemoryError, match=r"2 member\(s\).*config.finetune.parallel_members=1;"):
        fit(tmp_path, training)
    saved = tmp_path / "members" / "5" / "model"
    saved.mkdir(parents=True)  # what has saved together stays together
    with (
        pytest.raises(MemoryError, match=r"residency=stream .* \(once .*members is deleted\)"),
        loop.memory_advice(training, create(made_up.config()), tmp_path / "members"),
    ):
        full()


def wait_for_checkpoint(directory: Path, process: BaseProcess, above: int) -> None:
    """Until there is one of a larger number than `above`."""
    found = (directory / "members").glob
    wait_for(lambda: any(p.name.isdigit() and int(p.name) > above for p in found("*")), process)


def wait_for(condition: Callable[[], bool], process: BaseProcess) -> None:
    limit = time.monotonic() + 240
    while not condition():
        assert process.exitcode is None, "it has ended"
        assert time.monotonic() < limit, "it takes too long"
        time.sleep(0.02)


def same(one: Path, other: Path) -> None:
    first, second = (checkpoint.read_model(path / "members") for path in (one, other))
    chex.assert_trees_all_equal(first.params, second.params)
    assert rows(one) == rows(other)


def test_a_loss_that_is_not_finite_stops_with_member_and_step(tmp_path):
    training = made_up.training((0, 1))
    training.weights["emotion"][1] = np.nan
    with pytest.raises(loop.DivergedError, match=r"stage finetune, member 1, epoch 1, step 1"):
        fit(tmp_path, training)


def test_a_program_serves_trainings_of_any_number_of_steps():
    config = made_up.config()
    config.finetune.optimizer.schedule = "linear"
    first = create_trainer(made_up.training((0,)), create(config)).program
    config.finetune.epochs += 1
    assert create_trainer(made_up.training((1,)), create(config), first).program is first
