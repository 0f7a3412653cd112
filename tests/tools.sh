#!/usr/bin/env bash
# Makes sure of the programs that some tests drive. On Debian as root they are installed; elsewhere this says how, and the
# tests that need them are skipped with the same advice. Under CI=true a missing one is an error: nothing is skipped unseen.
set -eu

# command : Debian package : what needs it
TOOLS="tmux:tmux:terminal-tests chromium:chromium:browser-tests promtool:prometheus:metrics-tests"
# strace makes system calls fail; it exists on Linux only.
[ "$(uname -s)" != Linux ] || TOOLS="$TOOLS strace:strace:crash-tests"

missing_packages=""
missing_text=""
for entry in $TOOLS; do
  IFS=: read -r command package purpose <<<"$entry"
  command -v "$command" >/dev/null 2>&1 && continue
  missing_packages="$missing_packages $package"
  missing_text="$missing_text $command ($purpose)"
done
[ -n "$missing_packages" ] || exit 0

if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "installing$missing_packages …" >&2
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # the list is meant to be split
  if apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing_packages >/dev/null; then
    exit 0
  fi
fi

echo "not installed:$missing_text" >&2
if command -v apt-get >/dev/null 2>&1; then
  echo "install with: sudo apt-get install$missing_packages" >&2
elif command -v brew >/dev/null 2>&1; then
  echo "install with: brew install$missing_packages" >&2
fi
if [ "${CI:-}" = true ]; then
  echo "CI=true: every tool must be there" >&2
  exit 1
fi
echo "the tests that need them are skipped" >&2
