"""The command line, as `python -m sbgm`."""

