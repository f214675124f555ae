"""The commands of `pose-data`, one file each: HELP, add_arguments(parser) and run(args)."""
