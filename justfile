# What continuous integration runs: tests, lints, format, documentation.
check:
    .ci/run

# Every test, slow proofs in a small share.
test:
    ./test.sh

# Every test, slow proofs whole.
full:
    ./test.sh full

# The ratios against the bare stack.
bench:
    cargo bench -p turnlock-cli

# Fuzz one target for some seconds; fuzz/README.md has what it needs.
fuzz target seconds="60":
    mkdir -p fuzz/corpus/{{target}}
    cargo +nightly fuzz run --sanitizer none {{target}} fuzz/corpus/{{target}} fuzz/seeds/{{target}} -- -max_total_time={{seconds}}
