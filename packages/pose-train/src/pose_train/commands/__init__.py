"""The commands: one file each, with `main(args) -> exit code` and all that only this command does.

What a command takes stands in `arguments.py`. Two commands that share their work share a file.
"""
