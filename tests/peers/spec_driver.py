#!/usr/bin/env python3
"""A driver as somebody else might have written it from the specification, on a stock Kafka client.

It knows the five topics and the specification's fields, nothing more; some of its numbers are texts. It prints a
line for each thing that it does, and ends after its last report.
"""

import argparse
import time
import urllib.request

from stock_client import Topics

REPORTS = 4


def main():
    arguments = argparse.ArgumentParser()
    for name in ("brokers", "prefix", "node-id", "target-url"):
        arguments.add_argument("--" + name, required=True)
    given = arguments.parse_args()

    topics = Topics(given.brokers, given.prefix, ["test_config", "trigger"])
    topics.send(
        "register",
        {"node_id": given.node_id, "node_IP": "192.0.2.7", "message_type": "DRIVER_NODE_REGISTER"},
    )
    print("registered", flush=True)
    # A trigger may be read before its config: topics keep no order among one another.
    configs, triggered, running = {}, set(), None
    next_heartbeat = 0.0
    while running is None:
        if time.monotonic() >= next_heartbeat:
            heartbeat(topics, given.node_id)
            next_heartbeat = time.monotonic() + 1.0
        for topic, message in topics.poll():
            if topic == "test_config":
                configs[message["test_id"]] = message
            elif topic == "trigger" and message.get("trigger") == "YES":
                triggered.add(message["test_id"])
        running = next((config for test_id, config in configs.items() if test_id in triggered), None)
    print("running", running["test_id"], running["test_type"], flush=True)
    run(topics, given, running)
    print("done", flush=True)
    # It stays around, as such nodes do, until it is ended.
    while True:
        heartbeat(topics, given.node_id)
        time.sleep(1.0)


def heartbeat(topics, node_id):
    topics.send("heartbeat", {"node_id": node_id, "heartbeat": "YES", "timestamp": str(int(time.time()))})


def run(topics, given, config):
    """Sends what was asked for, one after the other, and reports a few times."""
    count = int(config["message_count_per_driver"])
    delay_s = float(config["test_message_delay"])
    latencies_ms = []
    for k in range(1, count + 1):
        began = time.perf_counter()
        with urllib.request.urlopen(given.target_url, timeout=10) as answer:
            answer.read()
        latencies_ms.append((time.perf_counter() - began) * 1000)
        if k % max(1, count // REPORTS) == 0 or k == count:
            report(topics, given.node_id, config["test_id"], k, latencies_ms)
            heartbeat(topics, given.node_id)
        time.sleep(delay_s)


def report(topics, node_id, test_id, k, latencies_ms):
    ordered = sorted(latencies_ms)
    topics.send(
        "metrics",
        {
            "node_id": node_id,
            "test_id": test_id,
            "report_id": k,
            "metrics": {
                "mean_latency": str(sum(ordered) / len(ordered)),
                "median_latency": ordered[len(ordered) // 2],
                "min_latency": str(ordered[0]),
                "max_latency": ordered[-1],
            },
        },
    )


main()
