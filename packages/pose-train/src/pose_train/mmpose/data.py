"""The annotation files, images and boxes of an MMPose config, relative to one root."""

import posixpath
from typing import Any

from pose_train.mmpose.network import is_bottomup
from pose_train.mmpose.values import Theirs, short

Ours = dict[str, Any]
COCO_LIKE = ("CocoDataset", "TopDownCocoDataset", "BottomUpCocoDataset")
AIC = ("AicDataset", "TopDownAicDataset", "BottomUpAicDataset")


def prepare_sets(theirs: Theirs) -> None:
    """Bring the sets of a config into one form: what is tested on, and no wrappers around sets."""
    content = theirs.content
    data: Ours = content["data"] if isinstance(content.get("data"), dict) else {}
    for holder, keys in ((content, ("_dataloader", "_evaluator")), (data, ("", "_dataloader"))):
        for key in keys:
            if not holder.get(f"test{key}") and f"val{key}" in holder:
                holder[f"test{key}"] = holder[f"val{key}"]
    _take_first(theirs, content, "test_evaluator")
    for part in ("train", "test"):
        _take_first(theirs, data, part)
        _take_first(theirs, content.get(f"{part}_dataloader"), "dataset")


def _take_first(theirs: Theirs, holder: Any, key: str) -> None:
    """Replace a list by its first item, and a wrapper around a set by the set."""
    while isinstance(holder, dict):
        inside = holder.get(key)
        if isinstance(inside, list) and inside:
            if inside[1:]:
                theirs.notes.append(f"{key}: {short(inside[0])} is the first of {len(inside)}")
            holder[key] = inside[0]
        elif isinstance(inside, dict) and isinstance(inside.get("dataset"), dict):
            theirs.notes.append(f"{key} = {short(inside)}; here the set in it")
            holder[key] = inside["dataset"]
        else:
            return


def convert_data(theirs: Theirs) -> tuple[Ours, Ours]:
    """Return our section `data`, and what `eval` says of boxes."""
    combined, tested = _set(theirs, "train"), _set(theirs, "test")
    several = theirs.each(f"{combined}.datasets")
    main = several[0] if several else combined
    files = {"train": _files(theirs, main), "val": _files(theirs, tested)}
    while_training = _files(theirs, _set(theirs, "val"))
    if all(while_training) and while_training != files["val"]:
        theirs.notes.append(f"while training, {while_training[0]}; here what is tested on")
    declared = theirs.get(f"{main}.data_root", "data_root", kind=str, default="")
    root = _root([path for pair in files.values() for path in pair if path], declared)
    data: Ours = {"root": root, "warp": "opencv4"}
    is_aic, _ = _is_aic(theirs, main), _is_aic(theirs, tested)
    if is_aic:
        data["format"] = "aic"
    for key, pair in files.items():
        if all(pair):
            data[key] = _below(root, pair)
        else:
            theirs.notes.append(f"nothing says data.{key}: it is as of COCO 2017")
    if several:
        theirs.kind(combined)
        _extra(theirs, data, several, f"{combined}.sample_ratio_factor")
    if is_bottomup(theirs):
        return data, {}
    cfg = "data.test.data_cfg"
    boxes = theirs.get(f"{tested}.bbox_file", f"{cfg}.bbox_file", kind=str)
    filter_1x = f"{tested}.filter_cfg.bbox_score_thr"
    threshold = theirs.get(filter_1x, f"{cfg}.det_bbox_thr", f"{cfg}.image_thr")
    if theirs.get(f"{cfg}.use_gt_bbox") or not boxes:
        return data, {"boxes": "gt"}
    data["detections"] = {"file": _relative(boxes, root)}
    if threshold:
        data["detections"]["score_threshold"] = threshold
    return data, {"boxes": "detections"}


def _set(theirs: Theirs, part: str) -> str:
    path = f"data.{part}"
    return path if theirs.at(path) is not None else f"{part}_dataloader.dataset"


def _is_aic(theirs: Theirs, path: str) -> bool:
    """Tell AIC from COCO; note a set that is neither."""
    name = theirs.kind(path)
    if name and name not in COCO_LIKE + AIC:
        theirs.notes.append(f"{path} = {name}(...); here its annotations must be in COCO's form")
    return name in AIC


def _files(theirs: Theirs, path: str) -> tuple[str, str]:
    """Return the annotation file of a set and the folder of its images, "" for none."""
    root = theirs.get(f"{path}.data_root", kind=str, default="")
    annotations = theirs.get(f"{path}.ann_file", kind=str, default="")
    images = theirs.get(f"{path}.data_prefix.img", f"{path}.img_prefix", kind=str, default="")
    if not annotations:
        return "", ""
    whole = [posixpath.normpath(posixpath.join(root, each)) for each in (annotations, images)]
    return whole[0], whole[1]


def _root(paths: list[str], declared: str) -> str:
    """Return the folder that holds all: the declared one if it does, else the nearest."""
    declared = posixpath.normpath(declared or ".")
    if not paths or all(path.startswith(f"{declared}/") for path in paths):
        return declared
    try:
        return posixpath.commonpath([posixpath.dirname(path) for path in paths]) or "."
    except ValueError:  # absolute ones and others
        return declared


def _relative(path: str, root: str) -> str:
    is_other = posixpath.isabs(path) != posixpath.isabs(root)
    return path if is_other else posixpath.relpath(path, root)


def _below(root: str, files: tuple[str, str]) -> Ours:
    annotations, images = (_relative(path, root) for path in files)
    return {"annotations": annotations, "images": images}


def _extra(theirs: Theirs, data: Ours, paths: list[str], ratio_path: str) -> None:
    """Fill in what is trained on besides the main set, and how keypoints come together."""
    ratios = theirs.get(ratio_path, kind=list, default=[])
    ratios = ratios if len(ratios) == len(paths) else [1.0] * len(paths)
    if ratios[0] != 1:
        data["ratio"] = ratios[0]
    own = _converter(theirs, paths[0])[1]
    for i, path in enumerate(paths[1:], start=1):
        files, is_aic = _files(theirs, path), _is_aic(theirs, path)
        if not all(files):
            continue  # its pieces are left
        root = _root(list(files), theirs.get(f"{path}.data_root", kind=str, default=""))
        extra: Ours = {"root": root, "format": "aic" if is_aic else "coco"}
        extra["train"] = _below(root, files)
        if ratios[i] != 1:
            extra["ratio"] = ratios[i]
        name = theirs.kind(path).removesuffix("Dataset").lower()
        name = name if name.isidentifier() else "set"
        known = data.setdefault("extra", {})
        known[f"{name}_{i}" if name in known else name] = extra
        count, mapping = _converter(theirs, path)
        data["mix"] = "combine" if count > (len(own) or 17) else "merge"
        if not is_aic or mapping != _aic_by_name(data["mix"]):
            theirs.notes.append(f"{path}: keypoints are matched by name here; see data.same")


def _converter(theirs: Theirs, path: str) -> tuple[int, list[Any]]:
    """Return how many keypoints a set gets, and as which of them its own count."""
    for each in theirs.each(f"{path}.pipeline"):
        if theirs.kind(each) == "KeypointConverter":
            count = theirs.get(f"{each}.num_keypoints", kind=int, default=17)
            return count, theirs.get(f"{each}.mapping", kind=list, default=[])
    return 17, []


def _aic_by_name(mix: str) -> list[list[int]]:
    """Return the mapping of AIC's keypoints for which names are enough."""
    from pose_data import AIC, COCO
    from pose_data.combine import union

    target = (union(COCO, AIC) if mix == "combine" else COCO).keypoints
    return [[i, target.index(name)] for i, name in enumerate(AIC.keypoints) if name in target]
