//! A small seeded generator (SplitMix64), so that a failing round can be repeated.

/// The generator.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded from `TURNLOCK_TEST_SEED` when that is set, else from the time; the seed is printed.
    pub(crate) fn seeded(what: &str) -> Self {
        let fresh = || std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
        let seed = std::env::var("TURNLOCK_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(fresh);
        println!("{what}: TURNLOCK_TEST_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
