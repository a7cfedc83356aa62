#!/usr/bin/env python3
"""An orchestrator as somebody else might have written it from the specification, on a stock Kafka client.

It knows the five topics and the specification's fields, nothing more; some of its numbers are texts. It waits for
a driver, runs an Avalanche and a Tsunami on it, and prints what the driver reports.
"""

import argparse
import json
import sys
import time

from stock_client import Topics

AT_MOST_S = 60
# Without a word of the specification about the end of a test: no report for so long.
QUIET_S = 4


def main():
    arguments = argparse.ArgumentParser()
    for name in ("brokers", "prefix", "count"):
        arguments.add_argument("--" + name, required=True)
    given = arguments.parse_args()

    topics = Topics(given.brokers, given.prefix, ["register", "metrics", "heartbeat"])
    print("listening", flush=True)
    node_id = wait_for(topics, lambda topic, message: message["node_id"] if topic == "register" else None)
    wait_for(topics, lambda topic, message: topic == "heartbeat" and message["heartbeat"] == "YES" or None)
    print("driver", node_id, flush=True)
    tests = [
        {"test_id": "stock-1", "test_type": "AVALANCHE", "test_message_delay": "0", "message_count_per_driver": given.count},
        {"test_id": "stock-2", "test_type": "TSUNAMI", "test_message_delay": 0.005, "message_count_per_driver": int(given.count)},
    ]
    for config in tests:
        topics.send("test_config", config)
        topics.send("trigger", {"test_id": config["test_id"], "trigger": "YES"})
        last, heard = None, None
        deadline = time.monotonic() + AT_MOST_S
        while heard is None or time.monotonic() - heard < QUIET_S:
            if time.monotonic() > deadline:
                sys.exit("no report of " + config["test_id"])
            for topic, message in topics.poll():
                if topic == "metrics" and message["test_id"] == config["test_id"]:
                    last, heard = message, time.monotonic()
        numbers = {name: float(last["metrics"][name]) for name in ("mean_latency", "median_latency", "min_latency", "max_latency")}
        print("result", json.dumps({"test_id": last["test_id"], "node_id": last["node_id"], **numbers}), flush=True)
    print("done", flush=True)


def wait_for(topics, pick):
    deadline = time.monotonic() + AT_MOST_S
    while time.monotonic() < deadline:
        for topic, message in topics.poll():
            picked = pick(topic, message)
            if picked is not None:
                return picked
    sys.exit("nothing was heard within %d s" % AT_MOST_S)


main()
