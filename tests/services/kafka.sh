# The Kafka broker and the two Connect workers. Sourced after process.sh.
# shellcheck shell=bash disable=SC2154

# The JVMs live for minutes on few cores: the quick compiler alone starts them sooner and leaves the cores to the tests.
java_options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto "-Dlog4j2.configurationFile=$services_dir/log4j2.yaml")

broker_address() { printf '127.0.0.1:%s\n' "$(port_of broker)"; }

make_broker() {
  local controller dir
  dir=$(data)/broker
  controller=127.0.0.1:$(port_of controller)
  mkdir -p "$dir"
  cat >"$home/etc/broker.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://$(broker_address),CONTROLLER://$controller
advertised.listeners=PLAINTEXT://$(broker_address)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
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

# Two workers, because the JDBC sink keeps the last dialect it met in singletons of its JVM: sinks of two dialects in one
# worker write each other's SQL.
make_connect_pg() { make_connect connect-pg; }
start_connect_pg() { start_connect connect-pg; }
ready_connect_pg() { ready_connect connect-pg; }

make_connect_my() { make_connect connect-my; }
start_connect_my() { start_connect connect-my; }
ready_connect_my() { ready_connect connect-my; }
