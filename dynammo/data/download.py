"""One file from the internet: checked, and in its place complete or not at all."""

from pathlib import Path

import pooch
import requests

from dynammo.errors import InputError


def fetch(
    url: str,
    known_hash: str,
    path: Path,
    retries: int = 2,
    patience: float = 30,
    folder: str = "DYNAMMO_DATA",
) -> Path:
    """Return `path` once it holds the file with this checksum, downloading it if it is not there.

    Args:
        url: where to download from (http or https).
        known_hash: expected checksum, "md5:..." or "sha256:...", hex.
        path: where the file is or goes; it appears only when complete and right.
        retries: how many times to try again.
        patience: seconds without a byte after which a try is given up.
        folder: the environment variable that can name another folder, for messages.

    Raises:
        InputError: the file there has another checksum, or every try failed.
    """
    kind, _, wanted = known_hash.partition(":")
    called = {"md5": "MD5", "sha256": "SHA-256"}[kind]
    if path.exists():
        try:
            found = pooch.file_hash(path, alg=kind)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}). Check what it is and its permissions."
            ) from error
        if found != wanted:
            raise InputError(
                f"{path} has {called} {found} where {wanted} is expected: it is cut off or another "
                f"version. Delete it to download it again, or set {folder} to another folder."
            )
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {path.parent} cannot be made ({error.strerror}). Set {folder} to a folder "
            "that can be written to."
        ) from error
    # pooch writes to a temporary file and renames it only after the checksum matched.
    place = pooch.create(
        path.parent,
        base_url="",
        registry={path.name: known_hash},
        urls={path.name: url},
        retry_if_failed=retries,
    )
    loader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=patience)
    try:
        place.fetch(path.name, downloader=loader)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; ValueError: checksum
        raise InputError(
            f"{path.name} could not be downloaded ({_reason(error, called)}). Try again, or put "
            f"{path.name} ({called} {wanted}, from {url}) into {path.parent} by hand; {folder} can "
            "name another folder."
        ) from error
    return path


def _reason(error: OSError | ValueError, called: str) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return "no answer from the proxy that HTTP_PROXY or HTTPS_PROXY names: correct or unset it"
    broken = requests.exceptions.ChunkedEncodingError
    if isinstance(error, requests.ConnectionError | requests.Timeout | broken):
        return "no connection, or it broke off or stood still"
    return str(error) if isinstance(error, OSError) else f"the {called} was wrong"
