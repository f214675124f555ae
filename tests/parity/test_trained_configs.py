"""The configs in checkpoints that MMPose saved: `init --from-mmpose` as typed, then `test`.

The networks are those of test_trained.py, and so is what a test must give: MMPose's rows and ten
numbers, to which a project.yaml written by hand comes, too.
"""

from pathlib import Path

import pytest
from test_trained import (
    compare,
    find_data,
    forms_of,
    networks,
    protocols_of,
    words_of,
)
from typed_commands import typed

from pose_train.__main__ import main as pose_train
from pose_train.config.load import load_config


def typed_init(capsys: pytest.CaptureFixture[str], form: Path) -> str:
    """Type `pose-train init`; skips where the checkpoint carries no config."""
    capsys.readouterr()
    code = pose_train(["init", "--from-mmpose", str(form)])
    printed, error = capsys.readouterr()
    if code and "has no config in it" in error:
        pytest.skip(f"{form.name} has no config in it")
    assert code == 0, error
    return printed


@networks
def test_the_config_of_a_checkpoint(
    network: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
) -> None:
    """Each form with some protocol; other scales and boxes are words of the command alone."""
    forms, known = forms_of(network), protocols_of(network)
    protocols = [protocol for protocol in ("det", "ss", "gt", "ms") if protocol in known]
    if not protocols:
        pytest.skip(f"no results and no numbers in {network.name} among these reference numbers")
    monkeypatch.chdir(network)
    project = load_config("project.yaml")
    seen: list[str] = []
    yaml, out = tmp_path / "mine.yaml", tmp_path / "results.json"
    for i, form in enumerate(forms):
        protocol = protocols[i % len(protocols)]
        with subtests.test(f"{protocol} of {form.name}"):
            yaml.write_text(typed_init(capsys, form), encoding="utf-8")
            annotations = find_data(project, words_of(protocol))
            words = ["--data-root", str(project.data.root), *words_of(protocol)]
            ours = typed(capsys, yaml, Path(form.name), annotations, out, *words)
            seen += compare(ours, network, protocol, in_order=project.recipe == "topdown")
    print(*seen, sep="\n")  # pytest -rP shows it
