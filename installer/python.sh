# Sourced by run and test: find_python CHECKOUT sets $python to one that can make the environment.

find_python() {
    if [ -n "${SAMDESK_PYTHON:-}" ]; then
        python=$(command -v "$SAMDESK_PYTHON") && return 0
        echo "SAMDESK_PYTHON names no program: $SAMDESK_PYTHON" >&2
        return 1
    fi
    # the Python that the environment was made with
    python=$(sed -n 's/^executable = //p' "$1/.venv/pyvenv.cfg" 2>/dev/null)
    [ -n "$python" ] && [ -x "$python" ] && return 0

    incomplete=
    system=$(uname)
    search=$PATH
    [ "$system" = Darwin ] && search=$PATH:/opt/homebrew/bin:/usr/local/bin
    for name in python3 python3.13 python3.12 python3.11 python3.14 python; do
        python=$(PATH=$search command -v "$name") || continue
        # on macOS this one opens a dialog that offers to install developer tools
        [ "$system $python" = "Darwin /usr/bin/python3" ] && continue
        "$python" -I "$1/installer/bootstrap.py" probe >/dev/null 2>&1 </dev/null
        case $? in
            0) return 0 ;;
            4) incomplete=${incomplete:-$python} ;;
        esac
    done
    # bootstrap.py says, or does, what completes it
    python=$incomplete
    [ -n "$python" ] && return 0
    _explain >&2
    return 1
}

_explain() {
    echo "samdesk needs a 64-bit Python 3.11, 3.12, 3.13 or 3.14, and found none."
    if [ "$system" = Darwin ]; then
        echo "Install it: brew install python@3.13, or the installer from python.org."
    elif command -v apt-get >/dev/null; then
        echo "Install it: sudo apt-get install python3 python3-venv"
        echo "On Ubuntu 22.04: sudo apt-get install python3.11 python3.11-venv"
    elif command -v dnf >/dev/null; then
        echo "Install it: sudo dnf install python3.12"
    elif command -v zypper >/dev/null; then
        echo "Install it: sudo zypper install python312"
    elif command -v pacman >/dev/null; then
        echo "Install it: sudo pacman -S python"
    else
        echo "Install it with your system's package manager or from python.org."
    fi
    echo "If it is somewhere else, name it: SAMDESK_PYTHON=/path/to/python3 installer/run"
}
