"""A run that is stopped and resumed ends as one that was not, bit by bit; and nothing is lost."""

import contextlib
import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pose_data import TopDown, synthesize
from pose_train import progress
from pose_train.__main__ import main
from pose_train.distributed import LostProcessError, joined
from pose_train.files.write import RunDirError, write_file
from pose_train.training import loop

TINY = [
    "model.options={width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    "model.input_size=[32, 32]",
    "model.heatmap_size=null",
    "data.synthetic=null",
    "train.batch_size=3",
    "train.epochs=2",
    "train.lr_steps=[1]",
    "train.num_workers=0",
    "train.device=cpu",
    "eval.every=1",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn set that the tests read: 15 persons to train on, 5 batches of 3."""
    out = tmp_path_factory.mktemp("resume") / "data"
    return synthesize(out, num_train=6, num_val=2, image_size=(96, 64), seed=3)


def run(data: Path, out: Path, *overrides: str) -> int:
    return main(["run", "demo", f"data.root={data}", f"out={out}", *TINY, *overrides])


def what_it_came_to(run_dir: Path) -> tuple[dict[str, Any], list[dict[str, Any]], Any]:
    """Return checkpoint, metrics without those of time, and results."""
    checkpoint = torch.load(run_dir / "checkpoint_last.pth", weights_only=True)
    del checkpoint["config"]  # names the directory
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record.pop("images_per_s", None)
        record.pop("seconds", None)
        record.pop("data_share", None)
    return checkpoint, records, json.loads((run_dir / "results.json").read_text())


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Compare nested containers; tensors bit by bit."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    else:
        assert a == b, where


def stop_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Send SIGTERM to this process and its workers in optimizer step `number` (from 1)."""
    original, count = loop.optimizer_step, 0

    def step(*args: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            for worker in multiprocessing.active_children():
                worker.terminate()
            os.kill(os.getpid(), signal.SIGTERM)
        original(*args)

    monkeypatch.setattr(loop, "optimizer_step", step)


STAGED = [
    "train.freeze={backbone: 1, backbone.conv1: null}",
    "train.lr_mult={backbone: 0.5, backbone.stage4: 0.1}",
    "train.weight_decay=0.01",
    "train.ema=0.9",
    "train.patience=3",
]
EVERYTHING = ["train.ema=0.9", "train.accumulate=2", "train.optimizer=sgd", "train.clip_grad=0.1"]


@pytest.mark.parametrize(
    ("overrides", "stops"),
    [
        ([], [2, 5]),  # within epoch 1; within epoch 2
        (
            [*EVERYTHING, "train.num_workers=1", "train.schedule=cosine", "train.warmup_steps=2"],
            [1],
        ),
        (["train.amp=fp16", "train.optimizer=adamw", "train.weight_decay=0.1"], [5]),  # at its end
        (STAGED, [3, 2, 2]),  # while frozen, as it ends, after that
    ],
)
def test_resumed_equals_uninterrupted(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    stops: list[int],
) -> None:
    assert run(data, tmp_path / "whole", *overrides) == 0
    command = ["run", "demo", f"data.root={data}", f"out={tmp_path / 'parts'}", *TINY, *overrides]
    for stop in stops:
        with monkeypatch.context() as patch:
            stop_at_step(patch, stop)
            assert main(command) == 0
        last_line = capsys.readouterr().out.splitlines()[-1]
        assert last_line[8:] == f"  stopped; go on with: pose-train resume {tmp_path / 'parts'}"
        command = ["resume", str(tmp_path / "parts")]
        torch.manual_seed(99)  # nothing may hang on what this process did before
    assert main(command) == 0
    assert "AP " in capsys.readouterr().out.splitlines()[-1]
    whole, parts = what_it_came_to(tmp_path / "whole"), what_it_came_to(tmp_path / "parts")
    assert_same(whole, parts)
    assert whole[0]["step"] == (6 if "train.accumulate=2" in overrides else 10)


@pytest.mark.parametrize(("batch_size", "steps"), [(4, 4 + 1 + 4), (5, 4 + 1 + 3), (15, 4 + 1 + 1)])
def test_resuming_with_another_batch_keeps_the_share_of_the_epoch(
    batch_size: int,
    steps: int,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped after 4 of 5 batches; resumed with epochs of 15, 4 or 1."""
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        stop_at_step(patched, 4)
        assert run(data, out) == 0
    assert main(["resume", str(out), f"train.batch_size={batch_size}"]) == 0
    last = torch.load(out / "checkpoint_last.pth", weights_only=True)
    assert last["step"] == steps  # before, then the rest of this epoch, then the second one


def test_resuming_a_finished_run_shows_it_again_and_can_prolong_it(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(data, out, "train.epochs=1") == 0
    shown = capsys.readouterr().out.splitlines()[-1]
    before = what_it_came_to(out)
    assert main(["resume", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == shown
    assert_same(what_it_came_to(out), before)
    assert main(["resume", str(out), "train.epochs=2"]) == 0
    records = what_it_came_to(out)[1]
    assert [(r["kind"], r["epoch"]) for r in records] == [
        ("train", 1),
        ("val", 1),
        ("train", 2),
        ("val", 2),
    ]


def test_a_run_that_is_cut_short_is_evaluated_where_it_is(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at_step(patch, 13)  # within epoch 3
        assert run(data, out, "train.epochs=4", "eval.every=9") == 0
    before = torch.load(out / "checkpoint_last.pth", weights_only=True)
    assert main(["resume", str(out), "train.epochs=1"]) == 0
    checkpoint, records, _ = what_it_came_to(out)
    assert [(r["kind"], r["epoch"]) for r in records][-1] == ("val", 3)
    assert_same(checkpoint["state_dict"], before["state_dict"])
    assert main(["resume", str(out)]) == 0  # shown again, not evaluated
    assert what_it_came_to(out)[1] == records
    assert main(["resume", str(out), "train.epochs=4"]) == 0  # and it can still go on
    assert [r["epoch"] for r in what_it_came_to(out)[1] if r["kind"] == "train"] == [1, 2, 3, 4]


def contents(run_dir: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in run_dir.iterdir() if p.is_file()}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.options.width=8", "model.options ({'width': 4"),
        ("model.name=hrnet_w32", "model.name ('hrnet' in this run, now 'hrnet_w32')"),
        ("data.root=/nowhere", "/nowhere"),
        ("model.heatmap_size=[3, 3]", "model.heatmap_size"),
        ("train.freeze=[nothing]", "train.freeze"),
    ],
)
def test_a_refused_resume_leaves_the_run_as_it_was(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], override: str, words: str
) -> None:
    out = tmp_path / "run"
    assert run(data, out, "train.epochs=1") == 0
    before = contents(out)
    more = ["model.options={}"] if "name" in override else []
    assert main(["resume", str(out), "train.epochs=2", override, *more]) == 2
    assert words in refusal(capsys)
    assert contents(out) == before
    assert main(["resume", str(out), "train.epochs=2"]) == 0


@pytest.mark.parametrize(
    ("override", "note"),
    [
        ("train.optimizer=sgd", "train.optimizer was adam: the averages of sgd start afresh"),
        ("train.weight_decay=0.01", ""),
        ("train.lr_mult={backbone: 0.1}", "backbone: learning rate x 0.1 for "),
        ("train.freeze=[backbone]", ""),
        ("train.amp=fp16", "train.amp is new"),
        ("train.amp=bf16", ""),
        ("train.ema=0.9", "train.ema is new"),
    ],
)
def test_what_may_change_in_a_resume(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], override: str, note: str
) -> None:
    out = tmp_path / "run"
    assert run(data, out, "train.epochs=1") == 0
    before = torch.load(out / "checkpoint_last.pth", weights_only=True)
    states = dict(zip(before["trained"], before["optimizer"]["state"].values(), strict=True))
    capsys.readouterr()
    assert main(["resume", str(out), "train.epochs=2", override]) == 0
    assert note in capsys.readouterr().out
    last = torch.load(out / "checkpoint_last.pth", weights_only=True)
    assert last["epoch"] == 3
    if "freeze" in override:
        kept = {n: t for n, t in last["state_dict"].items() if n.startswith("backbone.")}
        assert all(torch.equal(t, before["state_dict"][n]) for n, t in kept.items())
        assert [n.split(".")[0] for n in last["trained"]] == ["head", "head"]
    if "sgd" not in override:  # the averages were carried over to where the parameter is now
        steps = {
            n: s["step"]
            for n, s in zip(last["trained"], last["optimizer"]["state"].values(), strict=True)
        }
        assert set(map(float, steps.values())) == {
            float(states["head.final_layer.bias"]["step"]) * 2
        }


def test_unfreezing_later(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(data, out, "train.epochs=1", "train.freeze=[backbone]") == 0
    before = torch.load(out / "checkpoint_last.pth", weights_only=True)["state_dict"]
    capsys.readouterr()
    assert main(["resume", str(out), "train.epochs=2", "train.freeze=[]"]) == 0
    assert "parameters were frozen before, backbone.conv1.weight for one" in capsys.readouterr().out
    after = torch.load(out / "checkpoint_last.pth", weights_only=True)["state_dict"]
    assert not torch.equal(before["backbone.conv1.weight"], after["backbone.conv1.weight"])


def test_of_equal_results_the_newer_is_the_best(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"  # nothing learnt: AP is 0 in each epoch
    assert run(data, out, "train.lr=1e-9", "train.epochs=3") == 0
    assert {r["AP"] for r in what_it_came_to(out)[1] if r["kind"] == "val"} == {0.0}
    assert torch.load(out / "checkpoint_best.pth", weights_only=True)["epoch"] == 3


def test_commands_say_which_weights_they_use(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(data, out) == 0
    best, last = out / "checkpoint_best.pth", out / "checkpoint_last.pth"
    epoch = torch.load(best, weights_only=True)["epoch"]
    capsys.readouterr()
    assert main(["test", str(out)]) == 0
    assert f"{best} on " in (printed := capsys.readouterr().out)
    assert f"; after epoch {epoch}\n" in printed
    assert main(["test", str(last)]) == 0
    assert "; after epoch 2\n" in capsys.readouterr().out
    picture = str(next((data / "val2017").iterdir()))
    assert main(["predict", str(out), picture, "--out", str(tmp_path / "people")]) == 0
    assert f"weights: {best}, after epoch {epoch}\n" in capsys.readouterr().err


def test_numbered_checkpoints_are_kept_and_dropped(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"
    assert run(data, out, "train.epochs=4", "checkpoints={every: 1, keep: 2}", "eval.every=9") == 0
    assert sorted(path.name for path in out.glob("checkpoint_0*")) == [
        "checkpoint_0003.pth",
        "checkpoint_0004.pth",
    ]


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert not any("Traceback" in line for line in lines)
    (sentence,) = [line for line in lines if line.startswith("pose-train: error: ")]
    return sentence


def test_nothing_to_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", str(tmp_path)]) == 2
    assert "no run directory" in refusal(capsys)


def test_a_damaged_checkpoint_is_named(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(data, out, "train.epochs=1") == 0
    last = out / "checkpoint_last.pth"
    last.write_bytes(last.read_bytes()[:1000])
    capsys.readouterr()
    assert main(["resume", str(out)]) == 1
    sentence = refusal(capsys)
    assert f"{last} is damaged" in sentence
    assert f"model.weights={out / 'checkpoint_best.pth'}" in sentence
    last.unlink()
    assert main(["resume", str(out)]) == 1
    assert "this run never got as far" in refusal(capsys)


def test_a_bit_that_flips_in_a_checkpoint_is_noticed(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch.load does not look at the checksums."""
    out = tmp_path / "run"
    assert run(data, out, "train.epochs=1") == 0
    last = out / "checkpoint_last.pth"
    content = bytearray(last.read_bytes())
    values = torch.load(last, weights_only=True)["state_dict"]["backbone.bn1.running_var"]
    content[content.index(values.numpy().tobytes())] ^= 1
    last.write_bytes(content)
    torch.load(last, weights_only=True)
    capsys.readouterr()
    assert main(["resume", str(out), "train.epochs=2"]) == 1
    assert f"{last} is damaged: its record " in refusal(capsys)


def test_lost_records_and_results_are_told_and_made_again(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(data, out, "train.epochs=1") == 0
    metrics, results = out / "metrics.jsonl", out / "results.json"
    (first, second), rows = metrics.read_text().splitlines(), results.read_text()
    metrics.write_text(f"{first[:40]}\n{second}\n")
    results.write_text(rows[:40])
    capsys.readouterr()
    assert main(["resume", str(out), "train.epochs=2"]) == 0
    assert f"note: 1 of 2 records in {metrics} are lost or damaged" in capsys.readouterr().out
    assert [r["epoch"] for r in what_it_came_to(out)[1]] == [1, 2, 2]
    whole = json.loads(results.read_text())
    results.write_text("{}")
    assert main(["resume", str(out)]) == 0  # evaluated again
    assert json.loads(results.read_text()) == whole
    metrics.unlink()
    metrics.mkdir()
    capsys.readouterr()
    assert main(["resume", str(out), "train.epochs=3"]) == 1
    assert f"cannot read {metrics}: Is a directory" in refusal(capsys)


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), EOFError()])
def test_a_worker_that_was_killed_shows_first_in_its_pipe(error: Exception) -> None:
    """What torch makes of the signal comes a moment later, wherever this process is then."""
    before = signal.getsignal(signal.SIGALRM)

    def heard(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    def lose() -> None:
        with joined("cpu"):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            raise error

    signal.signal(signal.SIGALRM, heard)
    try:
        with pytest.raises(LostProcessError, match="a data loader worker was killed"):
            lose()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_worker_that_was_killed_is_no_full_disk(tmp_path: Path) -> None:
    def fill(_: object) -> None:
        try:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")  # what torch.save makes of it

    with pytest.raises(RuntimeError, match="DataLoader worker") as raised:
        write_file(tmp_path / "a.pth", fill)
    assert not isinstance(raised.value, RunDirError)
    assert list(tmp_path.iterdir()) == []


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Let another process lock a file, as it does that writes it."""
    pytest.importorskip("fcntl")
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield
        process.communicate()


def test_two_processes_do_not_write_the_same(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, left = tmp_path / "run", tmp_path / "run/.checkpoint_last.99.tmp.pth"
    assert run(data, out, "train.epochs=1") == 0
    left.touch()  # by a process that was killed as it wrote
    capsys.readouterr()
    with held(out / ".lock"):
        before = contents(out)
        assert main(["resume", str(out), "train.epochs=2"]) == 1
        assert f"another process trains in {out}" in refusal(capsys)
        assert contents(out) == before
    assert main(["resume", str(out), "train.epochs=2"]) == 0
    assert not left.exists()
    capsys.readouterr()
    people = tmp_path / "people"
    predict = ["predict", str(out), str(data / "val2017"), "--out", str(people), "--no-draw"]
    people.mkdir()
    (people / "predictions.partial.json").write_text("[ rows of the other")
    with held(people / "predictions.partial.json"):
        assert main(predict) == 1
        assert f"another process is writing {people / 'predictions.json'}" in refusal(capsys)
        assert (people / "predictions.partial.json").read_text() == "[ rows of the other"
    assert main(predict) == 0
    json.loads((people / "predictions.json").read_text())


def test_a_full_disk_is_one_error_and_the_old_checkpoint_stays(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    stop_at_step(monkeypatch, 1)
    assert run(data, out) == 0
    before = (out / "checkpoint_last.pth").read_bytes()
    temporary = out / f".checkpoint_last.{os.getpid()}.tmp.pth"

    def fill(path: Path) -> contextlib.AbstractContextManager[None]:
        temporary.symlink_to("/dev/full")
        return contextlib.nullcontext()

    monkeypatch.setattr(loop, "lock_run_dir", fill)
    assert main(["resume", str(out)]) == 1
    sentence = refusal(capsys)
    assert f"cannot write {out / 'checkpoint_last.pth'}: No space left on device" in sentence
    assert (out / "checkpoint_last.pth").read_bytes() == before
    assert not temporary.is_symlink(), "it would keep the disk full"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pathlib.Path.write_text", "cannot write {out}/data: No space left"),
        (
            "pose_train.training.run_dir.open_loggers",
            "pose-train: error: No space left on device, where x was to",
        ),
    ],
)
def test_a_full_disk_is_one_sentence_wherever_it_shows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    sentence: str,
) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x")

    drawn = "data.synthetic={num_train: 2, num_val: 1, image_size: [64, 64]}"
    monkeypatch.setattr(name, full)
    assert main(["run", "demo", f"out={tmp_path / 'run'}", *TINY, drawn]) == 1
    assert sentence.format(out=tmp_path / "run") in refusal(capsys)


def test_a_loss_that_is_not_a_number_names_the_pictures(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, count = loop.batch_losses, 0

    def loss(*args: Any) -> dict[str, torch.Tensor]:
        nonlocal count
        count += 1
        return {"loss": original(*args)["loss"] * (float("nan") if count == 7 else 1.0)}

    monkeypatch.setattr(loop, "batch_losses", loss)
    out = tmp_path / "run"
    assert run(data, out, "eval.loss=false") == 1
    sentence = refusal(capsys)
    assert "the loss became nan in epoch 2, batch 2" in sentence
    assert sentence.count(".jpg") >= 1
    assert f"pose-train resume {out} train.lr=" in sentence
    checkpoint = torch.load(out / "checkpoint_last.pth", weights_only=True)
    assert (checkpoint["epoch"], checkpoint["batch"]) == (2, 0)
    assert all(t.isfinite().all() for t in checkpoint["state_dict"].values())


def test_weights_that_are_no_numbers_are_not_saved(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finite loss with an infinite gradient, in the last step before a checkpoint."""
    original, count = loop.optimizer_step, 0

    def step(training: Any, *args: Any) -> None:
        nonlocal count
        count += 1
        if count == 10:
            next(iter(training.net.parameters())).grad[:] = float("inf")
        original(training, *args)

    monkeypatch.setattr(loop, "optimizer_step", step)
    out = tmp_path / "run"
    assert run(data, out) == 1
    sentence = refusal(capsys)
    assert "weights became NaN or infinite in epoch 2, batch 5 or shortly before" in sentence
    assert f"pose-train resume {out} train.lr=" in sentence
    checkpoint = torch.load(out / "checkpoint_last.pth", weights_only=True)
    assert (checkpoint["epoch"], checkpoint["batch"]) == (2, 0)
    assert all(t.isfinite().all() for t in checkpoint["state_dict"].values())


def test_a_killed_worker_is_one_sentence_and_the_run_resumes(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = loop.batch_losses

    def loss(*args: Any) -> Any:
        for worker in multiprocessing.active_children():
            worker.kill()
        return original(*args)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "batch_losses", loss)
        assert run(data, out, "train.num_workers=1", "train.epochs=1") == 1
    assert "a data loader worker was killed" in refusal(capsys)
    assert main(["resume", str(out)]) == 0


def test_a_slow_loader_is_said_once_and_within_the_epoch(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = TopDown.__getitem__

    def slow(self: Any, key: Any) -> Any:
        if isinstance(key, tuple):  # of the loader
            time.sleep(0.05)
        return original(self, key)

    monkeypatch.setattr(TopDown, "__getitem__", slow)
    monkeypatch.setattr(progress, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(progress, "SLOW_SHARE", 0.01)
    assert run(data, tmp_path / "run", "eval.every=9") == 0
    lines = capsys.readouterr().out.splitlines()
    (note,) = [i for i, line in enumerate(lines) if "  note: the network waits" in line]
    (first_epoch,) = [i for i, line in enumerate(lines) if "  epoch 1/2  " in line]
    assert note < first_epoch
    assert "train.num_workers (now 0)" in lines[note]
    records = map(json.loads, (tmp_path / "run/metrics.jsonl").read_text().splitlines())
    shares = [record["data_share"] for record in records if record["kind"] == "train"]
    assert all(0.0 < share < 1.0 for share in shares)
