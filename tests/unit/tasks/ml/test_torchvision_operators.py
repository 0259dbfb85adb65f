"""torchvision's wheel beside a torch for CPUs; in a process of its own, since an import happens once."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")

IMPORT = """
from tasks.ml.torchvision_operators import define_missing_operators
define_missing_operators()
define_missing_operators()
import torchvision, open_clip
print(open_clip.__version__)
"""


def test_torchvision_and_open_clip_can_be_imported() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
