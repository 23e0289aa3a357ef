//! The laws that fuzzing looks for violations of, over the seeds that it starts from.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub)]
mod laws;

use crate::harness::top;

#[test]
fn the_laws_hold_for_every_seed() {
    for (name, law) in laws::LAWS {
        let folder = top().join("fuzz/seeds").join(name);
        let seeds: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{} is empty", folder.display());
        for seed in seeds {
            let input = std::fs::read(&seed).unwrap();
            let outcome = std::panic::catch_unwind(|| law(&input));
            assert!(outcome.is_ok(), "{name} is broken by {}", seed.display());
        }
    }
}
