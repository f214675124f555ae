"""What `convert --to` writes against the reference: the names and shapes its own networks have.

The files themselves are tested in pose-backbones; here it is the names of whole networks, which
hold no numbers.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from reference import FOLDER, read
from rule_weights import model_for

from pose_backbones.checkpoint import their_name, to_our_names

Shapes = dict[str, tuple[int, ...]]


def manifests() -> Iterator[tuple[str, str, bool, list[Any] | None]]:
    """Yield a name, the format, whether the network makes tags, and [name, shape] of each entry."""
    for path in sorted((FOLDER / "topdown" / "manifests").glob("*.json")):
        kind = "mmpose-0.x" if path.stem.startswith("v0_") else "mmpose-1.x"
        yield path.stem, kind, False, read(path).get("state_dict")
    for name, manifest in read("bottomup/manifests.json")["models"].items():
        yield name, "mmpose-0.x", True, manifest.get("state_dict")
    for name, key_map in read("bottomup/official_key_map.json")["models"].items():
        mapping = key_map.get("mapping_official_to_mmpose", "none")
        if not isinstance(mapping, str):  # "identical to" another entry
            is_higher = any(official.startswith("final_layers.") for official, _, _ in mapping)
            kind = "official-higherhrnet" if is_higher else "official-hrnet"
            yield name, kind, True, [(official, shape) for official, _, shape in mapping]


def test_converted_names_and_shapes(subtests: pytest.Subtests) -> None:
    for name, kind, tags, entries in manifests():
        with subtests.test(name, kind=kind), torch.device("meta"):
            if entries is None:
                pytest.skip("its state_dict is not among these reference numbers")
            theirs: Shapes = {key: tuple(shape) for key, shape in entries}
            state = {key: torch.empty(shape) for key, shape in theirs.items()}
            net = model_for(to_our_names(state, {})[1], tags=tags)
            ours = {their_name(kind, key): tuple(t.shape) for key, t in net.state_dict().items()}
            assert ours == theirs
