# Starting, watching and ending the processes of the services. Sourced after home.sh.
# shellcheck shell=bash disable=SC2154

# The state and start time of a process, from /proc; together with the pid the start time names one process for ever.
process_stat() {
  local stat fields
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -r -a fields <<<"${stat##*) }"
  printf '%s %s\n' "${fields[0]}" "${fields[19]}"
}

# pid_of NAME: the pid, if that very process still runs.
pid_of() {
  local pid born state now
  read -r pid born 2>/dev/null <"$home/run/$1.pid" || return 1
  read -r state now < <(process_stat "$pid") || return 1
  [ "$now" = "$born" ] && [ "$state" != Z ] || return 1
  printf '%s\n' "$pid"
}

# keep_pid NAME PID: writes the pid file that pid_of reads. A process that is gone already leaves none.
keep_pid() {
  local stat
  stat=$(process_stat "$2") || return 0
  printf '%s %s\n' "$2" "${stat#* }" >"$home/run/$1.pid"
}

alive() { pid_of "$1" >/dev/null; }

# launch NAME COMMAND...: runs COMMAND detached, in a directory of the data tree (which is how `sweep` knows it).
launch() {
  local name=$1 dir
  shift
  dir=$(data)/$name
  (
    cd "$dir" || exit 1
    exec setsid "$@"
  ) >>"$home/log/$name.log" 2>&1 </dev/null 9>&- &
  keep_pid "$name" $!
}

# await NAME SECONDS: until ready_NAME succeeds; gives up when the process dies or the time is over.
await() {
  local name=$1 until=$((SECONDS + $2)) probe=ready_${1//-/_}
  until "$probe" >/dev/null 2>&1; do
    if ! alive "$name" || ((SECONDS >= until)); then
      say "$name did not become ready; the end of $home/log/$name.log:"
      tail -n 20 "$home/log/$name.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# descendants PID: its children and theirs.
descendants() {
  local child
  for child in $(pgrep -P "$1"); do
    printf '%s\n' "$child"
    descendants "$child"
  done
}

# signal_tree NAME SIGNAL: fails if the service does not run.
signal_tree() {
  local pid
  pid=$(pid_of "$1") || return 1
  # shellcheck disable=SC2046 # a list of pids
  kill -"$2" "$pid" $(descendants "$pid") 2>/dev/null
}

# late COMMAND...: a signal to what may have ended in the meantime. That is no error: whether it did is looked at afterwards.
late() { "$@" 2>/dev/null || return 0; }

# stop NAME: an orderly shutdown. PostgreSQL's SIGINT is its fast one; SIGTERM would wait for its clients.
stop() {
  case $1 in
    pg-source | pg-target | pg-standby) end "$1" INT ;;
    *) end "$1" TERM ;;
  esac
}

# discard NAME: ends a service whose data is of no more use. PostgreSQL's SIGQUIT is at once too, but frees its shared memory.
discard() {
  case $1 in
    pg-source | pg-target | pg-standby) end "$1" QUIT ;;
    *) end "$1" KILL ;;
  esac
}

# end NAME SIGNAL: signals, waits, then kills. A service that does not run has ended already.
end() {
  local name=$1 pid tries
  if pid=$(pid_of "$name"); then
    late signal_tree "$name" CONT
    late kill -"$2" "$pid"
    for ((tries = 0; tries < 150; tries++)); do
      alive "$name" || break
      sleep 0.1
    done
    ! alive "$name" || kill_now "$name"
  fi
  rm -f "$home/run/$name.pid"
}

# kill_now NAME: SIGKILL, and waits until the kernel has taken it.
kill_now() {
  late signal_tree "$1" KILL
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    alive "$1" || return 0
    sleep 0.1
  done
  fail "$1 survives SIGKILL"
}

# servers_in DIR: the servers at work inside DIR.
servers_in() {
  local link cwd pid
  for link in /proc/[0-9]*/cwd; do
    cwd=$(readlink "$link" 2>/dev/null) || continue
    [[ $cwd == "$1"/* ]] || continue
    pid=${link#/proc/}
    pid=${pid%/cwd}
    case $(cat "/proc/$pid/comm" 2>/dev/null) in
      java | postgres | mariadbd | pgbouncer) printf '%s\n' "$pid" ;;
    esac
  done
}

# sweep DIR: ends the servers in DIR which no pid file names any more, or whose parent died without them. Quitting first lets
# PostgreSQL free its shared memory.
sweep() {
  local signal pids tries
  for signal in QUIT KILL; do
    for ((tries = 0; tries < 30; tries++)); do
      mapfile -t pids < <(servers_in "$1")
      ((${#pids[@]})) || return 0
      ((tries)) || say "ending leftover processes ${pids[*]} ($signal)"
      ((tries)) || late kill -CONT "${pids[@]}"
      ((tries)) || late kill -"$signal" "${pids[@]}"
      sleep 0.1
    done
  done
}

# listening PORT: whether somebody listens there, on any address.
listening() {
  local hex
  printf -v hex ':%04X ' "$1"
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { print $2 " " }' | grep "$hex" >/dev/null
}

# pick_ports NAME...: a free port for each, kept in run/ports. The search starts at a place of this process's own, below the
# range clients get theirs from, so that two checkouts started at once do not take the same ones.
pick_ports() {
  local port=$((20000 + ($$ % 1000) * 10)) name
  for name in "$@"; do
    while listening "$port"; do port=$((port + 1)); done
    printf '%s %s\n' "$name" "$port"
    port=$((port + 1))
  done >"$home/run/ports"
}

port_of() { awk -v name="$1" '$1 == name { print $2 }' "$home/run/ports"; }
