"""Break files, disks and processes under the commands at random, and see what they make of it.

    ./run faults [--seed S] [--cases 400] [--case N] [--jobs 2] [--short]

A case is a command of `fault_commands.py` and one thing that goes wrong: a file that it reads is
cut, damaged, gone, unreadable, no file, or rewritten meanwhile; a disk is full, a folder closed, a
file in the way; the home cannot be written; the clock goes back; it runs twice at once, or is
killed and started again. Cases of their own kill trainings, their workers and ranks, and downloads
(`fault_kills.py`). Each runs in forked processes, which import nothing, and must come to one of

- fine: what it prints and writes is what it is without the fault,
- error: an exit code of 1 or 2, a message that names the file, and nothing half written;

the others are failures: a traceback, an error that is not clear, lost or wrong data, a hang. Each
is printed with the command that repeats it, with the same choices; where the moment counts, it may
take several tries. The exit code is then 1. A bit that flips in a file without a checksum (JSON,
YAML, images) may change what is computed from it.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fault_commands import COMMANDS, Command, make_kit
from fault_kills import SPECIALS, Verdict, kill_training
from fault_processes import (
    DAMAGES,
    LIMIT,
    Ended,
    clock_goes_back,
    closed_home,
    end_all,
    full_disk,
    limited_files,
    prepare,
    quiet,
    rewrite,
    run_command,
    snapshot,
    start,
    wait,
    without_rights,
)

FAILURES = ("traceback", "unclear", "wrong", "hang", "broken")


# The same bytes, in the file itself or as a new one that takes its name, again and again.
REWRITES = ("rewritten", "replaced")
OUTPUTS = ("full disk", "file limit", "closed folder", "in the way", "full stdout")
RUN_FILES = ("metrics.jsonl", "results.json", "report.html", "checkpoint_best.pth")
SPARED = ("delete", "folder", "link")  # what a command may do without, and say so
RECORDS = ("run/metrics.jsonl", "run/results.json")
OTHERS = ("home", "clock", "twice", "killed")


class Case:
    """One command in a folder of its own, and the outcome without a fault to hold it against."""

    def __init__(self, command: Command, home: Path, kit: Path, rng: random.Random) -> None:
        self.command, self.folder, self.kit, self.rng = command, home, kit, rng
        home.mkdir()
        for name in dict.fromkeys(("data", *command.beside, *command.reads)):
            source, target = kit / name, home / name
            if source.is_dir():
                shutil.copytree(source, target)
            elif not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        (home / "out").mkdir()

    def run(self, *setup: Callable[[], object], stdout: str = "") -> Ended:
        return run_command(self.folder, self.command.words, setup, stdout)

    def found(self) -> dict[str, str]:
        return snapshot(self.folder, self.command)

    def golden(self) -> dict[str, Any]:
        """Return what the command prints and writes without a fault, and its time; kept."""
        kept = self.kit.parent / f"golden-{COMMANDS.index(self.command)}.json"
        if not kept.exists():
            plain = Case(self.command, self.folder.with_name(f"golden-{os.getpid()}"), self.kit,
                         self.rng)  # fmt: skip
            ended = plain.run()
            if ended.code != 0:
                raise RuntimeError(f"{self.command} fails without a fault: {ended.text}")
            written = [p for p in (plain.folder / self.command.target).rglob("*") if p.is_file()]
            largest = max([2000, *(path.stat().st_size for path in written)])
            values = {"out": ended.out, "files": plain.found(), "seconds": ended.seconds}
            values["largest"] = largest
            shutil.rmtree(plain.folder)
            kept.with_suffix(f".{os.getpid()}").write_text(json.dumps(values))
            kept.with_suffix(f".{os.getpid()}").replace(kept)
        return json.loads(kept.read_text())

    def judge(
        self, ended: Ended, names: Sequence[str], may_change: bool = False, lost: str = ""
    ) -> Verdict:
        """Say what an outcome is worth; see verdict_of. lost: a damaged file of a run."""
        golden, files = self.golden(), self.found()
        if lost in RECORDS:
            files.pop("metrics", "")
            golden["files"].pop("metrics")
            if lost == RECORDS[0] and ended.code == 0 and lost not in ended.text:
                return "wrong", f"went on without {lost} and did not say so: {ended.text}"
        rows = self.folder / "out/predictions.json"
        if self.command.words[1] == "predict" and rows.is_file():
            json.loads(rows.read_text())  # with fewer images, it is whole all the same
        return verdict_of(self.command, ended, golden, files, names, may_change)


def verdict_of(
    command: Command,
    ended: Ended,
    golden: dict[str, Any],
    files: dict[str, str],
    names: Sequence[str],
    may_change: bool = False,
) -> Verdict:
    """Hold how a command ended, and the files that it wrote, against what it does without a fault.

    names: of which an error must have one. may_change: what is computed from a damaged file.
    """
    if bad := ended.failure():
        return bad, ended.text
    if ended.code == 0:
        if may_change:
            return "fine", ""
        if files != golden["files"]:
            return "wrong", f"{_differences(files, golden['files'])}\n{ended.text}"
        if command.prints and ended.out != golden["out"]:
            return "wrong", f"{ended.out}\ninstead of\n{golden['out']}"
        return "fine", ""
    if ended.code not in (1, 2) or not any(name in ended.text for name in names):
        return "unclear", f"exit code {ended.code}, without {[*names]}: {ended.text}"
    strange = {
        name: digest for name, digest in files.items() if golden["files"].get(name) != digest
    }
    if strange and not command.may_be_partial and not may_change:
        return "wrong", f"{sorted(strange)} half written; {ended.text}"
    return "error", ended.text


def _differences(files: dict[str, str], golden: dict[str, str]) -> str:
    return f"differing: {sorted(n for n in files | golden if files.get(n) != golden.get(n))}"


def hit_file(case: Case, fault: str) -> Verdict:
    """Damage a file before the command reads it, or while it does."""
    reads = [name for name in case.command.reads if _can_hit(case.command, name, fault)]
    if not reads:
        reads, fault = [*case.command.reads], "cut"
    name = case.rng.choice(reads)
    path, is_sealed = case.folder / name, name in case.command.sealed
    case.golden()
    if fault in DAMAGES:
        DAMAGES[fault](path, case.rng)
        ended = case.run(*((without_rights,) if fault == "closed" else ()))
    else:
        pace, is_renamed = case.rng.uniform(0.0005, 0.01), fault == "replaced"
        other = start(case.folder, lambda: rewrite(path, pace, is_renamed))
        try:
            ended = case.run()
        finally:
            end_all(other)
    # Videos estimate how many frames they have: the last two may be gone without a word.
    has_end = path.suffix not in (".yaml", ".txt", ".csv", ".mkv")
    may_change = (fault == "flip" and not is_sealed) or (fault == "cut" and not has_end)
    names = (Path(name).name, *([Path(name).parent.name] if fault == "delete" else []))
    verdict = case.judge(ended, names, may_change, lost=name)
    is_told = Path(name).name in ended.err or "checkpoint_last.pth" in ended.text
    if verdict[0] == "wrong" and fault in SPARED and path.suffix in (".jpg", ".pth") and is_told:
        return "error", ended.text  # it goes on with the other images, or the last checkpoint
    if fault == "replaced" and verdict[0] == "error":
        return "unclear", f"{name} was always whole: {ended.text}"
    return verdict


def _can_hit(command: Command, name: str, fault: str) -> bool:
    """Tell whether a fault of a file is one: not where the command itself writes the file.

    Nor where an image is taken from a folder of which all images are predicted.
    """
    is_one_less = name.endswith(".jpg") and command.words[1] == "predict"
    if fault in REWRITES:
        return not name.startswith(f"{command.target}/")
    return not (is_one_less and fault in ("folder", "delete"))


def hit_output(case: Case, fault: str) -> Verdict:
    """Keep the command from writing, and then let it."""
    golden, target = case.golden(), case.folder / case.command.target
    names = ("o space left", "ile too large", "ermission denied", "ead-only")
    if fault == "full stdout":
        ended = case.run(stdout="/dev/full")
        if ended.failure() or ended.code not in (0, 1, 2):
            return ended.failure() or "unclear", f"{ended.code}: {ended.text}"
        if ended.code == 0 and not golden["out"]:
            return "fine", ""
        is_told = "o space left" in ended.err
        return "error" if is_told else "unclear", f"{ended.code}: {ended.text}"
    room = case.rng.randrange(1, 1 + int(1.1 * golden["largest"]))
    if fault == "full disk" and case.command.words[1] != "resume":
        with full_disk(target, room) as is_mounted:
            ended = case.run(*(() if is_mounted else (lambda: limited_files(room),)))
            return case.judge(ended, names)
    if fault in ("full disk", "file limit"):
        room = max(room, 4000)  # what is printed goes into a file, too
        ended = case.run(lambda: limited_files(room))
    elif fault == "closed folder":
        target = target if target.is_dir() else target.parent  # of a new run
        target.chmod(0o555)
        ended = case.run(without_rights)
        target.chmod(0o777)
    else:
        name = case.rng.choice(sorted(golden["files"]))
        if case.command.is_run:
            name = f"{case.command.target}/{case.rng.choice(RUN_FILES)}"
            (case.folder / name).unlink(missing_ok=True)
        (case.folder / name).mkdir(parents=True)
        return case.judge(case.run(), (Path(name).name, "out"), may_change=True)
    verdict = case.judge(ended, names)
    if verdict[0] == "error" and case.command.words[1] == "resume":
        return _again(case)
    return verdict


def _again(case: Case) -> Verdict:
    """Start the command again: it ends as if nothing had been, or says that its output is there."""
    ended = case.run()
    if ended.code in (1, 2) and not ended.failure() and _is_there(ended.text):
        missing = case.golden()["files"].items() - case.found().items()
        return ("wrong", f"{sorted(missing)}; {ended.text}") if missing else ("error", ended.text)
    return case.judge(ended, ())


def _is_there(text: str) -> bool:
    return any(words in text for words in ("exists", "already holds", "not an empty directory"))


def disturb(case: Case, fault: str) -> Verdict:
    """Do what is not about one file: the home, the clock, a second process, SIGKILL."""
    golden, command = case.golden(), case.command
    if fault == "home":
        return case.judge(case.run(without_rights, closed_home), ())
    if fault == "clock":
        for path in case.folder.rglob("*"):
            os.utime(path, (time.time() + 90_000,) * 2)
        return case.judge(case.run(clock_goes_back), ())
    if command.is_run and fault == "killed":
        return kill_training(case.folder, case.kit, case.rng)
    if fault == "killed":
        process = start(case.folder, lambda: quiet(command.words))
        time.sleep(case.rng.uniform(0, golden["seconds"]))
        end_all(process)
        half = {n: d for n, d in case.found().items() if golden["files"].get(n, d) != d}
        return ("wrong", f"half written: {sorted(half)}") if half else _again(case)
    other = start(case.folder, lambda: quiet(command.words))
    time.sleep(case.rng.uniform(0, golden["seconds"]) / 4)
    ended = case.run()
    code, bad = wait(other, LIMIT), ended.failure()
    if bad or code is None or code not in (0, 1, 2):
        return bad or "hang", f"the other ended with {code}; {ended.text}"
    if 0 not in (code, ended.code):
        return "unclear", f"both failed: {ended.text}"
    files = case.found()
    if files != golden["files"]:
        return "wrong", f"{_differences(files, golden['files'])}; {ended.text}"
    return ("fine" if ended.code == code == 0 else "error"), ended.text


def faults_of(command: Command) -> list[str]:
    """Return what can go wrong with a command; what it reads comes up most often."""
    reads = [*DAMAGES, *REWRITES] * 2 if command.reads else []
    return [*reads, *(OUTPUTS if command.writes else OUTPUTS[-1:] * 2), *OTHERS]


def try_case(seed: int, number: int, root: Path, is_short: bool) -> tuple[str, Verdict]:
    """Run one case; returns what it was, and what came of it."""
    rng = random.Random(f"{seed}:{number}")
    home = root / f"case-{number}"
    try:
        if not is_short and number % 8 == 7:
            name = list(SPECIALS)[number // 8 % len(SPECIALS)]
            home.mkdir()
            return name, SPECIALS[name](home, root / "kit", rng)
        commands = [each for each in COMMANDS if not (is_short and each.is_long)]
        command = commands[number % len(commands)]
        while command.slow and rng.random() < 0.6:
            command = rng.choice(commands)
        fault = rng.choice(faults_of(command))
        case = Case(command, home, root / "kit", rng)
        if fault in DAMAGES or fault in REWRITES:
            verdict = hit_file(case, fault)
        else:
            verdict = (hit_output if fault in OUTPUTS else disturb)(case, fault)
        return f"{fault}: {command}", verdict
    finally:
        shutil.rmtree(home, ignore_errors=True)


def work(seed: int, numbers: list[int], root: Path, is_short: bool, note: Path) -> None:
    """Run cases one after the other, and write what came of each."""
    for number in numbers:
        begun = time.monotonic()
        try:
            what, (kind, text) = try_case(seed, number, root, is_short)
        except Exception:  # of faults.py itself, or of an outcome that it cannot even look at
            what, kind, text = "?", "broken", traceback.format_exc()
        row = [number, what, kind, text.strip(), round(time.monotonic() - begun, 2)]
        with note.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def main(argv: list[str] | None = None) -> int:
    """Run cases in `--jobs` processes and print the figures; returns 1 for any failure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--case", type=int, help="this one alone, with what it printed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--short", action="store_true", help="quick commands alone")
    parser.add_argument("--log", type=Path, help="write a line of JSON for each case")
    args = parser.parse_args(argv)
    numbers = list(range(args.cases)) if args.case is None else [args.case]
    begun = time.monotonic()
    prepare()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        made = start(root, lambda: make_kit(root / "kit", args.short))
        if wait(made, LIMIT) != 0:
            raise SystemExit(f"the kit was not made: {(root / 'stderr').read_text()[-2000:]}")
        notes = [root / f"notes-{job}" for job in range(args.jobs)]
        jobs = [
            start(root, lambda own=numbers[job :: args.jobs], note=note: work(
                args.seed, own, root, args.short, note), f"job-{job}")
            for job, note in enumerate(notes)
        ]  # fmt: skip
        codes = [wait(job, 3600) for job in jobs]
        lines = [line for note in notes if note.exists() for line in note.open(encoding="utf-8")]
        broken = [
            (root / f"job-{job}.stderr").read_text(errors="replace") for job in range(args.jobs)
        ]
    rows = sorted(map(json.loads, lines))
    if args.log is not None:
        args.log.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    for number, what, kind, text, seconds in rows:
        if kind in FAILURES or args.case is not None:
            print(f"\n{kind}: {what} ({seconds} s)\n  {text[-3000:]}".replace("\n", "\n  "))
            short = " --short" if args.short else ""
            print(f"again with: ./run faults --seed {args.seed} --case {number}{short}")
    counts = Counter(kind for _, _, kind, _, _ in rows)
    print(
        f"{len(rows)} cases with seed {args.seed} in {time.monotonic() - begun:.0f} s: "
        f"{counts['fine']} ended as without a fault, {counts['error']} with a clear error; "
        f"{counts['traceback']} tracebacks, {counts['unclear']} unclear errors, {counts['wrong']} "
        f"with lost or wrong data, {counts['hang']} hangs"
    )
    if any(codes):
        print("\n".join(broken))
    return int(any(codes) or len(rows) < len(numbers) or any(counts[kind] for kind in FAILURES))


if __name__ == "__main__":
    sys.exit(main())
