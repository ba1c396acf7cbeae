"""The commands of `sbgm`, `python -m sbgm`: each is a program that is read from top to bottom."""
