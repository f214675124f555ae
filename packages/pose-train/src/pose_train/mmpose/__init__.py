"""MMPose's configs in our keys: what `init --from-mmpose` reads.

`text` reads a config without running it, `source` looks values up and keeps count of those that
were used, `network` and `recipe` convert them, and `convert` writes the YAML.
"""
