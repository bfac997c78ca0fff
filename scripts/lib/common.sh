# Sourced by every script here: where things are, and how long steps are shown.
# shellcheck shell=bash disable=SC2034

TFD_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# Everything that is downloaded lies outside the tree, so that clones share it.
export TFD_CACHE_DIR="${TFD_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tfd}"
TFD_LOG_DIR="$TFD_ROOT/build/log"

# Arrow C++ comes from this wheel; cmake/FindTfdArrow.cmake looks there too.
TFD_PYARROW_VERSION=22.0.0
TFD_PYARROW_DIR="$TFD_CACHE_DIR/pyarrow-$TFD_PYARROW_VERSION"
# The tests' Python: Debian's own, so that python3-torch is seen.
TFD_SYSTEM_PYTHON=/usr/bin/python3
TFD_VENV="$TFD_CACHE_DIR/venv"
# What the Spark connector is tested with: the newest, then the oldest.
TFD_SPARK_VERSIONS=(4.1.1 3.5.8)

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# How many compilers may run: one per core, and 2 GiB for each.
build_jobs() {
  local cores memory
  cores="$(nproc)"
  memory="$(awk '/^MemTotal/ {print int($2 / 2097152)}' /proc/meminfo)"
  ((memory < 1)) && memory=1
  echo $((cores < memory ? cores : memory))
}

# The last line of a log, as short as fits behind a progress line.
_last_line() {
  tail -c 2000 "$1" 2>/dev/null | tr '\r' '\n' | grep -v '^[[:space:]]*$' |
    tail -n 1 | tr -cd '[:print:]' | cut -c "1-$2" || true
}

# run_step LABEL LOG COMMAND…: runs the command with its output in a log file and
# shows its progress: on a terminal a line that is kept up to date, elsewhere a
# line now and then. Returns the command's exit status; run_step_or_die shows the
# end of the log and ends the script when it is not 0.
run_step() {
  local label="$1" log="$2" start=$SECONDS shown=0 pid status=0 taken
  shift 2
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  # shellcheck disable=SC2064
  trap "kill -TERM $pid 2>/dev/null; wait $pid 2>/dev/null; exit 130" INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    taken=$((SECONDS - start))
    if [[ -t 1 ]]; then
      printf '\r\033[K%s … %d s  %s' "$label" "$taken" "$(_last_line "$log" 50)"
    elif ((taken >= shown + 30)); then
      shown=$taken
      printf '%s … %d s  %s\n' "$label" "$taken" "$(_last_line "$log" 50)"
    fi
    sleep 0.2
  done
  wait "$pid" || status=$?
  trap - INT TERM
  [[ -t 1 ]] && printf '\r\033[K'
  if ((status == 0)); then
    printf '%s: done in %d s\n' "$label" $((SECONDS - start))
  else
    printf '%s: failed after %d s\n' "$label" $((SECONDS - start))
  fi
  return "$status"
}

run_step_or_die() {
  local label="$1" log="$2"
  if ! run_step "$@"; then
    {
      printf 'The last lines of %s:\n' "$log"
      tail -n 40 "$log" | sed 's/^/  /'
    } >&2
    die "\"$label\" failed; the whole log is $log"
  fi
}
