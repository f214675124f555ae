"""What a command computes on: the device, how many cores it may use, its threads and workers.

OpenMP threads wait for each other by spinning. Where one of them waits for a core that another
program has, the rest burn theirs: at a load of five on two cores, two threads train at a tenth of
the speed of one.
"""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from pose_train.words import counted, note

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h
MOMENT = 0.2  # seconds for which the processors are watched; they count in hundredths


class Cores(NamedTuple):
    """total: of this process, by its affinity; quota: CPU time that its cgroup allows, in cores.

    busy: how many of the machine's cores are at work for others.
    """

    total: int
    quota: float | None
    busy: float

    @property
    def allowed(self) -> int:
        """The number of cores that this process can keep busy."""
        return max(1, min(self.total, int(self.quota or self.total)))

    @property
    def free(self) -> int:
        """The number of those that others leave to it, at least one."""
        return max(1, min(self.allowed, round(self.total - self.busy)))

    def __str__(self) -> str:
        text = counted(self.total, "core")
        if self.allowed < self.total:
            text += f", of which the cgroup allows {self.quota:.3g}"
        return text + (f", {self.busy:.1f} in use by others" if self.busy >= 0.5 else "")


def find_cores() -> Cores:
    """Read affinity, cgroup and load; it may take MOMENT, so it is for the start of a command."""
    return Cores(count_cores(), cgroup_quota(), busy_cores())


def count_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def allowed_workers(wanted: int) -> int:
    """Return how many processes to start for a number that a config asks for: one a core."""
    return min(wanted, Cores(count_cores(), cgroup_quota(), 0.0).allowed)


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """Return the CPU time that this process's control group allows, in cores; None for no limit.

    Version 2: `cpu.max` ("QUOTA PERIOD" or "max PERIOD") of the group and of those above it, the
    least of which holds; version 1: cpu.cfs_quota_us (-1 for none) and cpu.cfs_period_us.
    """
    quotas = []
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            folder, files = root / "sys/fs/cgroup", ["cpu.max"]
        elif "cpu" in controllers.split(","):
            folder = root / "sys/fs/cgroup/cpu"
            files = ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        # In a container the path may be the host's, of which only the end is mounted here.
        group = Path(path.lstrip("/"))
        for parent in (group, *group.parents):
            words = " ".join(text for file in files for text in _lines(folder / parent / file))
            quota, _, period = words.partition(" ")
            if period and quota not in ("max", "-1"):
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def busy_cores(moment: float = MOMENT) -> float:
    """Return how many cores are at work: by the load average and by what they do right now.

    The lower one counts: the average still shows what has just ended, and a moment may be an
    unusual one. 0 where the system tells neither. Other threads of this process must be idle.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < 0.5 or not (before := _ticks()):
        return load
    time.sleep(moment)
    shares = []
    for core, (idle, total) in _ticks().items():
        idle_before, total_before = before.get(core, (idle, total))
        if total > total_before:
            shares.append(1 - (idle - idle_before) / (total - total_before))
    return min(load, sum(shares))


def _ticks() -> dict[str, tuple[int, int]]:
    """Return idle and total ticks of each core that this process may run on."""
    own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
    found = {}
    for line in _lines(Path("/proc/stat")):
        name, *ticks = line.split()
        if name[:3] == "cpu" and name[3:].isdecimal() and int(name[3:]) in own:
            user_to_steal = [int(tick) for tick in ticks[:8]]  # guests are in user time already
            found[name] = sum(user_to_steal[3:5]), sum(user_to_steal)  # idle and iowait
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def find_device(name: str, local_rank: int) -> "torch.device":
    """Return the device called `name`; "auto" and "cuda" are this process's own GPU, if any.

    "auto" is Apple's mps where there is no cuda, and the CPU where there is neither. Raises
    ConfigError for one that cannot be used.
    """
    import torch

    if name == "auto":
        has_mps = torch.backends.mps.is_available()
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    if name == "cuda":
        name = f"cuda:{local_rank}"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        from pose_train.config.schema import ConfigError

        reason = str(error).splitlines()[0]
        raise ConfigError(f"train.device {name!r} cannot be used: {reason}") from None
    return torch.device(name)


def settle_threads(num_threads: int | None, num_workers: int | None = None) -> None:
    """Set how many threads torch uses, see choose_threads; and keep freed memory, with glibc.

    It would give blocks of megabytes back to the system, which clears each page anew when the next
    step asks for it: up to a fifth of a training step on a CPU. The most memory in use at a time
    stays what it is, because every step needs the same again.
    """
    import torch

    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):  # musl has none
        libc.mallopt(M_MMAP_MAX, 0)  # no block of pages of its own, which freeing would unmap
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # and none cut off the end of the heap
    torch.set_num_threads(choose_threads(num_threads, num_workers))


def choose_threads(
    num_threads: int | None, num_workers: int | None = None, to: TextIO | None = None
) -> int:
    """Return how many threads to compute with, and print it, with the workers if given, once.

    num_threads None: as many as cores are free, shared among the processes that torchrun started
    on this machine; OMP_NUM_THREADS, where set, is left to decide. to: stdout if not given.
    """
    cores, why = find_cores(), ""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if num_threads is not None:
        why = ", as asked for"
    elif given.isdecimal() and int(given):
        num_threads, why = int(given), ", as OMP_NUM_THREADS says"
    else:
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        num_threads = max(1, cores.free // processes)
    line = counted(num_threads, "thread")
    if num_workers is not None:
        started = min(num_workers, cores.allowed)
        line += f", {counted(started, 'worker')}"
        line += f" (train.num_workers is {num_workers})" if started < num_workers else ""
    if os.environ.get("RANK", "0") == "0":
        note(f"{line}: {cores}{why}", to=to)
    return num_threads
