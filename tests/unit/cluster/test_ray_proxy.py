"""What we change of Serve's configuration of HAProxy."""

from importlib.metadata import distribution
from pathlib import Path

from cluster.ray_proxy import (
    DEFAULTS,
    FRONT_RULES,
    METRICS_EVERYWHERE,
    METRICS_HERE,
    NOT_FOUND,
    NOT_NOW,
    READ_NOT_AHEAD,
    STATS_EVERYWHERE,
    STATS_HERE,
    TELL_WHOM,
    changed,
)

SERVES_OWN = Path(str(distribution("ray").locate_file("ray/serve/_private/haproxy_templates.py")))


def test_serve_still_words_its_configuration_as_we_expect() -> None:
    assert SERVES_OWN.read_text().count(NOT_FOUND) == 1
    assert SERVES_OWN.read_text().count(DEFAULTS) == 1
    assert SERVES_OWN.read_text().count(FRONT_RULES) == 1
    assert SERVES_OWN.read_text().count(METRICS_EVERYWHERE) == 1
    assert SERVES_OWN.read_text().count(STATS_EVERYWHERE) == 1
    header = READ_NOT_AHEAD.split()[2]
    assert f'"{header}"' in SERVES_OWN.with_name("constants.py").read_text()


def test_nothing_is_changed_but_these_four() -> None:
    template = SERVES_OWN.read_text()
    ours = changed(template).replace(METRICS_HERE, METRICS_EVERYWHERE).replace(STATS_HERE, STATS_EVERYWHERE)
    first, second = ours.replace(READ_NOT_AHEAD, "", 1).split(TELL_WHOM)
    assert FRONT_RULES + READ_NOT_AHEAD in changed(template)
    assert first.endswith(DEFAULTS)
    before, after = template.split(NOT_FOUND)
    assert first + second == before + NOT_NOW + after
