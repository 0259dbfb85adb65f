"""How long a queue will still take."""

import random

import pytest

from cluster.queue.forecast import Ends, Line, Price, Prices, price_of, rates_of, whole_left_s, work_s


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
    work = work_s(1000, 100, 1000, 2)
    assert work == pytest.approx(101)
    assert Line(work, speed=2.0, active=2, at_once=3).seconds_left == pytest.approx(50.5)
    assert Line(work, speed=0.0, active=0, at_once=3).seconds_left is None
    assert Line(None, speed=2.0, active=2, at_once=3).seconds_left is None


def test_what_waits_and_what_is_at_work_are_priced_apart() -> None:
    assert work_s(100, 10, 5000, 2) == 6
    assert work_s(100, 10, 5000, 2, done=0.0) == 11


def test_while_nothing_ended_each_job_at_work_is_a_worker() -> None:
    assert Line(60.0, speed=0.0, active=2, at_once=3).seconds_left == 30
    assert Line(60.0, speed=0.0, active=24, at_once=3).seconds_left == 20


def test_a_long_job_that_ended_makes_nobody_faster() -> None:
    # a film of ten minutes ended within the last twenty seconds
    assert Line(600.0, speed=30.0, active=1, at_once=1).seconds_left == 600
    assert whole_left_s([Line(600.0, 30.0, 1, 1), Line(60.0, 1.0, 1, 1)], 31.0) == 600


def looks(*ends: tuple[float, int, int]) -> list[Ends]:
    return [Ends(*one) for one in ends]


def test_a_rate_is_measured_from_one_end_to_another() -> None:
    # a job of four seconds after another; the next is under way
    seen = looks((0, 0, 0), (4, 1, 4000), (8, 2, 8000), (11, 2, 8000))
    assert rates_of(seen) == pytest.approx((0.25, 1.0))
    assert rates_of(seen[:1]) == (0.0, 0.0)
    assert rates_of(looks((0, 5, 100), (9, 5, 100))) == (0.0, 0.0)


def test_a_rate_falls_when_nothing_ends_for_longer_than_a_job_takes() -> None:
    seen = looks((0, 0, 0), (4, 1, 4000), (8, 2, 8000), (20, 2, 8000))
    assert rates_of(seen) == pytest.approx((1 / 12, 4 / 12))


def test_what_ended_at_one_time_alone_is_measured_from_the_first_look() -> None:
    assert rates_of(looks((0, 0, 0), (10, 20, 10_000))) == pytest.approx((2.0, 1.0))


def test_all_lines_take_their_work_by_the_speed_of_all_workers() -> None:
    lines = [Line(60.0, 1.2, 3, 3), Line(20.0, 0.3, 2, 5), Line(0.0, 0.0, 0, 1)]
    assert whole_left_s(lines, 2.0) == 40  # a third line is through, but who worked there helps
    assert whole_left_s([*lines, Line(None, 0.0, 0, 1)], 2.0) is None


def test_no_line_is_through_before_its_own_work() -> None:
    # films are encoded one by one, and photos end long before
    assert whole_left_s([Line(10.0, 1.5, 3, 3), Line(50.0, 0.0, 1, 1)], 1.5) == 50


def test_the_whole_begins_by_the_jobs_at_work() -> None:
    lines = [Line(60.0, 0.0, 24, 3), Line(9.0, 0.15, 1, 5)]
    assert whole_left_s(lines, 0.15) == 23
    assert whole_left_s([Line(60.0, 0.0, 0, 3)], 0.0) is None
