"""The command line: one table of options, and what each command does."""
