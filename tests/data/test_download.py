"""Downloads from a server on this machine, which stands in for the internet."""

import hashlib

import pytest
from helpers import md5, write

from dynammo.data.download import fetch
from dynammo.errors import InputError

NOUGHTS = "md5:" + 32 * "0"  # no file's


@pytest.fixture
def home(tmp_path):
    """A folder for data that is not there yet."""
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Seconds waited between tries; not really waited."""
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_fetch_downloads_once(server, home, kind):
    server.files["/x.bin"] = b"x" * 200_000
    known_hash = f"{kind}:{hashlib.new(kind, server.files['/x.bin']).hexdigest()}"
    for _ in range(2):
        path = fetch(f"{server.url}/x.bin", known_hash, home / "sub" / "x.bin")
        assert path.read_bytes() == server.files["/x.bin"]
    assert server.asked == ["/x.bin"]
    assert [file.name for file in path.parent.iterdir()] == ["x.bin"]


def test_fetch_tries_again(server, home, waits):
    server.files["/flaky"] = b"content"
    fetch(f"{server.url}/flaky", f"md5:{md5(b'content')}", home / "x.bin")
    assert server.asked == ["/flaky", "/flaky"]
    assert waits == [1]
    assert (home / "x.bin").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        ("/other", "the MD5 was wrong"),
        ("/none", "404"),
        ("/cut", "broke off"),
        ("/stall", "stood still"),
    ],
)
def test_failed_download_leaves_nothing_and_tells_how_to_do_it_by_hand(server, home, page, wrong):
    whole = b"right" * 100_000
    server.files |= {"/other": b"another version", "/cut": whole, "/stall": whole}
    expected = md5(whole)
    with pytest.raises(InputError) as refusal:
        url, known_hash = f"{server.url}{page}", f"md5:{expected}"
        fetch(url, known_hash, home / "x.bin", retries=1, patience=0.5)
    assert server.asked == [page, page]
    for told in (wrong, "x.bin", f"{server.url}{page}", str(home), expected):
        assert told in str(refusal.value)
    assert list(home.iterdir()) == []


def test_no_connection_is_one_clear_error(home, no_proxies, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(InputError, match=r"no connection.*put x.bin .*by hand"):
        fetch("http://127.0.0.1:9/x.bin", NOUGHTS, home / "x.bin", retries=1)
    assert list(home.iterdir()) == []


def test_a_proxy_that_does_not_answer_is_named(home, no_proxies, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"proxy that HTTP_PROXY.*put x.bin .*by hand"):
        fetch("http://somewhere.invalid/x.bin", NOUGHTS, home / "x.bin", retries=0)


def test_file_with_another_checksum_is_refused_and_kept(home):
    mine = write(home / "x.bin", b"mine")
    with pytest.raises(InputError, match="Delete it") as refusal:
        fetch("http://127.0.0.1:9/x.bin", NOUGHTS, mine)
    for told in (str(mine), md5(b"mine"), "0" * 32, "DYNAMMO_DATA"):
        assert told in str(refusal.value)
    assert mine.read_bytes() == b"mine"


def test_data_folder_that_cannot_be_made(home):
    write(home, b"a file where the folder should be")
    with pytest.raises(InputError, match="DYNAMMO_DATA can name another"):
        fetch("http://127.0.0.1:9/x.bin", NOUGHTS, home / "sub" / "x.bin")
