"""Folders of pictures by class: a folder for each class, with its name."""

import os
from pathlib import Path

import numpy as np

from qsnn.model.arrays import DataError
from qsnn.model.files import said
from qsnn.model.pictures import open_picture, resized

__all__ = ["PICTURES", "class_folders", "read_pictures_by_class"]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
MAX_PIXELS = 1 << 29  # of all pictures


def class_folders(folder, suffixes):
    """Class and file of all with one of these suffixes, the first of each class, then the second
    and so on; and how many other files there are."""
    try:
        inside = sorted(path for path in Path(folder).iterdir()
                        if path.is_dir() and path.name[0] != ".")
        files = {path.name: sorted(file for file in path.iterdir() if file.name[0] != ".")
                 for path in inside}
    except OSError as error:
        raise DataError(said(error)) from None
    if not files:
        raise DataError(f"{folder}: no folders in it: give each class a folder with its name, "
                        "and its pictures inside")
    chosen = {name: [file for file in found if file.suffix.lower() in suffixes]
              for name, found in files.items()}
    for name, found in chosen.items():
        if not found:
            raise DataError(f"{os.path.join(folder, name)}: nothing inside that is a "
                            f"{', '.join(suffix[1:] for suffix in suffixes)}: fill or remove it")
    turns = sorted((turn, name, file) for name, found in chosen.items()
                   for turn, file in enumerate(found))
    return [turn[1:] for turn in turns], sum(map(len, files.values())) - len(turns)


def read_pictures_by_class(folder, image=None):
    """Pictures uint8 [N, H, W, 3], the names of their classes [N], and what is to be said.

    image: height and width that all are resized to, or None: all must be as large as the first.
    """
    files, others = class_folders(folder, PICTURES)
    pixels, labels, size, first = [], [], image and tuple(image[:2]), None
    for name, path in files:
        picture = open_picture(path, lambda text: None)
        if size is None:
            size, first = (picture.height, picture.width), path
        if (picture.height, picture.width) != size:
            if not image:
                raise DataError(f"{path} has {picture.width} x {picture.height} pixels, {first}"
                                f" {size[1]} x {size[0]}: pictures of one size are needed, or "
                                "say --image 32x32, and all are resized")
            picture = resized(picture, size)
        if (len(pixels) + 1) * size[0] * size[1] * 3 > MAX_PIXELS:
            raise DataError(f"{folder}: more than {MAX_PIXELS // 3:,} pixels in all: say "
                            "--image 32x32, and all pictures are resized")
        pixels.append(np.asarray(picture, np.uint8))
        labels.append(name)
    left = [f"{others} other files are left out"] if others else []
    return np.stack(pixels), labels, left
