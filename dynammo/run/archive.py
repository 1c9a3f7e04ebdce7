"""What a run's methods answered, image by image, as one file to publish.

``python -m dynammo.run.archive RUN FILE`` packs the records and predictions of every session, and
no weights: all tables, intervals and figures come from these. With ``--unpack`` they are put into a
run's folder again, beside what is there, so that a run may be made on several machines.
"""

from __future__ import annotations

import argparse
import io
import lzma
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dynammo.data.files import entry_point, write_whole
from dynammo.errors import InputError

OF_A_SESSION = ("session.json", "predictions.npz", "measured.json")
SESSIONS = "order*-seed*/**/session*/session.json"  # not those that a killed job left half done
OF_A_RUN = ("settings.json", "provenance.json", "data/stream.json")


def pack(run: Path, path: Path) -> Path:
    """Write a run's records and predictions as a ``.tar.xz``: same bytes for the same run.

    Raises:
        InputError: there is no finished session in the run.
    """
    records = sorted(run.glob(SESSIONS))
    if not records:
        raise InputError(f"There is no finished session in {run}: name a run's folder.")
    files = [one.parent / name for one in records for name in OF_A_SESSION]
    files = [run / name for name in OF_A_RUN if (run / name).exists()] + files

    def write(part: Path) -> None:
        with tarfile.open(part, "w:xz", preset=9) as archive:
            for file in files:
                content = file.read_bytes()
                entry = tarfile.TarInfo(file.relative_to(run).as_posix())
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))

    return write_whole(path, write)


def unpack(path: Path, run: Path) -> list[Path]:
    """Put an archive's sessions into a run's folder, for :func:`dynammo.run.collect.collect`.

    A series of sessions that the run has of its own stays as it is, whole: two machines' sessions
    are not mixed. The run's own files (settings, provenance) are taken where it has none.

    Returns:
        The folders of the sessions that were new.

    Raises:
        InputError: no such archive, or a file that is none of a run's.
    """
    run.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".part", f".{path.name}.", run) as part:
        try:
            with tarfile.open(path, "r:xz") as archive:
                for entry in archive:
                    if Path(entry.name).name not in OF_A_SESSION and entry.name not in OF_A_RUN:
                        raise InputError(f"{path} is no archive of a run: it has {entry.name}.")
                    archive.extract(entry, part, filter="data")
        except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
            raise InputError(f"{path} cannot be unpacked ({error}).") from error
        for name in OF_A_RUN:
            _move(Path(part, name), run / name)
        series: dict[Path, list[Path]] = {}
        for record in sorted(Path(part).glob(SESSIONS)):
            series.setdefault(record.parents[1], []).append(record.parent)
        new = []
        for sessions in series.values():
            places = [run / session.relative_to(part) for session in sessions]
            if all(map(_fits, sessions, places)):
                moved = zip(sessions, places, strict=True)
                new += [place for session, place in moved if _move(session, place)]
        return new


def _fits(session: Path, place: Path) -> bool:
    """Whether no session is in a place, or this one."""
    ours, theirs = session / "session.json", place / "session.json"
    return not theirs.exists() or theirs.read_bytes() == ours.read_bytes()


def _move(source: Path, place: Path) -> bool:
    """Move a file or a folder where nothing is; whether it was moved."""
    if place.exists() or not source.exists():
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    source.replace(place)
    return True


@entry_point
def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m dynammo.run.archive", description=__doc__)
    parser.add_argument("run", type=Path, help="a run's folder, such as runs/demo")
    parser.add_argument("file", type=Path, help="the archive, such as demo.tar.xz")
    parser.add_argument("--unpack", action="store_true", help="from the file into the folder")
    options = parser.parse_args(arguments)
    if options.unpack:
        print(f"{len(unpack(options.file, options.run))} sessions are new in {options.run}.")
    else:
        path = pack(options.run, options.file)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
