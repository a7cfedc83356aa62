"""The load of one run: as fast as it goes, or at a rate."""

import os
from urllib.parse import urlsplit

from locust import FastHttpUser, constant, constant_throughput, task

target = urlsplit(os.environ["TARGET_URL"])
rate_per_s = float(os.environ["RATE_PER_S"])


class User(FastHttpUser):
    host = f"{target.scheme}://{target.netloc}"
    wait_time = constant_throughput(rate_per_s / int(os.environ["CONNECTIONS"])) if rate_per_s else constant(0)

    @task
    def ask(self):
        self.client.get(target.path)
