"""Runs in processes of their own: killed at any moment, told to stop, and several as one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pose_backbones import create_model
from pose_data import synthesize
from pose_eval import evaluate
from pose_train import load_config
from pose_train.__main__ import main
from pose_train.distributed import Ranks
from pose_train.recipes import topdown
from pose_train.recipes.data import load_sets
from pose_train.training.checkpoints import LAST

TINY = [
    "model.options={width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    "model.input_size=[32, 32]",
    "model.heatmap_size=null",
    "data.synthetic=null",
    "train.batch_size=3",
    "train.epochs=2",
    "train.num_workers=0",
    "train.device=cpu",
    "eval.every=1",
]

# Importing torch takes longer than these runs: a process imports once and forks one child per run.
FORK = """
import json, os, random, signal, sys, time, traceback
import torch
import torch._dynamo  # which optimizers and DDP import
import pose_train.training.loop
from pose_train.__main__ import main

torch.set_num_threads(1)

def start(arguments, **environment):
    pid = os.fork()
    if pid:
        return pid
    os.environ.update(environment)
    code = 1
    try:
        code = main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

def end(pid):
    return os.waitpid(pid, 0)[1]

tasks = json.loads(sys.argv[1])
"""


def forked(code: str, tasks: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FORK + code, json.dumps(tasks)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("processes") / "data"
    return synthesize(out, num_train=6, num_val=5, image_size=(96, 64), seed=3)


def run_command(data: Path, out: Path, *overrides: str) -> list[str]:
    return ["run", "demo", f"data.root={data}", f"out={out}", *TINY, *overrides]


KILLED = """
random.seed(0)
whole, parts, resume = tasks
assert end(start(whole)) == 0
began, pid = time.time(), start(parts)
last = os.path.join(resume[1], "checkpoint_last.pth")
while not os.path.exists(last):
    time.sleep(0.001)
kills = 0
while True:
    time.sleep(random.uniform(0.0, 0.15))
    os.kill(pid, signal.SIGKILL)  # until it is waited for, it is there
    status = end(pid)
    if status == 0:  # it had come to its end by itself
        break
    assert status == signal.SIGKILL, status
    torch.load(last, weights_only=True)
    kills += 1
    pid = start(resume)
    if kills == 6:
        assert end(pid) == 0
        break
print("kills", kills)
"""


def test_killed_at_random_moments(tmp_path: Path, data: Path) -> None:
    """Each kill leaves a checkpoint that loads, and in the end nothing shows of any of them."""
    often = "checkpoints.minutes=1e-9"  # after every step
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    tasks = [
        run_command(data, whole, often),
        run_command(data, parts, often),
        ["resume", str(parts)],
    ]
    done = forked(KILLED, tasks)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 2
    states = [torch.load(d / LAST, weights_only=True) for d in (whole, parts)]
    for name, tensor in states[0]["state_dict"].items():
        assert torch.equal(tensor, states[1]["state_dict"][name]), name
    lines = [(d / "metrics.jsonl").read_text().splitlines() for d in (whole, parts)]
    losses = [[json.loads(line).get("loss") for line in part] for part in lines]
    assert losses[0] == losses[1]
    assert (whole / "results.json").read_text() == (parts / "results.json").read_text()


TOLD = """
last, before = os.path.join(tasks[1], "checkpoint_last.pth"), 0
for number in (signal.SIGTERM, signal.SIGINT):
    pid = start(tasks[0])
    while not os.path.exists(last) or os.stat(last).st_mtime_ns == before:
        time.sleep(0.001)
    os.kill(pid, number)
    assert end(pid) == 0
    tasks[0], before = ["resume", tasks[1]], os.stat(last).st_mtime_ns
"""


def test_told_to_stop(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"
    done = forked(TOLD, [run_command(data, out, "train.epochs=200", "eval.every=100"), str(out)])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"stopped; go on with: pose-train resume {out}") == 2
    assert done.stderr.count("send the signal again to stop immediately") == 2
    assert not done.stderr.count("Traceback")


TOGETHER = """
def together(arguments, port):
    pids = [
        start(arguments, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
              MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        for rank in range(2)
    ]
    return [end(pid) for pid in pids]

for arguments, port in tasks:
    codes = together(arguments, port)
    assert codes == [0, 0], codes
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_two_processes_evaluate_as_one(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"
    command = run_command(
        data,
        out,
        "train.epochs=1",
        "train.batch_size=4",
        "train.accumulate=2",
        "train.base_batch_size=32",
        "train.ema=0.5",
        "eval.batch_size=1",  # a convolution's last bit may depend on what else is in its batch
    )
    done = forked(TOGETHER, [[command, free_port()], [["resume", str(out)], free_port()]])
    assert done.returncode == 0, done.stderr
    assert (
        "learning rate 0.001: train.lr 0.002 is meant for 32 samples a step, and here are 16"
        in done.stdout
    )
    assert done.stdout.count("epoch 1/1") == 1, "only the first process prints"

    lines = (out / "metrics.jsonl").read_text().splitlines()
    train, val = map(json.loads, lines)
    checkpoint = torch.load(out / LAST, weights_only=True)
    assert train["step"] == 1  # 15 persons, 2 processes x 2 batches x 4
    config = load_config(out / "config.yaml")
    sets = load_sets(config.data, config.eval, data, "persons")
    net, codec = topdown.build(config, 17)
    net.load_state_dict(checkpoint["state_dict"])
    net.to(memory_format=torch.channels_last)
    skeleton, cpu = sets.train.skeleton, torch.device("cpu")
    rows = topdown.predict(config, net, codec, skeleton, *sets.evaluated, Ranks(), cpu)
    together = json.loads((out / "results.json").read_text())
    assert together == rows, "the same rows in the same order, to the last bit"
    assert evaluate(rows, sets.val.annotation_file).stats.items() <= val.items()


UNFROZEN = """
from pose_train.training import loop
original = loop.save_epoch

def saved(run, training, epoch):
    torch.save(training.net.state_dict(), f"{run.dir}/{run.ranks.rank}-{epoch}.pth")
    original(run, training, epoch)

loop.save_epoch = saved
"""


def test_what_is_unfrozen_is_trained_by_all_processes(tmp_path: Path, data: Path) -> None:
    """Its gradients are averaged from then on, or the weights of the two would part."""
    out = tmp_path / "run"
    freeze = "train.freeze={backbone: 1, backbone.conv1: null}"
    command = run_command(data, out, freeze, "eval=null", "train.batch_size=4")
    done = forked(UNFROZEN + TOGETHER, [[command, free_port()]])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" parameters train from epoch 2 on") == 1
    states = {
        (rank, epoch): torch.load(out / f"{rank}-{epoch}.pth", weights_only=True)
        for rank in (0, 1)
        for epoch in (1, 2)
    }
    weights = [name for name in states[0, 1] if name.endswith((".weight", ".bias"))]
    for name in weights:
        assert torch.equal(states[0, 2][name], states[1, 2][name]), name
    moved = {n for n in weights if not torch.equal(states[0, 1][n], states[0, 2][n])}
    assert set(weights) - moved == {"backbone.conv1.weight"}


# Small networks by the published protocols: detected boxes, OKS-NMS; several sizes; flip test.
PROTOCOLS = """
data: {{root: {root}, detections: {{file: boxes.json}}}}
model: {{name: hrnet, options: {options}, input_size: [32, 32]}}
train: {train}
eval: {{boxes: detections, nms: oks, batch_size: 1}}
---
recipe: bottomup
data: {{root: {root}}}
model: {{name: higherhrnet, options: {options}, input_size: [64, 64]}}
train: {train}
grouping: {{max_instances: 3}}
eval: {{multi_scale: [2, 1, 0.5], batch_size: 1}}
"""


def test_two_processes_test_as_one(tmp_path: Path, data: Path) -> None:
    """NMS sees the boxes of a picture that both processes have had a part of."""
    val = json.loads((data / "annotations/person_keypoints_val2017.json").read_text())
    boxes = [
        {"image_id": image["id"], "category_id": 1, "bbox": [x, 4, 40, 50], "score": 0.9 - x / 100}
        for x in (8, 20, 8.001)  # the third is nearly the first
        for image in val["images"]
    ]
    root = tmp_path / "coco"
    root.mkdir()
    for name in ("annotations", "val2017"):
        (root / name).symlink_to(data / name)
    (root / "boxes.json").write_text(json.dumps(boxes))
    options = "{width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"
    train = "{epochs: 1, batch_size: 1, lr: 1e-3, num_workers: 0, device: cpu}"
    texts = PROTOCOLS.format(root=root, options=options, train=train).split("---")
    torch.manual_seed(0)
    outs, together = [], []
    for text in texts:
        file = tmp_path / f"{len(outs)}.yaml"
        file.write_text(text)
        model = load_config(file).model
        net = create_model(model.name, num_keypoints=17, **model.options)
        for weight in net.parameters():
            if weight.ndim > 1:  # as they are made, maps are nearly flat
                torch.nn.init.kaiming_normal_(weight)
        torch.save(net.state_dict(), file.with_suffix(".pth"))
        words = ["test", str(file), "--weights", str(file.with_suffix(".pth")), "--out"]
        one, two = (file.with_suffix(f".{count}.json") for count in ("one", "two"))
        assert main([*words, str(one)]) == 0
        outs.append((one, two))
        together.append([[*words, str(two)], free_port()])
    done = forked(TOGETHER, together)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(one.read_text()) for one, _ in outs]
    assert rows == [json.loads(two.read_text()) for _, two in outs], "to the last bit"
    kept = [row["bbox"][0] for row in rows[0]]
    assert {round(x) for x in kept} == {8, 20}  # of the first and the third, the better pose
    assert len(kept) == 2 * len(val["images"])
    assert rows[1]
    assert done.stdout.count("AR ") == 2, "only the first process prints"


def test_two_processes_are_measured_together(data: Path, tmp_path: Path) -> None:
    """They take as many steps as each other, whatever each has time for."""
    plan = [*run_command(data, tmp_path)[2:], "train.batch_size=4", "--seconds", "0.2"]
    done = forked(TOGETHER, [[["bench", "demo", *plan], free_port()] for _ in range(2)])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 processes together") == 2, "only the first one prints"


AVERAGED = """
from torch import nn
import torch.distributed as dist
from pose_train.distributed import joined, share_gradients

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.dead = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x):
        self.dead(x)
        return self.used(x)

def check(rank, port):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with joined("cpu") as (ranks, device):
        torch.manual_seed(0)
        net = Net()
        probe = lambda: net(torch.zeros(1, 3)).sum().backward()
        forward = share_gradients(net, ranks, device, probe)
        for _ in range(2):
            net.zero_grad()
            (forward(torch.ones(1, 3)) * (rank + 1)).sum().backward()
        assert torch.equal(net.used.bias.grad, torch.full((2,), 1.5))
        assert not net.dead.weight.requires_grad

for port in tasks:  # several, for what goes wrong at the end of some
    pids = []
    for rank in range(2):
        pid = os.fork()
        if not pid:
            check(rank, port)
            os._exit(7)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(end(pid)) for pid in pids] == [7, 7]
"""


def test_gradients_are_averaged_and_unused_parameters_are_not_waited_for() -> None:
    done = forked(AVERAGED, [free_port() for _ in range(8)])
    assert done.returncode == 0, done.stderr


def test_a_process_that_fails_ends_the_others(tmp_path: Path, data: Path) -> None:
    """Under torchrun: the message of the one is printed, and nobody waits for it."""
    out = tmp_path / "run"
    code = (
        "import os, sys, torch; torch.set_num_threads(1)\n"
        "from pose_train.training import loop\n"
        "from pose_train.__main__ import main\n"
        "from pose_train.config.schema import ConfigError\n"
        "original, calls = loop.batch_losses, [0]\n"
        "def loss(*args):\n"
        "    calls[0] += 1\n"
        "    if os.environ['RANK'] == '1' and calls[0] == 2:\n"
        "        raise ConfigError('the second process has had enough')\n"
        "    return original(*args)\n"
        "loop.batch_losses = loss\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    script = tmp_path / "train.py"
    script.write_text(code)
    arguments = ["--standalone", "--nproc-per-node", "2", str(script)]
    command = run_command(data, out, "train.batch_size=4")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *arguments, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode != 0
    assert "pose-train: error: the second process has had enough" in done.stderr
    assert "pose-train: error: another process has ended; its message says why" in done.stderr
    assert "pose_train/training/loop.py" not in done.stderr, "no traceback of ours"
    torch.load(out / LAST, weights_only=True)
