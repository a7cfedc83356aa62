//! What holds whatever the blocks say.

use std::time::Duration;

use onrush_search::{Block, Criterion, Goal, Search, Spoilt, Step};
use proptest::prelude::*;

/// A block as no target makes it.
fn any_block(random: &mut fastrand::Rng, void_share: f64) -> Block {
    let mut block = Block {
        length_ns: [0, 1, 500_000_000, 1_000_000_000, u64::MAX / 1_000_000][random.usize(..5)],
        due: [0, 1, 100, 5_000, u64::MAX][random.usize(..5)],
        failed: [0, 3, u64::MAX][random.usize(..3)],
        without_response: [0, 0, 2, u64::MAX][random.usize(..4)],
        void: (random.f64() < void_share).then_some([Spoilt::Cpu, Spoilt::Lost, Spoilt::Ports][random.usize(..3)]),
        ..Block::default()
    };
    (0..random.usize(..40)).for_each(|_| block.latency.record(random.u64(..200_000_000)));
    block
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_blocks_lead_to_an_end_and_never_to_a_contradiction(seed: u64, void_share in 0.0..1.0, seconds in 1_u64..200) {
        let mut random = fastrand::Rng::with_seed(seed);
        let slo = vec![Criterion::quantile(0.99, Duration::from_millis(50)), Criterion::Failed { share: 0.05 }];
        let goal = Goal { budget: Duration::from_secs(seconds), max_per_s: 700.0, ..Goal::new(slo) };
        let mut search = Search::new(goal).expect("it can be searched for");
        for _ in 0..5_000 {
            if let Step::Change { rate_per_s } = search.next() {
                prop_assert!(rate_per_s > 0.0 && rate_per_s <= 700.000_001, "{}", rate_per_s);
                prop_assert_eq!(rate_per_s, search.rate_per_s());
            }
            if search.next() == Step::Done {
                break;
            }
            search.take(&any_block(&mut random, void_share));
        }
        // Blocks of no length use nothing up; whoever runs the search may end it.
        search.stop();
        prop_assert_eq!(search.next(), Step::Done);
        let found = search.found().expect("it is done");
        if let (Some(lower), Some(upper)) = (found.lower_per_s, found.upper_per_s) {
            prop_assert!(lower <= upper * 1.000_001, "{}", found);
        }
        prop_assert!(found.curve.iter().all(|point| point.rate_per_s > 0.0));
    }
}

#[test]
fn the_next_step_stays_until_a_block_is_taken() {
    let mut search = Search::new(Goal::new(vec![Criterion::Failed { share: 0.01 }])).expect("it can be searched for");
    let Step::Change { rate_per_s } = search.next() else { panic!("it begins with a rate") };
    assert_eq!(search.next(), Step::Change { rate_per_s });
    search.take(&Block { length_ns: 1_000_000_000, due: 10, ..Block::default() });
    assert_eq!(search.next(), Step::Hold);
}
