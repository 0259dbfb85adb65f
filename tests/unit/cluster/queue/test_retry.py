"""When to try again."""

import pytest

from cluster.queue.retry import DEFAULT_RETRY, RetryPolicy, retry_delay_s

MIDDLE = 0.5


@pytest.mark.parametrize(("attempt", "delay_s"), [(1, 10), (2, 40), (3, None), (4, None)])
def test_by_default_three_attempts_ten_seconds_and_four_times_that_apart(attempt: int, delay_s: float | None) -> None:
    assert retry_delay_s(DEFAULT_RETRY, attempt, MIDDLE) == delay_s


def test_chance_spreads_the_delay_by_the_jitter() -> None:
    policy = RetryPolicy(attempts=2, first_delay_s=100, jitter=0.2)
    assert retry_delay_s(policy, 1, 0.0) == pytest.approx(80)
    assert retry_delay_s(policy, 1, 0.999_999) == pytest.approx(120, abs=0.01)


def test_a_policy_of_one_attempt_never_retries() -> None:
    assert retry_delay_s(RetryPolicy(attempts=1), 1, MIDDLE) is None
