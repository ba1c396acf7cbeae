"""Fetch a data set into the data folder, checked by its checksums; what is there and whole is not fetched again."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from sbgm.data import NAMES

    parser.add_argument("name", metavar="NAME", choices=NAMES, help=f"one of {', '.join(NAMES)}")


def run(options: argparse.Namespace) -> int:
    """Download, and say where the data are."""
    from sbgm.data import data_folder
    from sbgm.train.downloads import download

    download(options.name)
    print(f"{options.name} is at hand; downloads are kept in {data_folder()}")
    return 0
