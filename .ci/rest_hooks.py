"""What schemathesis may not do: load anything but the sample target, and for longer than a moment."""

import os
import re

import schemathesis

TARGET = os.environ["ONRUSH_TARGET"]


def local(url):
    """The same path and query on the sample target."""
    if not isinstance(url, str):
        return url
    return re.sub(r"^\s*https?://[^/?#]*", lambda _: TARGET, url, flags=re.IGNORECASE)


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    body = dict(body)
    if "target_url" in body:
        body["target_url"] = local(body["target_url"])
    if isinstance(body.get("targets"), list):
        body["targets"] = [
            {**request, "url": local(request["url"])} if isinstance(request, dict) and "url" in request else request
            for request in body["targets"]
        ]
    if body.get("trigger") and isinstance(body.get("duration"), (int, float, str)):
        body["duration"] = "300ms"
    return body
