#!/usr/bin/env bash
# What the tests need besides Python packages: a Chromium and PostgreSQL's binaries.
# Installed where this is root on Debian or Ubuntu; elsewhere it says what to install, and the
# tests that need it say so and skip.
set -euo pipefail

apt_install() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "install: Debian packages $*"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } >/dev/null 2>&1 && return 0
  fi
  return 1
}

has_postgres() { command -v pg_ctl >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/pg_ctl' >/dev/null; }
has_chromium() { command -v chromium >/dev/null || command -v google-chrome >/dev/null; }

has_postgres || apt_install postgresql ||
  echo "tests: no PostgreSQL found; its tests will skip (install the package postgresql to run them)" >&2

has_chromium || apt_install chromium || .venv/bin/python -m playwright install chromium ||
  echo "tests: no Chromium found; browser tests will skip (install chromium to run them)" >&2
