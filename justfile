# The everyday commands; `just` lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# everything on this machine: broker, orchestrator, target, two drivers, two tests
demo:
    cargo run --release -- demo

# format the code
fmt:
    cargo fmt --all

# what a change must pass before its tests are worth running
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    git grep -lE '^#!.*\b(ba)?sh$' -- .ci scripts | xargs shellcheck

# all tests on the in-process broker; `just test NAME` for some
test *filter:
    cargo test {{ filter }}

# the end-to-end suite on a real Kafka; needs Java, Maven, and a Python with a Kafka client
test-kafka *filter:
    scripts/kafka fetch
    cargo test --features kafka-suite --test kafka -- {{ filter }}

# the page in a real Chromium; needs Chromium
test-browser *filter:
    cargo test --features browser-suite --test browser -- {{ filter }}

# the REST interface against its own description; needs a Python with the packages of .ci/requirements.txt
fuzz-rest:
    cargo build
    scripts/rest-fuzz

# the dashboards' queries on a real Prometheus; needs Prometheus
test-observability *filter:
    cargo test --features observability-suite --test observability -- {{ filter }}

# start, stop, kill or look at a real Kafka: `just kafka start`
kafka command:
    scripts/kafka {{ command }}

# licences, advisories and sources of the dependencies; needs cargo-deny
deny:
    cargo deny --locked check

# what decides whether a change lands
ci:
    .ci/run

# the documentation of every crate
doc:
    cargo doc --workspace --no-deps --open
