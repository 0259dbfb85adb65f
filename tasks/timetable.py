"""What runs nightly and by cron, as a value: the scheduler asks each entry once a minute.

Source: spec/pipeline.md §8, §9. It is empty while the jobs that the nightly run and the crons start stand in
`jobs/not_implemented.py`.
"""

from cluster.loops.scheduler import TimetableEntry

TIMETABLE: tuple[TimetableEntry, ...] = ()
