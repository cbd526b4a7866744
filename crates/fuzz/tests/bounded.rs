//! Every target, a fixed number of mutations from fixed seeds. `BEZANT_FUZZ_TRIES` multiplies the number.

use bezant_fuzz::{Mutator, TARGETS, Target};

fn factor() -> u64 {
    std::env::var("BEZANT_FUZZ_TRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn run(target: &Target) {
    let mut corpus = (target.corpus)();
    assert!(!corpus.is_empty(), "{} has inputs that get far", target.name);
    corpus.iter().for_each(|input| (target.take)(input));
    for seed in 0..8 {
        let mut mutator = Mutator::new(seed);
        for nth in 0..(target.tries * factor()).div_ceil(8) {
            let input = mutator.next(&corpus);
            let taken = std::panic::catch_unwind(|| (target.take)(&input));
            assert!(taken.is_ok(), "{}: seed {seed}, input {nth}: {input:02x?}", target.name);
            // Now and then a mutation is the ground of others.
            if nth % 64 == 0 && corpus.len() < 256 && input.len() < 4096 {
                corpus.push(input);
            }
        }
    }
}

macro_rules! targets {
    ($($test:ident: $index:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                run(&TARGETS[$index]);
            }
        )*

        #[test]
        fn every_target_is_run() {
            assert_eq!([$($index),*], *(0..TARGETS.len()).collect::<Vec<_>>());
        }
    };
}

targets! {
    packets: 0, records: 1, peer_frames: 2, asks: 3, tells: 4, resp: 5, proofs: 6, pieces: 7, logs: 8, genesis: 9,
    scenarios: 10, handling: 11,
}
