#!/usr/bin/env bash
# Brings a machine to where Heliostat runs: system programs, then `.venv` with pinned versions and this checkout.
#
#   cluster/setup.sh run     what `heliostat up` and a node of a cluster need
#   cluster/setup.sh lean    the same without machine learning, for nodes that exclude it: no torch, a tenth of the size
#   cluster/setup.sh test    and what the tests need
#   cluster/setup.sh bench   and what the benchmark needs
#   cluster/setup.sh lock    write requirements*.txt anew from pyproject.toml; further arguments go to uv (--upgrade)
#
# With everything in place it ends at once. PYTHON=python3.13 chooses the interpreter of a new `.venv`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

UV_OLDEST=0.9.0    # reads config-settings-package, see pyproject.toml
UV_PINNED=0.13.9   # fetched where the machine has none

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }
has_program() { command -v "$1" >/dev/null; }

# ---- Python and uv ---------------------------------------------------------------------------------------------------

# Prints the path of the first interpreter that is new enough; fails when there is none.
choose_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

refuse_old_python() {
    local found
    found=$("${PYTHON:-python3}" --version 2>&1 || true)
    fail "Python 3.11 or newer is needed; '${PYTHON:-python3}' here says: $found" \
        "Install a newer one with its headers and venv module, and name it: PYTHON=python3.12 make run"
}

# Prints the path of a uv that is new enough; fails when there is none.
find_uv() {
    local candidate version
    for candidate in "$(command -v uv || true)" .venv/bin/uv; do
        [ -x "$candidate" ] || continue
        version=$("$candidate" --version | cut -d' ' -f2)
        if [ "$(printf '%s\n' "$UV_OLDEST" "$version" | sort -V | head -n1)" = "$UV_OLDEST" ]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# uv reads none of pip's settings, so what the environment says to pip is said to uv too; uv's own names win.
pass_pip_settings_to_uv() {
    export_once() { if [ -n "$2" ] && [ -z "${!1:-}" ]; then export "$1=$2"; fi; }
    local find_links
    read -ra find_links <<<"${PIP_FIND_LINKS:-}"
    export_once UV_FIND_LINKS "$(IFS=,; printf '%s' "${find_links[*]}")" # pip separates with blanks, uv with commas
    export_once UV_DEFAULT_INDEX "${PIP_INDEX_URL:-}"
    export_once UV_INDEX "${PIP_EXTRA_INDEX_URL:-}"
    export_once UV_INDEX_STRATEGY "${PIP_EXTRA_INDEX_URL:+unsafe-best-match}" # as pip: all indexes count alike
    export_once UV_INSECURE_HOST "${PIP_TRUSTED_HOST:-}"
    export_once UV_HTTP_TIMEOUT "${PIP_DEFAULT_TIMEOUT:-}"
    export_once SSL_CERT_FILE "${PIP_CERT:-}"
    case "${PIP_NO_INDEX:-}" in 1 | [Tt]rue | [Yy]es | on) export_once UV_NO_INDEX 1 ;; esac
}

# ---- system packages -------------------------------------------------------------------------------------------------

has_header() { compgen -G "/usr/include/$1" >/dev/null || compgen -G "/usr/include/*/$1" >/dev/null ||
    compgen -G "/usr/local/include/$1" >/dev/null || compgen -G "/usr/local/include/*/$1" >/dev/null; }

has_postgres() { has_program initdb && has_program postgres ||
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; } # Debian keeps them off PATH

must_build_pillow_simd() { [ "$(uname -m)" = x86_64 ] && ! compgen -G '.venv/lib/python3*/site-packages/pillow_simd-*' >/dev/null; }

# Its Chromium is a plain package; others have none, or one that no test can drive, and those tests are skipped there.
is_debian() { grep -qs '^ID=debian$' /etc/os-release; }

# Prints the Debian packages that `$1` (run, test, bench) still needs, one a line.
missing_packages() {
    local python version
    has_program ffmpeg || echo ffmpeg
    has_program exiftool || echo libimage-exiftool-perl
    case "$1" in test | bench) has_postgres || echo postgresql ;; esac
    if [ "$1" = test ]; then has_program chromium || ! is_debian || echo chromium; fi
    if [ "$1" = bench ]; then has_program wrk || echo wrk; fi
    if ! python=$(choose_python); then
        has_program "${PYTHON:-python3}" && refuse_old_python
        printf '%s\n' python3 python3-dev python3-venv
    else
        version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        find_uv >/dev/null || "$python" -c 'import ensurepip' 2>/dev/null || echo "$version-venv"
    fi
    must_build_pillow_simd || return 0
    has_program cc || echo gcc libc6-dev
    if [ -n "$python" ]; then
        [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || echo "$version-dev"
    fi
    has_header stdlib.h || echo libc6-dev
    has_header jpeglib.h || echo libjpeg-dev
    has_header zlib.h || echo zlib1g-dev
    has_header tiff.h || echo libtiff-dev
    has_header ft2build.h || echo libfreetype-dev
    has_header lcms2.h || echo liblcms2-dev
    has_header webp/decode.h || echo libwebp-dev
    has_header openjpeg.h || echo libopenjp2-7-dev
    has_header raqm.h || echo libraqm-dev
    has_header hb.h || echo libharfbuzz-dev
    has_header fribidi.h || echo libfribidi-dev
}

# Installs what is missing, as root or with a sudo that asks nothing; otherwise says what to install, and ends.
ensure_packages() {
    local missing as_root=()
    missing=$(missing_packages "$1")
    [ -n "$missing" ] || return 0
    missing=$(tr -s '\n' ' ' <<<"$missing")
    local instruction="Install them (as root: apt-get install ${missing% }) and run the same command again."
    has_program apt-get || fail "these system packages, by Debian's names, are missing: $missing" "$instruction"
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || fail "these system packages are missing: $missing" "$instruction"
        as_root=(sudo -n)
    fi
    say "installing system packages: $missing"
    # shellcheck disable=SC2086  # one argument a package
    install_packages $missing
    missing=$(missing_packages "$1" | tr -s '\n' ' ')
    [ -z "$missing" ] || fail "these system packages are still missing: $missing" "$instruction"
}

install_packages() {
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update || say "apt-get update failed; trying with the lists that are here"
    # Debian starts a database server with the package; the tests start their own, so this machine keeps its port.
    local no_server=/etc/postgresql-common/createcluster.d/heliostat-setup.conf
    if [[ " $* " == *" postgresql "* ]] && ! [ -e /etc/postgresql-common ]; then
        "${as_root[@]}" mkdir -p "${no_server%/*}"
        echo 'create_main_cluster = false' | "${as_root[@]}" tee "$no_server" >/dev/null
    fi
    local outcome=0
    "${apt[@]}" install --no-install-recommends "$@" || outcome=$?
    "${as_root[@]}" rm -f "$no_server"
    [ "$outcome" = 0 ] || fail "apt-get could not install: $*"
}

# ---- the virtual environment -----------------------------------------------------------------------------------------

ensure_venv() {
    local python uv
    if ! .venv/bin/python -c '' 2>/dev/null; then
        python=$(choose_python) || refuse_old_python
        say "creating .venv with $("$python" --version)"
        if uv=$(find_uv); then
            "$uv" venv --quiet --clear --python "$python" .venv
        else
            "$python" -m venv --clear .venv
        fi
    fi
    if ! find_uv >/dev/null; then
        say "fetching uv $UV_PINNED"
        .venv/bin/python -m pip install --quiet "uv==$UV_PINNED"
    fi
}

# What the installed state depends on; a change of any of it installs anew.
fingerprint() { { cat pyproject.toml "$1" cluster/setup.sh; pwd; .venv/bin/python -VV; } | sha256sum | cut -d' ' -f1; }

install_versions() {
    local requirements=$1 stamp=.venv/$1.stamp uv wanted
    wanted=$(fingerprint "$requirements")
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    uv=$(find_uv)
    say "installing the versions of $requirements"
    # A registry's torch is built for CUDA: gigabytes. Where no folder offers another, uv looks what this machine can use.
    if [ -z "${UV_FIND_LINKS:-}" ]; then export UV_TORCH_BACKEND="${UV_TORCH_BACKEND:-auto}"; fi
    # pillow-simd, the one package that is built here, is a tenth faster with AVX2; never from a cache that another
    # machine may have filled. Compiled bytecode halves the start of every process.
    if grep -qw avx2 /proc/cpuinfo 2>/dev/null; then export CC="${CC:-cc} -mavx2"; fi
    "$uv" pip install --quiet --compile-bytecode --refresh-package pillow-simd --python .venv/bin/python \
        --requirement "$requirements"
    "$uv" pip install --quiet --python .venv/bin/python --no-deps --editable .
    printf '%s\n' "$wanted" >"$stamp"
}

# One list for every Python and machine: `fewest` keeps one version of each package, so that what one Python tested is
# what the others run. The pins that are there stay unless --upgrade is given.
lock() {
    local uv
    uv=$(find_uv)
    unset UV_FIND_LINKS # a build that lies here (torch+cpu) is not the version that everybody can get
    local compile=("$uv" pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest
        --generate-hashes --custom-compile-command "make lock" pyproject.toml "$@")
    "${compile[@]}" --output-file requirements.txt
    "${compile[@]}" --extra ml --constraint requirements.txt --output-file requirements-ml.txt
    "${compile[@]}" --extra ml --extra dev --constraint requirements-ml.txt --output-file requirements-dev.txt
    # One version of torch has builds for CPUs and for each CUDA: their hashes differ, and the latter bring CUDA themselves.
    sed -i -E -e '/^torch(vision)?==/,/^ *#/{s/ *\\$//;/^ *--hash/d}' \
        -e '/^(nvidia|cuda|triton)[a-z0-9-]*==/,/^ *# +via/d' requirements-ml.txt requirements-dev.txt
}

main() {
    local purpose=${1:-run}
    exec 9<pyproject.toml
    flock 9 # two at a time would install into each other
    pass_pip_settings_to_uv
    export UV_PYTHON_DOWNLOADS=never
    local requirements=requirements-ml.txt
    case "$purpose" in
        run) ;;
        lean) requirements=requirements.txt ;;
        test | bench) requirements=requirements-dev.txt ;;
        lock) ensure_venv; lock "${@:2}"; return ;;
        *) fail "no such purpose: $purpose (run, lean, test, bench or lock)" ;;
    esac
    # One statement each: joined by && they would run on after an error of their own.
    ensure_packages "$purpose"
    ensure_venv
    install_versions "$requirements"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
