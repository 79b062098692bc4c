# The databases: PostgreSQL (source, target, and a standby of the target on demand), pgbouncer before the target, MariaDB. Sourced after process.sh.
# shellcheck shell=bash disable=SC2154

mysql_login=afterimage

make_postgres_cluster() {
  local name=$1 dir
  dir=$(data)/$name
  mkdir -p "$dir"
  is_root && chown postgres "$dir"
  chmod 700 "$dir"
  (cd "$dir" && "${as_postgres[@]}" "$(pg_bin)/initdb" -D "$dir" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8) \
    >>"$home/log/$name.log" 2>&1
  cat >>"$dir/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $(port_of "$name")
unix_socket_directories = ''
shared_buffers = 128MB
max_connections = 200
wal_level = logical
max_wal_senders = 40
max_replication_slots = 40
fsync = off
full_page_writes = off
synchronous_commit = off
CONF
}

start_postgres() { launch "$1" "${as_postgres[@]}" "$(pg_bin)/postgres" -D "$(data)/$1"; }
ready_postgres() { psql -h 127.0.0.1 -p "$(port_of "$1")" -U postgres -d postgres -qAtc 'select 1'; }

make_pg_source() { make_postgres_cluster pg-source; }
start_pg_source() { start_postgres pg-source; }
ready_pg_source() { ready_postgres pg-source; }

make_pg_target() { make_postgres_cluster pg-target; }
start_pg_target() { start_postgres pg-target; }
ready_pg_target() { ready_postgres pg-target; }

# A standby of pg-target, made when it is first started: only some tests need one.
make_pg_standby() {
  local dir
  dir=$(data)/pg-standby
  mkdir -p "$dir"
  is_root && chown postgres "$dir"
  chmod 700 "$dir"
  (cd "$dir" && "${as_postgres[@]}" "$(pg_bin)/pg_basebackup" -D "$dir" -h 127.0.0.1 -p "$(port_of pg-target)" -U postgres \
    -R -X stream -c fast --no-sync) >>"$home/log/pg-standby.log" 2>&1
  printf 'port = %s\n' "$(port_of pg-standby)" >>"$dir/postgresql.conf"
}

start_pg_standby() {
  [ -e "$(data)/pg-standby/PG_VERSION" ] || make_pg_standby
  start_postgres pg-standby
}
ready_pg_standby() { ready_postgres pg-standby; }

make_pgbouncer() {
  local dir
  dir=$(data)/pgbouncer
  mkdir -p "$dir"
  printf '"postgres" ""\n' >"$dir/users.txt"
  cat >"$dir/pgbouncer.ini" <<CONF
[databases]
* = host=127.0.0.1 port=$(port_of pg-target)
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $(port_of pgbouncer)
unix_socket_dir =
auth_type = trust
auth_file = $dir/users.txt
pool_mode = transaction
default_pool_size = 2
max_client_conn = 100
ignore_startup_parameters = extra_float_digits
CONF
}

start_pgbouncer() { launch pgbouncer "${as_postgres[@]}" pgbouncer "$(data)/pgbouncer/pgbouncer.ini"; }
ready_pgbouncer() { ready_postgres pgbouncer; }

make_mysql() {
  local dir owner=()
  dir=$(data)/mysql
  mkdir -p "$dir"
  is_root && owner=(--user=root)
  mariadb-install-db --no-defaults "${owner[@]}" --datadir="$dir" --auth-root-authentication-method=normal --skip-test-db \
    >>"$home/log/mysql.log" 2>&1
  cat >"$home/etc/mysql-users.sql" <<SQL
CREATE USER IF NOT EXISTS $mysql_login@'127.0.0.1' IDENTIFIED BY '$mysql_login';
GRANT ALL ON *.* TO $mysql_login@'127.0.0.1' WITH GRANT OPTION;
SQL
}

start_mysql() {
  local dir owner=()
  dir=$(data)/mysql
  is_root && owner=(--user=root)
  launch mysql mariadbd --no-defaults "${owner[@]}" --datadir="$dir" --pid-file="$dir/server.pid" --socket= \
    --bind-address=127.0.0.1 --port="$(port_of mysql)" --skip-name-resolve --init-file="$home/etc/mysql-users.sql" \
    --server-id=1 --log-bin=bin --binlog-format=ROW --binlog-row-image=FULL --binlog-row-metadata=FULL --sync-binlog=0 \
    --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --innodb-buffer-pool-size=64M --max-connections=200 \
    --character-set-server=utf8mb4 --default-time-zone=+00:00
}

ready_mysql() {
  mariadb --no-defaults -h 127.0.0.1 -P "$(port_of mysql)" -u "$mysql_login" -p"$mysql_login" -e 'select 1'
}
