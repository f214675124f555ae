"""Model names and options."""

import pytest

from pose_backbones import create_model, list_models


def test_list_models_filters():
    assert list_models("hrnet_w*") == ["hrnet_w32", "hrnet_w32_ae", "hrnet_w48", "hrnet_w48_ae"]


def test_unknown_names_get_close_ones():
    with pytest.raises(ValueError, match="unknown model 'hrnet_w23'; did you mean hrnet_w32"):
        create_model("hrnet_w23")
    with pytest.raises(ValueError, match="unknown option of hrnet 'widht'; did you mean width"):
        create_model("hrnet", widht=8)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        create_model("hrnet", num_keypoints=0)
