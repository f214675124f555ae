"""Model names and options."""

import pytest
import torch

import pose_backbones
from pose_backbones import create_model, list_models, model_options
from pose_backbones.models import FAMILIES, SIZES

TINY = {"width": 4, "stem_channels": 4, "num_modules": (1, 1, 1), "num_blocks": 1}


def test_the_list_of_names_is_complete():
    assert list_models() == sorted(FAMILIES.keys() | SIZES.keys())


def test_list_models_filters():
    names = ["hrnet_w32", "hrnet_w32_ae", "hrnet_w48", "hrnet_w48_ae"]
    assert list_models("hrnet_w*") == list_models("HRNet_W*") == names


def test_unknown_names_get_close_ones():
    with pytest.raises(ValueError, match="unknown model 'hrnet_w23'; did you mean hrnet_w32"):
        create_model("hrnet_w23")
    with pytest.raises(ValueError, match="unknown option of hrnet 'widht'; did you mean width"):
        create_model("hrnet", widht=8)
    with pytest.raises(ValueError, match=r"unknown option of cpm 'keypoints'; .*num_keypoints"):
        create_model("cpm", keypoints=8)
    with pytest.raises(ValueError, match="unknown option of hrnet_w32 'width'"):
        create_model("hrnet_w32", width=8)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        create_model("hrnet", num_keypoints=0)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("HRNet_W32", "hrnet_w32"),
        ("HRNet-W48-AE", "hrnet_w48_ae"),
        ("Higher HRNet", "higherhrnet"),
        ("higher_hrnet_w32", "higherhrnet_w32"),
        ("Hourglass-52", "hourglass52"),
        ("CPM", "cpm"),
    ],
)
def test_other_spellings(spelling, name):
    with torch.device("meta"):
        ours, theirs = (create_model(each, num_keypoints=3) for each in (name, spelling))
    assert repr(theirs) == repr(ours)
    assert theirs.num_keypoints == 3


@pytest.mark.parametrize("name", list_models())
def test_every_model_tells_its_number_of_keypoints(name):
    with torch.device("meta"):
        assert create_model(name, 5).num_keypoints == 5


def test_words_of_timm():
    for options, words in (
        ({"pretrained": True}, "weights='hrnet_w32_coco_aic_merge_256x192' or .*download=True"),
        ({"features_only": True}, r"create_model\('hrnet_w32'\)\.backbone"),
        ({"num_classes": 9}, "write num_keypoints"),
        ({"in_chans": 1}, "write in_channels"),
    ):
        with pytest.raises(ValueError, match=words):
            create_model("HRNet-W32", **options)
    with pytest.raises(ValueError, match=r"write weights='FILE\.pth';"):  # none are published
        create_model("hrnet_w48_ae", pretrained=True)


def test_options_are_those_that_create_model_takes():
    assert model_options("hrnet_w32_ae") == {
        "tag_per_keypoint": True,
        "in_channels": 3,
        "grad_checkpoint": False,
    }
    with torch.device("meta"):
        for name in list_models():
            create_model(name, **model_options(name))


def test_the_functions_of_their_names():
    with torch.device("meta"):
        model = pose_backbones.hrnet(9, **TINY)
        assert pose_backbones.HigherHRNet(4, 7, num_modules=(1, 1, 1)).num_keypoints == 7
    assert model.num_keypoints == 9
    assert all(callable(getattr(pose_backbones, name)) for name in list_models())
