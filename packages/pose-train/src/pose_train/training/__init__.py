"""Training: the loop, and what it needs besides a recipe.

`loop.py` is the loop, written out. What prepares a network for it is in `prepare.py`, what changes
weights in `optim.py`, what survives a crash in `checkpoints.py`, what a run writes in `run_dir.py`.
`check.py` looks at a config before it runs; `bench.py` and `suite.py` measure its speed, and
`parity.py` how far a device is from stored numbers of the reference implementations.
"""
