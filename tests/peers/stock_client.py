"""JSON on Kafka topics through kafka-python or confluent-kafka, whichever is installed."""

import json
import time

try:
    import kafka
except ImportError:
    kafka = None
    import confluent_kafka


class Topics:
    """A producer, and a consumer that hears what is sent to `heard` from now on."""

    def __init__(self, brokers, prefix, heard):
        self.prefix = prefix
        names = [prefix + name for name in heard]
        self.client = (_KafkaPython if kafka else _Confluent)(brokers, names)

    def send(self, topic, message):
        """Returns when the broker has it."""
        self.client.send(self.prefix + topic, json.dumps(message).encode())

    def poll(self):
        """What came, as (topic, message); waits a moment for it."""
        received = []
        for topic, value in self.client.poll():
            try:
                received.append((topic[len(self.prefix):], json.loads(value)))
            except ValueError:
                print("skipped what is no JSON on", topic, flush=True)
        return received


class _KafkaPython:
    def __init__(self, brokers, names):
        self.producer = kafka.KafkaProducer(bootstrap_servers=brokers, acks="all")
        self.consumer = kafka.KafkaConsumer(bootstrap_servers=brokers, group_id=None, enable_auto_commit=False)
        partitions = []
        for name in names:
            partitions += [kafka.TopicPartition(name, p) for p in self._partitions(name)]
        self.consumer.assign(partitions)
        self.consumer.seek_to_end()
        for partition in partitions:
            self.consumer.position(partition)

    def _partitions(self, name):
        for _ in range(100):
            found = self.consumer.partitions_for_topic(name)
            if found:
                return sorted(found)
            time.sleep(0.1)
        raise SystemExit("there is no topic " + name)

    def send(self, name, value):
        self.producer.send(name, value).get(timeout=30)

    def poll(self):
        records = self.consumer.poll(timeout_ms=100)
        return [(r.topic, r.value) for batch in records.values() for r in batch if r.value is not None]


class _Confluent:
    def __init__(self, brokers, names):
        self.producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "acks": "all"})
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": brokers, "group.id": "stock", "enable.auto.commit": False}
        )
        partitions = []
        for name in names:
            found = self.consumer.list_topics(name, timeout=30).topics[name].partitions
            for p in found:
                place = confluent_kafka.TopicPartition(name, p)
                place.offset = self.consumer.get_watermark_offsets(place, timeout=30)[1]
                partitions.append(place)
        self.consumer.assign(partitions)

    def send(self, name, value):
        self.producer.produce(name, value)
        if self.producer.flush(30) > 0:
            raise SystemExit("the broker did not take a message on " + name)

    def poll(self):
        message = self.consumer.poll(0.1)
        if message is None or message.error() or message.value() is None:
            return []
        return [(message.topic(), message.value())]
