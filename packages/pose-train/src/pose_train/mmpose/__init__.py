"""MMPose's configs in our words: what `init --from-mmpose` reads, one concern per file.

`text` reads a config without running it, `values` keeps count of what of it was asked for;
`network`, `recipe`, `schedule` and `data` ask for what they know, and `convert` writes the YAML.
"""
