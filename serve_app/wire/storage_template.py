"""What an admin may put into a storage template, in Immich's spelling. Source: spec/jobs-media.md §6."""

from cluster.storage import template
from serve_app.wire.common import Wire


class StorageTemplateOptions(Wire):
    """Tokens by what they tell, and whole templates to choose from."""

    year_options: list[str]
    month_options: list[str]
    week_options: list[str]
    day_options: list[str]
    hour_options: list[str]
    minute_options: list[str]
    second_options: list[str]
    preset_options: list[str]


STORAGE_TEMPLATE_OPTIONS = StorageTemplateOptions(
    year_options=list(template.YEARS),
    month_options=list(template.MONTHS),
    week_options=list(template.WEEKS),
    day_options=list(template.DAYS),
    hour_options=list(template.HOURS),
    minute_options=list(template.MINUTES),
    second_options=list(template.SECONDS),
    preset_options=list(template.PRESETS),
)
