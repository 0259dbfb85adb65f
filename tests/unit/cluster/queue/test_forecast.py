"""How long a queue will still take."""

import random

import pytest

from cluster.queue.forecast import Price, Prices, price_of, seconds_left, work_s


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


def test_photos_and_videos_have_each_their_price() -> None:
    prices = Prices({("a", False): Price(10.0, 2.0), ("a", True): Price(500.0)}, usual_ms=7.0)
    assert prices.of("a", False, 5.0) == 20
    assert prices.of("a", True, 5.0) == 500
    assert prices.of("b", False, 9.0) == 7


def test_what_is_left_is_the_line_by_the_speed() -> None:
    # a hundred jobs of a second each; two run, half done; two workers
    work = work_s(1000, waiting=100, active=2)
    assert work == pytest.approx(101)
    assert seconds_left(work, speed=2.0) == pytest.approx(50.5)
    assert seconds_left(work, speed=0.0) is None
