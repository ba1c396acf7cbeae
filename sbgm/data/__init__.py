"""Images as float tensors in [0, 1], their labels, and what the paper does to them before training.

Some sets ship with this project or with scikit-learn; the others are read from `data_folder()`, where `download` puts
them. What comes from where, and under what terms, is in `data/README.md`.
"""

from sbgm.data.folder import DataNotFoundError, cache_folder, data_folder
from sbgm.data.loading import LABELLED, NAMES, SPLITS, download, is_available, load_images, load_labels
from sbgm.data.preprocessing import dequantise, random_flip

__all__ = [
    "LABELLED",
    "NAMES",
    "SPLITS",
    "DataNotFoundError",
    "cache_folder",
    "data_folder",
    "dequantise",
    "download",
    "is_available",
    "load_images",
    "load_labels",
    "random_flip",
]
