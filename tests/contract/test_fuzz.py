"""Whatever is sent to whatever route, the answer is no 500: schemathesis makes requests up from the app's own
description, right ones and wrong ones.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from tests.api_stack import ApiStack, api_stack

EXAMPLES = 4
"""Of each kind, for each route."""
QUIETLY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[ApiStack]:
    (tmp_path / "media").mkdir()
    with api_stack(f"sqlite:///{tmp_path / 'heliostat.db'}", tmp_path / "media") as made:
        yield made


@pytest.mark.timeout(400)
def test_no_request_breaks_the_server(stack: ApiStack, report: Callable[[str], None]) -> None:
    described = schemathesis.openapi.from_asgi("/api/openapi.json", stack.app)
    broken: list[str] = []
    answers: Counter[int] = Counter()
    routes = 0

    def send(case: Any) -> None:
        answer = case.call(headers=headers)
        answers[answer.status_code] += 1
        if answer.status_code >= 500 and answer.status_code not in (501, 503):
            broken.append(f"{answer.status_code}: {case.as_curl_command()[:400]}")

    for number, found in enumerate(described.get_all_operations()):
        operation = found.ok()
        # a new admin for each: what was sent before may have taken its rights away
        headers = stack.add_person(f"admin{number}", is_admin=True).headers
        routes += 1
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                QUIETLY(given(case=operation.as_strategy(generation_mode=mode))(send))()
            except Exception as error:
                if "Unsatisfiable" not in type(error).__name__:
                    raise
    report(f"made-up requests to {routes} routes, by status: {dict(sorted(answers.items()))}")
    assert broken == [], "\n".join(broken)
