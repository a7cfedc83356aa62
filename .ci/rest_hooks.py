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


def with_a_scheme(name, value):
    """A URL without a scheme, which the service reads as http and a schema cannot describe: one that stays wrong."""
    if plain(name) not in ("url", "target", "targeturl", "targetmetrics") or not isinstance(value, str):
        return value
    return value if re.match(r"\s*https?://", value, flags=re.IGNORECASE) else f"ftp://{value}"


def leads_away(name, value):
    """Whether connections would go elsewhere; what is no rule is refused anyway."""
    rules = value if isinstance(value, list) else [value]
    is_rule = any(isinstance(rule, str) and rule.count(":") >= 3 for rule in rules)
    return plain(name) in ("connectto", "resolve") and is_rule


def with_small_weights(targets):
    """Requests whose weights make no round that is too long, which a schema cannot say; wrong weights stay wrong."""
    return [
        {**request, "weight": int(request["weight"]) % 90 + 1}
        if isinstance(request, dict)
        and isinstance(request.get("weight"), (int, float))
        and not isinstance(request["weight"], bool)
        and 1 <= request["weight"] < 2**32
        and request["weight"] == int(request["weight"])
        else request
        for request in targets
    ]


def on_the_sample_target(body):
    """The same body, its load on nothing but the sample target."""
    body = {
        name: local(with_a_scheme(name, value)) for name, value in body.items() if not leads_away(name, value)
    }
    if isinstance(body.get("targets"), list):
        requests = [
            {name: with_a_scheme(name, value) for name, value in request.items()} if isinstance(request, dict) else request
            for request in body["targets"]
        ]
        body["targets"] = with_small_weights(requests)
    return body


def is_given(body, name):
    return body.get(name) not in (None, 0, "0")


def of_the_whole(thresholds):
    """The same thresholds without `{name}`: that a request of this name must be among the targets, no schema can say."""
    if isinstance(thresholds, list):
        return [of_the_whole(threshold) for threshold in thresholds]
    return re.sub(r"\{.*?\}", "", thresholds, flags=re.DOTALL) if isinstance(thresholds, str) else thresholds


def as_described_in_words(test):
    """A test that is right but for what its description says in words alone: how much load, and from what."""
    test = dict(test)
    is_tsunami = str(test.get("test_type")).upper() == "TSUNAMI"
    rates = ("target_throughput", "total_throughput", "profile")
    if is_given(test, "profile"):
        for name in ("duration", "test_message_delay", "target_throughput", "total_throughput"):
            test.pop(name, None)
    if is_given(test, "total_throughput"):
        for name in ("test_message_delay", "target_throughput"):
            test.pop(name, None)
    if not is_tsunami:
        test.pop("test_message_delay", None)
    is_paced = any(is_given(test, name) for name in ("test_message_delay", *rates))
    if not is_paced and (is_tsunami or test.get("arrivals") == "poisson"):
        test["target_throughput"] = 100
    if test.get("trigger") and is_given(test, "duration"):
        test["duration"] = "300ms"
    if "thresholds" in test:
        test["thresholds"] = of_the_whole(test["thresholds"])
    return test


def as_described_of_a_search(search):
    """A short search that is right but for what its description says in words alone: the highest rate is not below the first."""
    search = {**search, "budget": "2s", "thresholds": of_the_whole(search.get("thresholds"))}
    for name in ("start", "max"):
        search.pop(name, None)
    return search


# Of a whole case, not of its body: the cases of the coverage phase pass no other hook.
@schemathesis.hook
def map_case(context, case):
    if not isinstance(case.body, dict):
        return case
    case.body = on_the_sample_target(case.body)
    is_right = case.meta is not None and case.meta.generation.mode == schemathesis.GenerationMode.POSITIVE
    if is_right and case.method == "POST" and case.path == "/v1/tests":
        case.body = as_described_in_words(case.body)
    if is_right and case.method == "POST" and case.path == "/v1/searches":
        case.body = as_described_of_a_search(case.body)
    return case
