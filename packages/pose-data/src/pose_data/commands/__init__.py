"""The commands of `pose-data`, one file each.

A file has HELP (a sentence), EXAMPLES (lines below the help), `add_arguments(parser)` and
`run(args) -> exit code`. All are imported for any help: only `run` imports what takes time.
"""
