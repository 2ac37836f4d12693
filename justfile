# The chores, by name. `just` lists them; each is one line that works without just too.

_default:
    @just --list --unsorted

# every test, the walks and tidy among them
test *args:
    cargo test {{args}}

# a real PostgreSQL and a real Pulsar on loopback for the distributed stack: up, status, down
servers command="up":
    scripts/servers {{command}}

# the tests of the distributed stack too, against the servers (see `servers`)
test-distributed *args:
    cargo test --all-features {{args}}

# clippy over everything, warnings are errors
lint:
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# format everything
fmt:
    cargo fmt --all

# who may know what, and the house rules
tidy:
    cargo run --quiet -p xtask -- tidy

# the documentation, broken links are errors
docs *args:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps {{args}}

# licenses, advisories and sources of the dependencies (cargo install cargo-deny --version 0.20.2 --locked)
deny:
    mkdir -p target/advisory-dbs
    cargo deny --all-features check

# sagas per second at 1, 8 and 64 clients, beside the disk's own flush rate
bench *args:
    cargo run --release -- bench sagas {{args}}

# for hours: the simulated world over many seeds; a flood; everything killed in turn under load, PostgreSQL and Pulsar too (an hour)
soak seeds="100000" seconds="3600":
    ALPES_SEEDS={{seeds}} cargo test --release -p walks --test bad_days
    ALPES_OVERLOAD_SECONDS=60 cargo test -p platform --test overload
    cargo build --release
    scripts/soak --embedded --seconds 120 --every 5
    cargo build --release -p platform --features distributed
    scripts/soak --seconds {{seconds}}

# what the build server runs
ci:
    .ci/run
