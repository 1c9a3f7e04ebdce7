"""One file from the internet: checked, and in its place complete or not at all."""

from pathlib import Path

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

    The file appears only when complete and right. `known_hash` is "md5:..." or "sha256:...", hex;
    a try is given up after `patience` seconds without a byte; `folder` is the environment variable
    that can name another folder, for messages. InputError if the file there has another
    checksum, or every try failed.
    """
    import pooch  # when there is something to fetch: in a notebook it asks for widgets

    kind, _, wanted = known_hash.partition(":")
    called = {"md5": "MD5", "sha256": "SHA-256"}[kind]
    # pooch writes to a temporary file and renames it only after the checksum matched.
    registry, urls = {path.name: known_hash}, {path.name: url}
    place = pooch.create(path.parent, "", registry=registry, urls=urls, retry_if_failed=retries)
    loader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=patience)
    try:
        if not path.exists():
            return Path(place.fetch(path.name, downloader=loader))
        found = pooch.file_hash(path, alg=kind)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; ValueError: checksum
        raise InputError(
            f"{path.name} could not be read or downloaded ({_reason(error, called)}). Try again, "
            f"or put {path.name} ({called} {wanted}, from {url}) into {path.parent} by hand; "
            f"{folder} can name another folder."
        ) from error
    if found != wanted:
        raise InputError(
            f"{path} has {called} {found} where {wanted} is expected: it is cut off or another "
            f"version. Delete it to download it again, or set {folder} to another folder."
        )
    return path


def _reason(error: OSError | ValueError, called: str) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return "no answer from the proxy that HTTP_PROXY or HTTPS_PROXY names: correct or unset it"
    broken = requests.exceptions.ChunkedEncodingError
    if isinstance(error, requests.ConnectionError | requests.Timeout | broken):
        return "no connection, or it broke off or stood still"
    return str(error) if isinstance(error, OSError) else f"the {called} was wrong"
