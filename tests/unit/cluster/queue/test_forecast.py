"""How long a queue will still take."""

import random

import pytest

from cluster.queue.forecast import Price, price_of, seconds_left, seconds_of_work, work_ms


def test_a_price_grows_with_the_file_as_it_was_measured() -> None:
    chance = random.Random(1)
    sizes = [chance.uniform(1, 20) for _ in range(100)]
    price = price_of([(size, 80 + 25 * size + chance.uniform(-5, 5)) for size in sizes])
    assert price is not None
    assert price.base_ms == pytest.approx(80, abs=3)
    assert price.per_megabyte_ms == pytest.approx(25, abs=0.5)


def test_few_or_equal_files_have_the_mean() -> None:
    assert price_of([]) is None
    assert price_of([(1.0, 10.0), (2.0, 30.0)]) == Price(20.0)
    assert price_of([(3.0, float(ms)) for ms in range(10)]) == Price(4.5)


@pytest.mark.parametrize(
    "measured", [[(float(n), 100.0 - n) for n in range(10)], [(float(n), 9.0 * n - 9) for n in range(10)]]
)
def test_no_part_of_a_price_is_negative(measured: list[tuple[float, float]]) -> None:
    price = price_of(measured)
    assert price is not None
    assert min(price.base_ms, price.per_megabyte_ms) >= 0
    assert price.of(4.5) == pytest.approx(sum(ms for _, ms in measured) / 10)


def test_a_line_is_worth_what_its_jobs_are() -> None:
    prices = {"a": Price(10.0, 2.0)}
    assert work_ms([("a", 5.0), ("a", 0.0), ("b", 9.0)], prices, usual_ms=7.0) == 20 + 10 + 7


def test_what_is_left_is_the_line_by_the_speed() -> None:
    # ten sampled jobs of a second each stand for a hundred; two run, half done; two workers
    work_s = seconds_of_work(10_000, sampled=10, waiting=100, active=2)
    assert work_s == pytest.approx(101)
    assert seconds_left(work_s, speed=2.0) == pytest.approx(50.5)
    assert seconds_left(work_s, speed=0.0) is None
    assert seconds_of_work(0.0, sampled=0, waiting=5, active=0) == 0.0
