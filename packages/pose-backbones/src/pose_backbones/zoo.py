"""Published weights as data: which file is which model, and what its authors measured with it.

AP and AR are on COCO val2017 with flip test, as published; top-down with the person detections of
AP 56.4. They are quoted, not measured here.
"""

from dataclasses import dataclass

MMPOSE = "https://download.openmmlab.com/mmpose/"
LICENCE = "Apache-2.0 (MMPose); trained on COCO, whose images have licences of their own"
LICENCE_AIC = LICENCE + "; and on AI Challenger, for research only"


@dataclass(frozen=True)
class Weights:
    """Describe one published file. `input_size` is (w, h); `ap_multi_scale` is at [2, 1, 0.5]."""

    model: str
    input_size: tuple[int, int]
    path: str
    ap: float
    ar: float
    ap_multi_scale: float | None = None
    ar_multi_scale: float | None = None
    num_keypoints: int = 17
    licence: str = LICENCE
    source: str = MMPOSE

    @property
    def file(self) -> str:
        """Return the file's name without the folders of its server."""
        return self.path.rpartition("/")[2]

    @property
    def sha256_prefix(self) -> str:
        """Return the first 8 hexadecimal digits of the file's SHA-256, which its name carries."""
        return self.file.rpartition("_")[0].rpartition("-")[2]


AIC = "v1/body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192-"

ZOO: dict[str, Weights] = {
    "hourglass52_coco_256x256": Weights(
        "hourglass52",
        (256, 256),
        "top_down/hourglass/hourglass52_coco_256x256-4ec713ba_20200709.pth",
        ap=0.726,
        ar=0.780,
    ),
    "hourglass52_coco_384x384": Weights(
        "hourglass52",
        (384, 384),
        "top_down/hourglass/hourglass52_coco_384x384-be91ba2b_20200812.pth",
        ap=0.746,
        ar=0.797,
    ),
    "hrnet_w32_coco_aic_merge_256x192": Weights(
        "hrnet_w32",
        (192, 256),
        AIC + "merge-b05435b9_20221025.pth",
        ap=0.757,
        ar=0.809,
        licence=LICENCE_AIC,
    ),
    "hrnet_w32_coco_aic_combine_256x192": Weights(
        "hrnet_w32",
        (192, 256),
        AIC + "combine-4ce66880_20221026.pth",
        ap=0.756,
        ar=0.807,
        num_keypoints=19,
        licence=LICENCE_AIC,
    ),
    "cpm_coco_256x192": Weights(
        "cpm",
        (192, 256),
        "top_down/cpm/cpm_coco_256x192-aa4ba095_20200817.pth",
        ap=0.623,
        ar=0.685,
    ),
    "cpm_coco_384x288": Weights(
        "cpm",
        (288, 384),
        "top_down/cpm/cpm_coco_384x288-80feb4bc_20200821.pth",
        ap=0.650,
        ar=0.707,
    ),
    "higherhrnet_w32_coco_512x512": Weights(
        "higherhrnet_w32",
        (512, 512),
        "bottom_up/higher_hrnet32_coco_512x512-8ae85183_20200713.pth",
        ap=0.677,
        ar=0.723,
        ap_multi_scale=0.706,
        ar_multi_scale=0.747,
    ),
    "higherhrnet_w32_coco_640x640": Weights(
        "higherhrnet_w32",
        (640, 640),
        "bottom_up/higher_hrnet32_coco_640x640-a22fe938_20200712.pth",
        ap=0.686,
        ar=0.733,
        ap_multi_scale=0.706,
        ar_multi_scale=0.749,
    ),
    "higherhrnet_w48_coco_512x512": Weights(
        "higherhrnet_w48",
        (512, 512),
        "bottom_up/higher_hrnet48_coco_512x512-60fedcbc_20200712.pth",
        ap=0.686,
        ar=0.731,
        ap_multi_scale=0.716,
        ar_multi_scale=0.755,
    ),
}
