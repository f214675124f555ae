"""The cores a command may use, and what it takes of them."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pose_train import cores
from pose_train.cores import Cores, busy_cores, cgroup_quota, find_device, settle_threads
from pose_train.recipes.loaders import train_loader


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# Forms of the files: Linux's Documentation/admin-guide/cgroup-v2.rst, and cgroup-v1 with sched-bwc.
def test_the_least_quota_of_a_group_and_those_above_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/user.slice/job\n")
    groups = tmp_path / "sys/fs/cgroup"
    write(groups / "user.slice/job/cpu.max", "max 100000\n")
    assert cgroup_quota(tmp_path) is None
    write(groups / "user.slice/cpu.max", "250000 100000\n")
    assert cgroup_quota(tmp_path) == 2.5
    write(groups / "user.slice/job/cpu.max", "150000 100000\n")
    assert cgroup_quota(tmp_path) == 1.5


def test_a_container_sees_the_root_of_its_groups(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/docker/1f0c\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "400000 100000\n")
    assert cgroup_quota(tmp_path) == 4


@pytest.mark.parametrize(("quota", "expected"), [("-1\n", None), ("50000\n", 0.5)])
def test_quotas_of_version_1(tmp_path: Path, quota: str, expected: float | None) -> None:
    write(tmp_path / "proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/a\n1:name=systemd:/\n")
    write(tmp_path / "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", quota)
    write(tmp_path / "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n")
    assert cgroup_quota(tmp_path) == expected


def test_other_systems_have_no_quota(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("found", "allowed", "free", "text"),
    [
        (Cores(2, None, 0.2), 2, 2, "2 cores"),
        (Cores(2, None, 1.4), 2, 1, "2 cores, 1.4 in use by others"),
        (Cores(2, None, 9.0), 2, 1, "2 cores, 9.0 in use by others"),
        (Cores(64, 2.5, 10.0), 2, 2, "64 cores, of which the cgroup allows 2.5, 10.0 in use"),
        (Cores(64, None, 60.0), 64, 4, "64 cores, 60.0 in use by others"),
        (Cores(1, 0.5, 0.0), 1, 1, "1 core"),
    ],
)
def test_what_is_left_is_taken(found: Cores, allowed: int, free: int, text: str) -> None:
    assert (found.allowed, found.free) == (allowed, free)
    assert text in str(found)


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="needs Linux's /proc/stat")
def test_another_program_is_seen_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 0.0, 0.0), raising=False)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            assert busy_cores(0.5) > 0.5
        finally:
            other.kill()
    monkeypatch.setattr(os, "getloadavg", lambda: (0.7, 0.0, 0.0), raising=False)
    assert busy_cores(0.1) <= 0.7


@pytest.fixture
def no_rule(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    yield
    torch.set_num_threads(1)


def settled(capsys: pytest.CaptureFixture[str], *given: int | None) -> tuple[int, str]:
    settle_threads(*given)
    return torch.get_num_threads(), capsys.readouterr().out


@pytest.mark.usefixtures("no_rule")
def test_threads_are_chosen_said_and_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cores, "find_cores", lambda: Cores(4, None, 0.0))
    assert settled(capsys, None, 2) == (4, "4 threads, 2 workers: 4 cores\n")
    assert settled(capsys, None, 9)[1].startswith("4 threads, 4 workers (train.num_workers is 9)")
    assert settled(capsys, 3) == (3, "3 threads: 4 cores, as asked for\n")
    monkeypatch.setattr(cores, "find_cores", lambda: Cores(4, None, 3.2))
    assert settled(capsys, None) == (1, "1 thread: 4 cores, 3.2 in use by others\n")


@pytest.mark.usefixtures("no_rule")
def test_processes_of_one_machine_share_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cores, "find_cores", lambda: Cores(8, None, 0.0))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "1")
    assert settled(capsys, None) == (2, "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as torchrun sets it
    monkeypatch.setenv("RANK", "0")
    assert settled(capsys, None) == (1, "1 thread: 8 cores, as OMP_NUM_THREADS says\n")


def test_no_more_workers_start_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "count_cores", lambda: 1)
    monkeypatch.setattr(cores, "cgroup_quota", lambda: None)
    cpu = torch.device("cpu")
    assert train_loader([], [], 8, cpu).num_workers == 1  # type: ignore[arg-type]
    assert train_loader([], [], 0, cpu).num_workers == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cuda", "mps", "device"),
    [(True, True, "cuda:1"), (True, False, "cuda:1"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_device_of_auto(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch, "zeros", lambda *sizes, device: None)  # a device that is not here
    assert find_device("auto", 1) == torch.device(device)


AGAIN = """
from resource import RUSAGE_SELF, getrusage
from pose_train.cores import settle_threads
settle_threads(1)
block = b"x" * (64 << 20)
del block
before = getrusage(RUSAGE_SELF).ru_minflt
block = b"x" * (64 << 20)
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="of other C libraries nothing is said"
)
def test_memory_that_was_freed_needs_no_new_pages() -> None:
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 100  # of 16384
