# Install Debian packages where that is possible: as root, with apt-get.
# Usage: . scripts/packages.sh; need COMMAND PACKAGE…

missing_packages=""

need() {
    command=$1
    shift
    command -v "$command" >/dev/null 2>&1 || missing_packages="$missing_packages $*"
}

install_needed() {
    [ -z "$missing_packages" ] && return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "Not installed, since only root on Debian can:$missing_packages" >&2
        return 1
    fi
    echo "Installing Debian packages:$missing_packages" >&2
    # shellcheck disable=SC2086  # a list of words is meant
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends $missing_packages >/dev/null 2>&1; then
        apt-get update -qq >/dev/null &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
                --no-install-recommends $missing_packages >/dev/null
    fi
}
