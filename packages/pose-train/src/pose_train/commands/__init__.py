"""The commands of `pose-train`, one file each.

A file has HELP (a sentence), EXAMPLES (lines below the help), `add_arguments(parser)` and
`run(args) -> exit code`. All are imported for any help: only `run` imports what takes time, and
does no more than to turn words into a call and to print what comes of it. What several commands
take is in `options.py`.
"""
