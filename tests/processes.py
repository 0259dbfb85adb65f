"""What several test processes (`-n`) agree on: who runs what, and that figures are printed at the end as from one."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.figures import FIGURES

WITH_RAY = ("tests/e2e/", "tests/ray/")


class RayInOne(LoadScopeScheduling):
    """One process alone runs what starts Ray: whole servers, by turns, on ports of their own. The rest goes to whoever
    is free. (xdist's own groups are not seen by pytest 9.)"""

    def _split_scope(self, nodeid: str) -> str:
        return "ray" if nodeid.startswith(WITH_RAY) else nodeid


class SeveralProcesses:
    """A plugin for pytest."""

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> RayInOne:
        return RayInOne(config, log)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["figures"] = FIGURES

    def pytest_testnodedown(self, node: Any) -> None:
        FIGURES.extend(getattr(node, "workeroutput", {}).get("figures", []))
