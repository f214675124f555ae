"""Foreign names, other numbers of keypoints, what does not fit; converting."""

import pytest
import torch
from safetensors import safe_open

from pose_backbones import (
    CheckpointError,
    HRNet,
    convert,
    create_model,
    load_checkpoint,
)
from pose_backbones.__main__ import main

SMALL = {"width": 8, "stem_channels": 8, "num_modules": (1, 1, 1), "num_blocks": 1}


def small(num_keypoints=17):
    return create_model("hrnet", num_keypoints=num_keypoints, **SMALL)


def save(folder, state, **more):
    path = folder / "weights.pth"
    torch.save({"state_dict": state, **more} if more else state, path)
    return path


def renamed(model, old, new):
    return {
        name.replace(old, new, 1) if name.startswith(old) else name: tensor
        for name, tensor in model.state_dict().items()
    }


def assert_loaded(model, source):
    expected = source.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "rename", "more"),
    [
        ("pose-backbones", lambda m: m.state_dict(), {}),
        ("mmpose-1.x", lambda m: m.state_dict(), {"meta": {"mmpose_version": "1.3.2"}}),
        ("mmpose-0.x", lambda m: renamed(m, "head.", "keypoint_head."), {"meta": {}}),
        ("mmpose-0.x", lambda m: renamed(m, "head.", "keypoint_head."), {}),
        (
            "official-hrnet",
            lambda m: {n.split(".", 1)[1]: t for n, t in m.state_dict().items()},
            {},
        ),
        (
            "official-hrnet",
            lambda m: {"module." + n.split(".", 1)[1]: t for n, t in m.state_dict().items()},
            {"epoch": 3},
        ),
    ],
)
def test_formats_are_told_by_their_names(tmp_path, kind, rename, more):
    source, model = small(), small()
    report = load_checkpoint(model, save(tmp_path, rename(source), **more))
    assert report.format == kind
    assert str(
        report
    ) == f"{kind}: {len(source.state_dict())} matched, 0 missing, 0 unexpected, " + ("0 misshaped")
    assert_loaded(model, source)


def test_imagenet_files_load_into_the_backbone(tmp_path):
    # Like a classifier's: all four outputs of the last module, and layers behind it.
    source = HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1, multi_scale=True)
    state = source.state_dict()
    state |= {"incre_modules.0.0.conv1.weight": torch.ones(1), "classifier.weight": torch.ones(1)}
    path = save(tmp_path, state)
    model, head = small(), small().head.state_dict()
    model.head.load_state_dict(head)
    report = load_checkpoint(model, path)
    assert report.format == "imagenet-hrnet"
    assert report.missing == ["head.final_layer.weight", "head.final_layer.bias"]
    assert torch.equal(model.backbone.conv1.weight, source.conv1.weight)
    assert torch.equal(model.head.final_layer.weight, head["final_layer.weight"])

    bare = HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1, multi_scale=True)
    assert load_checkpoint(bare, path).missing == []
    assert_loaded(bare, source)
    single = HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1)
    assert load_checkpoint(single, path).unexpected == []


def test_a_pose_file_loads_into_a_bare_backbone(tmp_path):
    source = small()
    bare = HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1)
    load_checkpoint(bare, save(tmp_path, source.state_dict()))
    assert_loaded(bare, source.backbone)


def test_another_number_of_keypoints_needs_reinit_head(tmp_path):
    source, model = small(17), small(5)
    path = save(tmp_path, source.state_dict())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"another number of keypoints.*reinit_head=True"):
        load_checkpoint(model, path)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    report = load_checkpoint(model, path, reinit_head=True)
    assert report.misshaped == ["head.final_layer.weight", "head.final_layer.bias"]
    assert torch.equal(model.backbone.conv1.weight, source.backbone.conv1.weight)
    assert torch.equal(model.head.final_layer.weight, before["head.final_layer.weight"])


@pytest.mark.parametrize("name", ["cpm", "hourglass_ae", "higherhrnet_w32", "hourglass52"])
def test_every_layer_that_depends_on_keypoints_is_known(name):
    from pose_backbones.checkpoint import keypoint_layers

    with torch.device("meta"):
        a, b = (create_model(name, num_keypoints=k).state_dict() for k in (17, 5))
        pattern = keypoint_layers(create_model(name))
    differ = [key for key in a if a[key].shape != b[key].shape]
    assert differ
    assert [key for key in differ if not pattern.match(key)] == []


def test_what_does_not_fit_is_an_error_that_names_it(tmp_path):
    wide = create_model("hrnet", **{**SMALL, "width": 16})
    with pytest.raises(CheckpointError, match=r"for another model; shapes: file \d+ \(backbone\."):
        load_checkpoint(small(), save(tmp_path, wide.state_dict()), reinit_head=True)
    state = small().state_dict()
    del state["backbone.conv1.weight"]
    with pytest.raises(CheckpointError, match=r"lacks 1 \(backbone\.conv1\.weight\)"):
        load_checkpoint(small(), save(tmp_path, state))
    state = {**small().state_dict(), "backbone.extra": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"1 \(backbone\.extra\) are unknown"):
        load_checkpoint(small(), save(tmp_path, state))


def test_files_without_batch_counters_load(tmp_path):
    source = small()
    state = {n: t for n, t in source.state_dict().items() if "num_batches" not in n}
    model = small()
    load_checkpoint(model, save(tmp_path, state))
    assert torch.equal(model.backbone.conv1.weight, source.backbone.conv1.weight)


def test_create_model_takes_a_path(tmp_path):
    source = small()
    path = save(tmp_path, source.state_dict())
    assert_loaded(create_model("hrnet", weights=path, **SMALL), source)


def test_convert_writes_a_clean_file(tmp_path, capsys):
    source = create_model("hrnet_w32", num_keypoints=19)
    state = renamed(source, "head.", "keypoint_head.")
    path = save(tmp_path, state, meta={"config": "x"}, optimizer={"lr": 1})
    target = tmp_path / "out.safetensors"
    assert main(["convert", str(path), str(target), "--input-size", "192x256"]) == 0
    assert "model: hrnet_w32" in capsys.readouterr().out
    with safe_open(target, framework="pt") as file:
        metadata = file.metadata()
    assert len(metadata.pop("source_sha256")) == 64
    assert metadata == {
        "format": "pose-backbones",
        "model": "hrnet_w32",
        "num_keypoints": "19",
        "input_size": "192x256",
        "source": "weights.pth",
    }
    model = create_model("hrnet_w32", num_keypoints=19, weights=target)
    assert_loaded(model, source)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.safetensors", "weights.pth"]
    assert main(["info", str(target)]) == 0
    assert "hrnet_w32 with 19 keypoints" in capsys.readouterr().out


def test_convert_asks_where_shapes_cannot_tell(tmp_path):
    with torch.device("meta"):
        shapes = create_model("hrnet_w32_ae").state_dict()
    state = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in shapes.items()}
    path = save(tmp_path, state)
    with pytest.raises(CheckpointError, match="could be hrnet_w32, hrnet_w32_ae; name one"):
        convert(path, tmp_path / "out.safetensors")
    metadata = convert(path, tmp_path / "out.safetensors", model="hrnet_w32_ae")
    assert metadata["num_keypoints"] == "17"
    with pytest.raises(CheckpointError, match="is for no such model"):
        convert(save(tmp_path, {"a": torch.ones(1)}), tmp_path / "out.safetensors")
