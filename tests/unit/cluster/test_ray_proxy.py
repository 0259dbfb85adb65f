"""What HAProxy answers while no replica lives."""

from importlib.metadata import distribution
from pathlib import Path

from cluster.ray_proxy import NOT_FOUND, NOT_NOW, say_unavailable

SERVES_OWN = Path(str(distribution("ray").locate_file("ray/serve/_private/haproxy_templates.py")))


def test_serve_still_words_its_answer_as_we_expect() -> None:
    assert SERVES_OWN.read_text().count(NOT_FOUND) == 1


def test_only_the_status_of_that_answer_is_changed() -> None:
    template = SERVES_OWN.read_text()
    before, after = template.split(NOT_FOUND)
    assert say_unavailable(template) == before + NOT_NOW + after
