"""The study's archives, for the tests of its pages."""

import pytest
from helpers_for_study import STUDY

from dynammo.run.archive import unpack


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """The study's archives, each unpacked into a folder of its own."""
    folder = tmp_path_factory.mktemp("archives")
    for path in STUDY.glob("*.tar.xz"):
        unpack(path, folder / path.name.removesuffix(".tar.xz"))
    return folder
