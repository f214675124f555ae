"""Using a network: images to people, and sets of images to result rows.

A file belongs here if prediction needs it. `network.py` says what a network is to all others; one
file for each way to run it (`forward.py` torch, `onnx.py` onnxruntime) and for each kind of network
(`topdown.py`, `bottomup.py`); `detect.py` finds the boxes for top-down ones. What torch does not
run imports no torch, and nothing here imports `training/`.
"""
