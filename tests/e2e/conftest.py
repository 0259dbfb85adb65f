"""One real server for the whole run, since a start takes long; what the tests measured is told at the end."""

from collections.abc import Iterator

import pytest

from tests.e2e.real_stack import RealStack, real_stack
from tests.figures import FIGURES
from tests.programs import program


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    """A running server on SQLite, signed in as its admin. Its stop is judged after the last test."""
    program("exiftool")
    with real_stack(3411, tmp_path_factory.mktemp("stack")) as running:
        running.sign_in()
        FIGURES.append(f"start to first ping: {running.started_s:.1f} s")
        yield running
        code, seconds = running.stop()
        assert code == 0, running.log[-3000:]
        FIGURES.append(f"clean stop: {seconds:.1f} s")
