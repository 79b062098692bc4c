# Where the services of the pipeline tests live, and how their scripts speak. Sourced, never run.
# shellcheck shell=bash

services_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$services_dir/../.." && pwd)
home=${AFTERIMAGE_SERVICES:-$checkout/target/services}
mkdir -p "$home"
home=$(cd "$home" && pwd)
export AFTERIMAGE_SERVICES=$home

# One prefix per home: leftovers of a run whose `target` was deleted are still found by it.
away_prefix=/var/tmp/afterimage-$(printf '%s' "$home" | cksum | cut -d' ' -f1)

say() { printf 'services: %s\n' "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# What to put before a command that must run as `postgres`: PostgreSQL and pgbouncer refuse root.
as_postgres=()
! is_root || as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups)

pg_bin() {
  local dir
  for dir in /usr/lib/postgresql/*/bin; do
    [ -x "$dir/initdb" ] && printf '%s\n' "$dir"
  done | sort -V | tail -n 1
}

# The data directory of this run: inside the home where the database users can reach it, else away from it. A checkout below
# somebody's 0700 directory is the usual case of the second.
make_data() {
  mkdir -p "$home/run"
  local data=$home/data
  mkdir -p "$data"
  if ! "${as_postgres[@]}" test -x "$data"; then
    rm -rf "$data"
    data=$(mktemp -d "$away_prefix.XXXXXX")
  fi
  chmod 755 "$data"
  printf '%s\n' "$data" >"$home/run/data"
}

data() { cat "$home/run/data"; }

# Every data directory an earlier run of this home may have left.
data_dirs() {
  local dir
  for dir in "$home/data" "$away_prefix".*; do
    [ -d "$dir" ] && printf '%s\n' "$dir"
  done
  return 0
}
