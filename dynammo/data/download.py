"""One file from the internet: checked, and in its place complete or not at all."""

import time
from pathlib import Path

import pooch
import requests

from dynammo.errors import InputError


def fetch(
    url: str, md5: str, path: Path, attempts: int = 3, pause: float = 2.0, patience: float = 30
) -> Path:
    """Return `path` once it holds the file with this MD5, downloading it if it is not there.

    Args:
        url: where to download from (http or https).
        md5: expected MD5 of the file, hex.
        path: where the file is or goes; it appears only when complete and right.
        attempts: how many times to try.
        pause: seconds between tries.
        patience: seconds without a byte after which a try is given up.

    Raises:
        InputError: the file there has another MD5, or every try failed.
    """
    by_hand = f"put {path.name} (MD5 {md5}, from {url}) into {path.parent}"
    if path.exists():
        try:
            found = pooch.file_hash(path, alg="md5")
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}). Check what it is and its permissions."
            ) from error
        if found != md5:
            raise InputError(
                f"{path} has MD5 {found} where {md5} is expected: it is cut off or another "
                "version. Delete it to download it again, or set DYNAMMO_DATA to another folder."
            )
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The data folder {path.parent} cannot be made ({error.strerror}). Set DYNAMMO_DATA to "
            "a folder that can be written to."
        ) from error
    tries_left = attempts
    while True:
        try:
            # pooch writes to a temporary file and renames it only after the checksum matched.
            pooch.retrieve(
                url,
                known_hash=f"md5:{md5}",
                fname=path.name,
                path=path.parent,
                downloader=pooch.HTTPDownloader(
                    progressbar=True, chunk_size=2**16, timeout=patience
                ),
            )
            return path
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; ValueError: MD5
            tries_left -= 1
            if tries_left < 1:
                reason = _reason(error)
                raise InputError(
                    f"{path.name} could not be downloaded ({reason}). Try again, or {by_hand} by "
                    "hand; DYNAMMO_DATA can name another folder."
                ) from error
        time.sleep(pause)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return "no answer from the proxy that HTTP_PROXY or HTTPS_PROXY names: correct or unset it"
    broken = requests.exceptions.ChunkedEncodingError
    if isinstance(error, requests.ConnectionError | requests.Timeout | broken):
        return "no connection, or it broke off or stood still"
    return str(error) if isinstance(error, OSError) else "the MD5 was wrong"
