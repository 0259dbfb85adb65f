"""What we change of Serve's configuration of HAProxy."""

from importlib.metadata import distribution
from pathlib import Path

from cluster.ray_proxy import DEFAULTS, NOT_FOUND, NOT_NOW, TELL_WHOM, changed

SERVES_OWN = Path(str(distribution("ray").locate_file("ray/serve/_private/haproxy_templates.py")))


def test_serve_still_words_its_configuration_as_we_expect() -> None:
    assert SERVES_OWN.read_text().count(NOT_FOUND) == 1
    assert SERVES_OWN.read_text().count(DEFAULTS) == 1


def test_nothing_is_changed_but_that_answer_and_the_forwarded_address() -> None:
    template = SERVES_OWN.read_text()
    first, second = changed(template).split(TELL_WHOM)
    assert first.endswith(DEFAULTS)
    before, after = template.split(NOT_FOUND)
    assert first + second == before + NOT_NOW + after
