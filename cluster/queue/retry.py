"""When to try again. Pure: policy and attempt in, delay out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart. `attempts` counts the first one too."""

    attempts: int = 3
    first_delay_s: float = 10.0
    factor: float = 4.0
    jitter: float = 0.2


DEFAULT_RETRY = RetryPolicy()


def retry_delay_s(policy: RetryPolicy, attempt: int, chance: float) -> float | None:
    """Seconds until the next attempt after failed attempt number `attempt` (from 1), `None` when it was the last.

    `chance` in [0, 1) spreads the delay by ± `policy.jitter`, so that jobs that failed together do not return together.
    """
    if attempt >= policy.attempts:
        return None
    spread = 1 + policy.jitter * (2 * chance - 1)
    return policy.first_delay_s * policy.factor ** (attempt - 1) * spread
