"""Hours of the day in which a queue starts nothing, such as 22:00-06:00. Pure: the time comes in as an argument."""

import re
from dataclasses import dataclass
from datetime import datetime, time

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `begin` to before `end`; over midnight where `end` is the earlier."""

    begin: time
    end: time

    def hold(self, local: datetime) -> bool:
        """Whether they hold at this time, which is in the server's zone."""
        now = local.time().replace(tzinfo=None)
        if self.begin < self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end

    def reason(self, local: datetime) -> str:
        """Why a queue waits at this time; empty when it need not."""
        return f"quiet hours until {self.end:%H:%M} ({self})" if self.hold(local) else ""

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"


def parse_quiet_hours(text: str) -> QuietHours:
    """Raises ValueError for anything but `HH:MM-HH:MM` of two different times."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError(f"Quiet hours are written HH:MM-HH:MM, not {text}")
    hours = QuietHours(time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4])))
    if hours.begin == hours.end:
        raise ValueError("Quiet hours end when they begin: pause the queue instead")
    return hours
