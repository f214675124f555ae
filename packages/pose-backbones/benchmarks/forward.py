"""Measure build time, import time and forward time, and print a Markdown report.

    python packages/pose-backbones/benchmarks/forward.py > report.md

Variants of one model and batch size are timed in turn, round by round, so that a change in the load
of the machine falls on all of them; the ratio is to the plain eager module of the same rounds. On a
machine with a GPU the same variants run there, with CUDA graphs (`reduce-overhead`), and training.
"""

import argparse
import copy
import datetime
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pose_backbones import ZOO, PoseOutput, create_model, fuse, list_models

Run = Callable[[], PoseOutput]


def main() -> None:
    """Parse the command line and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["hrnet_w32"], choices=list_models())
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="takes minutes on a small machine")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print_machine(device, args.threads)
    print_build_and_import()
    for name in args.models:
        for batch in args.batches:
            print_forward(name, batch, device, args.rounds, args.compile)
            if device == "cuda":
                print_training(name, batch, args.rounds, args.compile)


def print_machine(device: str, threads: int) -> None:
    """Print what is needed to read or repeat the figures."""
    print(f"# pose-backbones, {datetime.date.today()}\n")
    print(f"- command: `python forward.py {' '.join(sys.argv[1:])}`")
    print(f"- Python {platform.python_version()}, torch {torch.__version__}, {threads} threads")
    gpu = torch.cuda.get_device_name() if device == "cuda" else "no GPU"
    print(f"- {cpu_name()}, {torch.backends.cpu.get_cpu_capability()}; {gpu}\n")


def cpu_name() -> str:
    """Return the processor's name where the system tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line for line in file if line.startswith("model name")]
        return lines[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def print_build_and_import() -> None:
    """Print time and Python calls to build HRNet-W32, and the import time beside torch alone."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        code = getattr(frame, "f_code")  # noqa: B009
        calls += event == "call" and "pose_backbones" in code.co_filename

    sys.setprofile(count)
    create_model("hrnet_w32")
    sys.setprofile(None)
    build = min(seconds(lambda: create_model("hrnet_w32")) for _ in range(3))
    torch_import = min(import_time("pass", "import torch") for _ in range(5))
    own_import = min(import_time("import torch", "import pose_backbones") for _ in range(5))
    print("| job | figure |\n|---|---|")
    print(f"| build HRNet-W32 | {build:.2f} s, {calls} Python calls into this package |")
    print(f"| import torch | {torch_import:.2f} s of CPU |")
    print(f"| import pose_backbones after it | {own_import:.3f} s of CPU |\n")


def import_time(before: str, code: str) -> float:
    """Return the CPU seconds of a statement in a fresh interpreter, after another statement."""
    clock = "time.process_time()"
    program = f"import time; {before}; t = {clock}; {code}; print({clock} - t)"
    return float(subprocess.check_output([sys.executable, "-c", program], text=True))


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


@torch.inference_mode()
def print_forward(name: str, batch: int, device: str, rounds: int, compiled: bool) -> None:
    """Print one row per variant: milliseconds per image, ratio to eager, difference to eager."""
    width, height = next((w.input_size for w in ZOO.values() if w.model == name), (192, 256))
    torch.manual_seed(0)
    model = create_model(name).to(device).eval()
    spread(model)
    images = torch.randn(batch, 3, height, width, device=device)
    runs = variants(model, images, compiled)
    expected = model(images).heatmaps[-1].float()
    differences = {
        k: (run().heatmaps[-1].float() - expected).abs().max() for k, run in runs.items()
    }
    times: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            times[key].append(seconds(run))
    eager = statistics.median(times["eager"])
    print(f"{name} {width}x{height}, batch {batch}, {device}\n")
    print("| variant | ms per image (median) | speed-up | largest difference |\n|---|---|---|---|")
    for key, values in times.items():
        median = statistics.median(values)
        difference = differences[key] / expected.abs().max()
        print(f"| {key} | {1000 * median / batch:.1f} | {eager / median:.2f} | {difference:.0e} |")
    print()


def spread(model: nn.Module) -> None:
    """Draw weights that keep activations of ordinary size, so that differences mean something."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.1, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def variants(model: nn.Module, images: Tensor, with_compiled: bool) -> dict[str, Run]:
    """Return the ways to run the model, by name; those that need a compiler if asked."""
    last = torch.channels_last
    images_last = images.to(memory_format=last)
    fused = fuse(model)
    fused_last = copy.deepcopy(fused).to(memory_format=last)
    plain_last = copy.deepcopy(model).to(memory_format=last)
    runs: dict[str, Run] = {
        "eager": lambda: model(images),
        "channels_last": lambda: plain_last(images_last),
        "fused": lambda: fused(images),
        "fused, channels_last": lambda: fused_last(images_last),
    }
    half = copy.deepcopy(fused_last).bfloat16()
    images_half = images_last.bfloat16()
    runs["fused, channels_last, bf16"] = lambda: half(images_half)
    if with_compiled:
        compiled = torch.compile(fused_last)
        runs["fused, channels_last, compiled"] = lambda: compiled(images_last)
    if with_compiled and images.is_cuda:
        graphs = torch.compile(copy.deepcopy(half), mode="reduce-overhead")
        runs["fused, channels_last, bf16, CUDA graphs"] = lambda: graphs(images_half)
    return runs


def print_training(name: str, batch: int, rounds: int, compiled: bool) -> None:
    """Print forward and backward on the GPU, fp32 and bf16 autocast, eager and compiled."""
    width, height = next((w.input_size for w in ZOO.values() if w.model == name), (192, 256))
    model = create_model(name).cuda().to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, height, width, device="cuda")
    images = images.to(memory_format=torch.channels_last)
    print(f"{name} {width}x{height}, batch {batch}, forward and backward\n")
    print("| variant | ms per image (median) |\n|---|---|")
    nets = {"eager": model} | ({"compiled": torch.compile(model)} if compiled else {})
    for label, net in nets.items():
        for bf16 in (False, True):

            def step(net: nn.Module = net, bf16: bool = bf16) -> None:
                with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
                    output = net(images)
                torch.stack([m.float().square().mean() for m in output.heatmaps]).sum().backward()

            step()
            median = statistics.median(seconds(step) for _ in range(rounds))
            print(f"| {label}{', bf16' if bf16 else ''} | {1000 * median / batch:.2f} |")
    print()


if __name__ == "__main__":
    main()
