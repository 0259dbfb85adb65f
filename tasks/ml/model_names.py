"""How models are called: by Immich's names, which are also those of their folders."""

import re

FOLDER_NAME = re.compile(r"(?!\.)[\w.+-]+")


def clean_name(name: str) -> str:
    """A model's name as Immich reads it: `org/name` is `name`, and `:` counts as `_`."""
    return name.rpartition("/")[2].replace(":", "_")
