from . import downloads as downloads
