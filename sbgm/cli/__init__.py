"""The commands of `python -m sbgm`: each module adds its arguments, runs, and may print."""
