"""The set-up: which PIL is imported, what the pinned lists hold, and what the set-up script says and passes on."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import PIL
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import features

from tests.shared_media import REPOSITORY
from tests.test_architecture import imports_of

PINNED_LISTS = ("requirements.txt", "requirements-ml.txt", "requirements-dev.txt")
EXTRAS = {"requirements.txt": (), "requirements-ml.txt": ("ml",), "requirements-dev.txt": ("ml", "dev")}
NO_HASH = {"torch", "torchvision"}
"""Their builds for CPUs and for CUDA are one version and differ in their hashes."""
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def pins(list_name: str) -> dict[str, Requirement]:
    lines = (REPOSITORY / list_name).read_text().splitlines()
    requirements = [Requirement(line.removesuffix("\\").strip()) for line in lines if line[:1].isalnum()]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def run_in_setup(script: str, repository: Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run bash `script` with the functions of the set-up script loaded and nothing of it started."""
    source = f"source {shlex.quote(str(repository / 'cluster' / 'setup.sh'))}; {script}"
    clean = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(["bash", "-c", source], env=clean, capture_output=True, text=True, check=False)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="pillow-simd is for x86-64")
def test_pil_is_pillow_simd() -> None:
    assert ".post" in PIL.__version__
    assert packages_distributions()["PIL"] == ["pillow-simd"]


@pytest.mark.parametrize(
    "feature", ["jpg", "libjpeg_turbo", "zlib", "libtiff", "freetype2", "littlecms2", "webp", "jpg_2000", "raqm"]
)
def test_pil_was_built_with(feature: str) -> None:
    assert features.check(feature)


@pytest.mark.parametrize("list_name", PINNED_LISTS)
def test_pinned_list_holds_every_direct_dependency_within_its_bounds(list_name: str) -> None:
    wanted = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    for extra in EXTRAS[list_name]:
        wanted += [Requirement(text) for text in PROJECT["project"]["optional-dependencies"][extra]]
    pinned = pins(list_name)
    for requirement in wanted:
        version = str(pinned[canonicalize_name(requirement.name)].specifier).removeprefix("==")
        assert requirement.specifier.contains(version), f"{requirement}: run `make lock`"


@pytest.mark.parametrize(
    ("folders", "extras"), [(("cluster", "tasks", "serve_app"), ("ml", "openvino")), (("tests",), ("dev", "ml"))]
)
def test_every_library_that_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    texts = [*PROJECT["project"]["dependencies"]]
    for extra in extras:
        texts += PROJECT["project"]["optional-dependencies"][extra]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    files = [file for folder in folders for file in (REPOSITORY / folder).rglob("*.py")]
    imported = {used.module.partition(".")[0] for file in files for used in imports_of(file, REPOSITORY)}
    ours = {"cluster", "tasks", "serve_app", "tests", "bench"}
    brought_by = packages_distributions()
    undeclared = {
        module
        for module in imported - set(sys.stdlib_module_names) - ours
        if not declared & {canonicalize_name(name) for name in brought_by.get(module, [module])}
    }
    assert undeclared == set()


@pytest.mark.parametrize("list_name", ["requirements.txt", "requirements-ml.txt"])
def test_tests_run_on_the_versions_that_users_get(list_name: str) -> None:
    tested = pins("requirements-dev.txt")
    assert {name: str(pin) for name, pin in pins(list_name).items()}.items() <= {
        name: str(pin) for name, pin in tested.items()
    }.items()


@pytest.mark.parametrize("list_name", PINNED_LISTS)
def test_pinned_list_brings_no_second_pil_or_opencv_and_no_cuda(list_name: str) -> None:
    on_intel = {"platform_machine": "x86_64", "sys_platform": "linux", "python_version": "3.11"}
    brought = {name for name, pin in pins(list_name).items() if pin.marker is None or pin.marker.evaluate(on_intel)}
    assert "pillow-simd" in brought
    assert not brought & {"pillow", "opencv-python", "opencv-contrib-python"}
    assert not [name for name in pins(list_name) if name.startswith(("nvidia", "cuda", "triton"))]


def test_nodes_without_machine_learning_get_no_torch() -> None:
    assert not pins("requirements.txt").keys() & {"torch", "torchvision", "open-clip-torch", "onnxruntime"}


@pytest.mark.parametrize("list_name", PINNED_LISTS)
def test_pinned_list_has_hashes_and_no_addresses(list_name: str) -> None:
    text = (REPOSITORY / list_name).read_text()
    assert "make lock" in text[:200]
    blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]
    unhashed = tuple(f"{name}==" for name in NO_HASH)
    assert [
        block.split()[0] for block in blocks if "--hash=sha256:" not in block and not block.startswith(unhashed)
    ] == []
    assert re.findall(r"https?://\S+|file:\S+|--(?:extra-)?index-url|--find-links", text) == []


def test_the_clients_lock_has_hashes_and_no_addresses() -> None:
    text = (REPOSITORY / "tests" / "clients" / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    wanted = json.loads((REPOSITORY / "tests" / "clients" / "package.json").read_text())["dependencies"]
    assert packages.pop("")["dependencies"] == wanted
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
    assert "://" not in text


def test_only_machines_without_pillow_simd_may_get_pillow() -> None:
    overrides = [Requirement(text) for text in PROJECT["tool"]["uv"]["override-dependencies"]]
    [override] = [one for one in overrides if one.name == "pillow"]
    assert override.marker is not None
    assert not override.marker.evaluate({"platform_machine": "x86_64"})
    assert override.marker.evaluate({"platform_machine": "aarch64"})


def test_settings_for_pip_reach_uv() -> None:
    done = run_in_setup(
        "pass_pip_settings_to_uv; env",
        PIP_FIND_LINKS="/wheels /more/wheels.html",
        PIP_INDEX_URL="https://one.example/packages",
        PIP_EXTRA_INDEX_URL="https://two.example/packages https://three.example/packages",
        PIP_NO_INDEX="1",
        PIP_CERT="/ca.pem",
        PIP_DEFAULT_TIMEOUT="77",
    )
    assert {
        "UV_FIND_LINKS=/wheels,/more/wheels.html",
        "UV_DEFAULT_INDEX=https://one.example/packages",
        "UV_INDEX=https://two.example/packages https://three.example/packages",
        "UV_NO_INDEX=1",
        "SSL_CERT_FILE=/ca.pem",
        "UV_HTTP_TIMEOUT=77",
    } <= set(done.stdout.splitlines()), done.stderr


def test_settings_for_uv_itself_win() -> None:
    done = run_in_setup(
        "pass_pip_settings_to_uv; env", PIP_INDEX_URL="https://pip.example", UV_DEFAULT_INDEX="https://uv.example"
    )
    assert "UV_DEFAULT_INDEX=https://uv.example" in done.stdout.splitlines()


def test_nothing_is_passed_on_where_pip_has_no_settings() -> None:
    done = run_in_setup("pass_pip_settings_to_uv; env")
    assert done.returncode == 0
    assert not re.search(r"^(UV_|SSL_)", done.stdout, re.MULTILINE)


def test_only_what_is_missing_is_installed() -> None:
    done = run_in_setup(
        """
        has_program() { [ "$1" != exiftool ] && [ "$1" != wrk ]; }
        must_build_pillow_simd() { false; }
        for purpose in run test bench; do missing_packages $purpose | paste -sd' '; done
        """
    )
    assert done.stdout.splitlines() == [
        "libimage-exiftool-perl",
        "libimage-exiftool-perl",
        "libimage-exiftool-perl wrk",
    ]


def test_headers_are_asked_for_while_pillow_simd_is_still_to_be_built() -> None:
    done = run_in_setup("must_build_pillow_simd() { true; }; has_header() { [ $1 != raqm.h ]; }; missing_packages run")
    assert "libraqm-dev" in done.stdout.split()
    assert "libwebp-dev" not in done.stdout.split()


@pytest.mark.parametrize(
    "machine", ["id() { echo 1000; }; sudo() { false; }", 'has_program() { [ "$1" != apt-get ]; }']
)
def test_without_the_right_to_install_it_says_what_to_install_and_stops(machine: str) -> None:
    done = run_in_setup(
        f"{machine}; missing_packages() {{ printf '%s\\n' ffmpeg wrk; }}; install_packages() {{ echo installed; }}; "
        "ensure_packages bench; echo went on"
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "apt-get install ffmpeg wrk)" in done.stderr


def test_old_python_is_refused_with_its_version() -> None:
    done = run_in_setup("choose_python() { false; }; find_uv() { false; }; ensure_packages run", PYTHON="python3")
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed; 'python3' here says: Python 3" in done.stderr


def test_an_install_is_repeated_after_a_failure_and_a_change_only(tmp_path: Path) -> None:
    for name in ("cluster/setup.sh", "pyproject.toml", "requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    failing = "fake_uv() { false; }; find_uv() { echo fake_uv; }; install_versions requirements.txt"
    working = failing.replace("false", "true")

    assert run_in_setup(failing, tmp_path).returncode != 0
    assert "installing" in run_in_setup(working, tmp_path).stdout
    assert run_in_setup(working, tmp_path).stdout == ""
    (tmp_path / "requirements.txt").write_text("rich==1\n")
    assert "installing" in run_in_setup(working, tmp_path).stdout
