"""Networks that MMPose trained, saved and tested, as they are typed: its files in, its rows out.

Below `trained/`, each folder with a project.yaml is a network. Its weights lie there in one or more
forms, all of the same numbers; results_PROTOCOL.keypoints.json and stats_PROTOCOL.json are what
MMPose made of them. `pose-train test project.yaml --weights FORM`, typed in that folder, must write
the same rows and come to the same ten numbers.

The committed subset holds no pictures and, for want of room, no weights: of a network it has the
forms with counted numbers in place of the weights (FORM.counted.pth.xz), and rows with their
numbers.
"""

import json
import lzma
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reference import FOLDER, found, read
from typed_commands import Outcome, Stats, as_published, evaluated, typed

from pose_train.config.load import load_config
from pose_train.config.schema import Config
from pose_train.inference.load import load_trained

PIXELS, SCORES, NUMBERS = 1e-2, 1e-4, 1e-4
# What the name of a protocol stands for; those of bottom-up networks are the scales.
PROTOCOLS = {
    "gt": ["eval.boxes=gt"],
    "det": ["eval.boxes=detections"],
    "ss": ["eval.multi_scale=[1.0]"],
    "ms": ["--multi-scale"],
}
# Bottom-up, distances of tags are rounded, and where two are as good the last digits of the maps
# decide: of so many rows one may differ, and one of fewer.
ROWS_PER_TIE = 300

Row = dict[str, Any]
Rows = Sequence[Row]
networks = pytest.mark.parametrize(
    "network",
    [
        pytest.param(file.parent, id=file.parent.name)
        for file in sorted((FOLDER / "trained").glob("*/project.yaml"))
    ]
    or [pytest.param(None, id="none", marks=pytest.mark.skip(reason="no trained/*/project.yaml"))],
)


def forms_of(network: Path) -> list[Path]:
    """Return the files of weights of a network."""
    forms = sorted(f for f in network.iterdir() if f.suffix in (".pth", ".pt", ".safetensors"))
    if not forms:
        pytest.skip(f"no weights in {network.relative_to(FOLDER)} among these reference numbers")
    return forms


def protocols_of(network: Path) -> list[str]:
    """Return the protocols of which there are rows or numbers."""
    files = [*network.glob("results_*.keypoints.json"), *network.glob("stats_*.json")]
    return sorted({file.name.partition(".")[0].partition("_")[2] for file in files})


def files_of(network: Path, protocol: str) -> tuple[Path, Path]:
    """Return the files of MMPose's rows and numbers; one of them may be missing."""
    names = f"results_{protocol}.keypoints.json", f"stats_{protocol}.json"
    return network / names[0], network / names[1]


def annotations_of(config: Config) -> Path:
    """Return the annotation file of a project, as its config names it."""
    return found(Path(config.data.root or "", config.data.val.annotations))


def find_data(config: Config, words: list[str]) -> Path:
    """Return the annotation file of a test, whose pictures and detections must be there, too."""
    data, annotations = config.data, annotations_of(config)
    root = Path(data.root or "")
    if "eval.boxes=detections" in words:
        found(root / (data.detections.file or "no data.detections.file"))
    for image in json.loads(annotations.read_text())["images"]:
        found(root / data.val.images / image["file_name"])
    return annotations


@networks
def test_forms_hold_the_same(
    network: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    forms = forms_of(network)
    monkeypatch.chdir(network)
    states = {}
    for form in forms:
        with subtests.test(form.name):
            net = load_trained("project.yaml", weights=form.name, device="cpu").net
            states[form] = net.state_dict()
            first = next(iter(states.values()))
            assert states[form].keys() == first.keys()
            assert all(torch.equal(tensor, first[name]) for name, tensor in states[form].items())


def test_counted_forms(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """The files as MMPose writes them, all numbers of whose weights follow from name and place."""
    forms = sorted((FOLDER / "trained").glob("*/*.counted.pth.xz"))
    if not forms:
        pytest.skip("no trained/*/*.counted.pth.xz among these reference numbers")
    file = tmp_path / "weights.pth"
    for form in forms:
        with subtests.test(f"{form.parent.name}/{form.name}"):
            file.write_bytes(lzma.decompress(form.read_bytes()))
            project = found(form.with_name("project.yaml"))
            state = load_trained(project, weights=file, device="cpu").net.state_dict()
            floats = {name: each for name, each in state.items() if each.is_floating_point()}
            for name, tensor in floats.items():
                places = torch.arange(tensor.numel()).reshape(tensor.shape)
                expected = zlib.crc32(name.encode()) % 1000 + places % 64 / 64
                assert torch.equal(tensor, expected), name
            assert {int(each) for name, each in state.items() if name not in floats} != {0}


@networks
def test_the_command(
    network: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
) -> None:
    """Each protocol with some form and each form with some protocol: the forms hold the same."""
    forms, protocols = forms_of(network), protocols_of(network)
    if not protocols:
        pytest.skip(f"no results and no numbers in {network.name} among these reference numbers")
    monkeypatch.chdir(network)
    out, seen = tmp_path / "results.json", []
    for form, protocol in pairs_of(forms, protocols):
        with subtests.test(f"{protocol} of {form.name}"):
            words, config = words_of(protocol), load_config("project.yaml")
            annotations = find_data(config, words)
            ours = typed(capsys, "project.yaml", Path(form.name), annotations, out, *words)
            seen += compare(ours, network, protocol, in_order=config.recipe == "topdown")
    print(*seen, sep="\n")  # pytest -rP shows it


def compare(ours: Outcome, network: Path, protocol: str, *, in_order: bool) -> list[str]:
    """Compare rows and numbers with those of MMPose that there are; say how near they are."""
    (results, stats), seen = files_of(network, protocol), []
    if results.is_file():
        seen.append(f"{protocol}: {check_rows(ours.rows, read(results), in_order)}")
    if stats.is_file():
        seen.append(f"{protocol}: {check_numbers(ours.stats, read(stats)['stats'])}")
    return seen


def pairs_of(forms: list[Path], protocols: list[str]) -> list[tuple[Path, str]]:
    """Pair each form with some protocol that is known here, and each protocol with some form."""
    known = [protocol for protocol in protocols if protocol in PROTOCOLS]
    count = max(len(forms), len(known)) if known else 0
    pairs = [(forms[i % len(forms)], known[i % len(known)]) for i in range(count)]
    return pairs + [(forms[0], protocol) for protocol in protocols if protocol not in known]


def words_of(protocol: str) -> list[str]:
    """Return what makes `pose-train test` follow a protocol; skips one that is not known here."""
    if protocol not in PROTOCOLS:
        pytest.skip(f"protocol {protocol} is none of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]


def check_rows(ours: Rows, theirs: Rows, in_order: bool) -> str:
    """Compare rows one by one, or each with one of its picture but for a few; say how near."""
    if in_order:
        assert [place(row) for row in ours] == [place(row) for row in theirs]
        pairs = list(zip(ours, theirs, strict=True))
    else:
        pairs = partners(ours, theirs)
    alone = max(len(ours), len(theirs)) - len(pairs)
    assert alone <= max(1, len(theirs) // ROWS_PER_TIE), f"{alone} rows have no partner"
    pixels, scores = apart(*zip(*pairs, strict=True))
    assert pixels <= PIXELS
    assert scores <= SCORES
    return f"{len(pairs)} of {len(theirs)} rows, to {pixels:.2g} px and {scores:.2g} in scores"


def place(row: Row) -> tuple[int, int]:
    return row["image_id"], row["category_id"]


def partners(ours: Rows, theirs: Rows) -> list[tuple[Row, Row]]:
    """Return the pairs of rows that are the same, of the same picture; they must be in order."""
    pairs, taken = [], []
    left = defaultdict(list)
    for i, row in enumerate(ours):
        left[place(row)].append(i)
    for row in theirs:
        for i in left[place(row)]:
            pixels, scores = apart([ours[i]], [row])
            if pixels <= PIXELS and scores <= SCORES:
                left[place(row)].remove(i)
                taken.append(i)
                pairs.append((ours[i], row))
                break
    assert taken == sorted(taken), "the rows are in another order"
    return pairs


def apart(ours: Sequence[Row], theirs: Sequence[Row]) -> tuple[float, float]:
    """Return by how much keypoints differ at most, in pixels, and scores, theirs and the rows'."""
    points = differences(ours, theirs, "keypoints").reshape(len(ours), -1, 3)  # (N, K, 3)
    scores = differences(ours, theirs, "score")
    return float(points[..., :2].max()), float(max(points[..., 2].max(), scores.max()))


def differences(ours: Sequence[Row], theirs: Sequence[Row], key: str) -> NDArray[np.float64]:
    return np.abs(np.subtract([row[key] for row in ours], [row[key] for row in theirs]))


def check_numbers(ours: Stats, theirs: dict[str, float]) -> str:
    """Compare ten numbers; say how near they are."""
    wanted = [theirs[name] for name in ours]
    furthest = float(np.abs(np.subtract(as_published(ours), wanted)).max())
    assert furthest <= NUMBERS
    return f"{len(wanted)} numbers to {furthest:.2g}"


@networks
def test_numbers_of_their_rows(
    network: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
) -> None:
    """From MMPose's rows its ten numbers, exactly: no picture and no network is needed."""
    monkeypatch.chdir(network)
    for protocol in protocols_of(network):
        with subtests.test(protocol):
            results, stats = files_of(network, protocol)
            theirs = read(stats)["stats"]
            annotations = annotations_of(load_config("project.yaml"))
            ours = evaluated(capsys, found(results), annotations)
            assert as_published(ours) == pytest.approx([theirs[n] for n in ours], abs=1e-9)
