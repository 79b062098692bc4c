# The Kafka broker and the two Connect workers. Sourced after process.sh.
# shellcheck shell=bash disable=SC2154

# The JVMs live for minutes on few cores: the quick compiler alone starts them sooner and leaves the cores to the tests.
java_options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto "-Dlog4j2.configurationFile=$services_dir/log4j2.yaml")

# The listener for clients that must prove who they are, by the name in its certificate.
secured_address() { printf 'localhost:%s\n' "$(port_of broker-secured)"; }
secured_dir() { printf '%s\n' "$(data)/secured"; }

# make_secrets: two authorities, of which one signs the broker's certificate, and the password of the one user. They live as
# long as the data.
make_secrets() {
  local name
  mkdir -p "$(secured_dir)"
  (
    cd "$(secured_dir)" || exit 1
    openssl rand -hex 16 >password
    for name in authority stranger; do
      openssl req -x509 "${new_key[@]}" -days 30 -subj "/CN=$name" -keyout "$name.key" -out "$name.pem"
    done
    openssl req "${new_key[@]}" -subj /CN=localhost -keyout broker.key -out broker.csr
    printf 'subjectAltName=DNS:localhost\n' >names
    openssl x509 -req -in broker.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 30 -extfile names \
      -out broker.pem
    openssl pkcs12 -export -in broker.pem -inkey broker.key -passout file:password -out broker.p12
  ) >>"$home/log/broker.log" 2>&1
}

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

broker_address() { printf '127.0.0.1:%s\n' "$(port_of broker)"; }

make_broker() {
  local controller dir secured
  dir=$(data)/broker
  controller=127.0.0.1:$(port_of controller)
  mkdir -p "$dir"
  make_secrets || return 1
  secured=listener.name.secured
  cat >"$home/etc/broker.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://$(broker_address),CONTROLLER://$controller,SECURED://127.0.0.1:$(port_of broker-secured)
advertised.listeners=PLAINTEXT://$(broker_address),SECURED://$(secured_address)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL
$secured.sasl.enabled.mechanisms=PLAIN
$secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_reader="$(cat "$(secured_dir)/password")";
$secured.ssl.keystore.type=PKCS12
$secured.ssl.keystore.location=$(secured_dir)/broker.p12
$secured.ssl.keystore.password=$(cat "$(secured_dir)/password")
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir
log.retention.ms=-1
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
CONF
  (cd "$dir" && java -Xmx128m "${java_options[@]}" -cp "$home/kafka/*" kafka.tools.StorageTool format \
    -t afterimage-services-1g -c "$home/etc/broker.properties") >>"$home/log/broker.log" 2>&1
}

start_broker() {
  launch broker java -Xmx512m "${java_options[@]}" -cp "$home/kafka/*" kafka.Kafka "$home/etc/broker.properties"
}
ready_broker() { kcat -b "$(broker_address)" -L -m 1; }

make_connect() {
  local name=$1
  mkdir -p "$(data)/$name"
  cat >"$home/etc/$name.properties" <<CONF
bootstrap.servers=$(broker_address)
group.id=$name
listeners=http://127.0.0.1:$(port_of "$name")
rest.advertised.host.name=127.0.0.1
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
config.storage.topic=_$name-configs
config.storage.replication.factor=1
offset.storage.topic=_$name-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=_$name-status
status.storage.replication.factor=1
status.storage.partitions=1
offset.flush.interval.ms=1000
scheduled.rebalance.max.delay.ms=0
connector.client.config.override.policy=All
plugin.path=$home/plugins
plugin.discovery=service_load
CONF
}

start_connect() {
  launch "$1" java -Xmx768m "${java_options[@]}" -cp "$home/kafka/*" \
    org.apache.kafka.connect.cli.ConnectDistributed "$home/etc/$1.properties"
}
ready_connect() { curl -fsS -m 2 "http://127.0.0.1:$(port_of "$1")/connectors"; }

# Keeps schemas in memory: whoever stops it forgets them, and the topics that name them can no longer be read.
make_registry() { mkdir -p "$(data)/registry"; }
start_registry() {
  launch registry java -Xmx384m "${java_options[@]}" -Dquarkus.http.host=127.0.0.1 \
    -Dquarkus.http.port="$(port_of registry)" -cp "$home/registry/*:$home/registry/lib/*" io.quarkus.runner.GeneratedMain
}
ready_registry() { curl -fsS -m 2 "http://127.0.0.1:$(port_of registry)/apis/ccompat/v7/subjects"; }

# Two workers, because the JDBC sink keeps the last dialect it met in singletons of its JVM: sinks of two dialects in one
# worker write each other's SQL.
make_connect_pg() { make_connect connect-pg; }
start_connect_pg() { start_connect connect-pg; }
ready_connect_pg() { ready_connect connect-pg; }

make_connect_my() { make_connect connect-my; }
start_connect_my() { start_connect connect-my; }
ready_connect_my() { ready_connect connect-my; }
