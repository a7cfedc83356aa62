"""What schemathesis may not do: load anything but the sample target, and for longer than a moment."""

import os
import re

import schemathesis

TARGET = os.environ["ONRUSH_TARGET"]


def plain(name):
    """A field's name as the service reads it: case, underscores and dashes do not matter."""
    return re.sub(r"[_-]", "", str(name)).lower()


def local(value):
    """The same with every URL, however deep inside, on the sample target."""
    if isinstance(value, str):
        return re.sub(r"^\s*https?://[^/?#]*", lambda _: TARGET, value, flags=re.IGNORECASE)
    if isinstance(value, list):
        return [local(item) for item in value]
    if isinstance(value, dict):
        return {name: local(item) for name, item in value.items()}
    return value


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    # Connections are led nowhere else.
    body = {name: local(value) for name, value in body.items() if plain(name) not in ("connectto", "resolve")}
    if body.get("trigger") and isinstance(body.get("duration"), (int, float, str)):
        body["duration"] = "300ms"
    return body
