//! One load alone: what the blocks at it say of its latency, without an SLO.

use onrush_stats::Distribution;

use crate::block::Block;
use crate::dispersion::{Series, dispersion};
use crate::found::{CURVE_QUANTILES, CurvePoint};

impl CurvePoint {
    /// The latency at a rate by the blocks that measured it and follow one another. Latencies are correlated in time: how much wider
    /// that makes the intervals is told by how the share above each quantile differs between the blocks.
    pub fn of_blocks(rate_per_s: f64, blocks: &[Block], confidence: f64) -> Self {
        let mut latency = Distribution::default();
        blocks.iter().for_each(|block| latency.merge(&block.latency));
        let due: Vec<u64> = blocks.iter().map(|block| block.due).collect();
        let all: u64 = due.iter().sum::<u64>().max(latency.count());
        let effect = |quantile: f64| {
            let rank = (quantile * all as f64).ceil().max(1.0) as u64;
            let Some(limit_ns) = latency.at_rank_ns(rank) else { return 1.0 };
            let above = |block: &Block| {
                let within = block.latency.histogram().map_or(0, |histogram| histogram.count_between(0, limit_ns));
                let above = block.latency.count().saturating_sub(within).saturating_add(block.without_response);
                i64::try_from(above).unwrap_or(i64::MAX)
            };
            let broken: Vec<i64> = blocks.iter().map(above).collect();
            dispersion(std::iter::once(Series { due: &due, broken: &broken, expected: None })).design_effect
        };
        let design_effect = CURVE_QUANTILES.into_iter().map(effect).fold(1.0, f64::max);
        Self::new(rate_per_s, all, &latency, design_effect, confidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 100 requests, whose latency grows by `step_ms` from block to block.
    fn blocks(step_ms: u64) -> Vec<Block> {
        let block = |k: u64| {
            let mut block = Block { length_ns: 1_000_000_000, due: 100, ..Block::default() };
            (0..100).for_each(|n| block.latency.record((n + k * step_ms + 1) * 1_000_000));
            block
        };
        (0..20).map(block).collect()
    }

    #[test]
    fn latencies_that_drift_make_intervals_wider() {
        let width = |step_ms| {
            let median = CurvePoint::of_blocks(100.0, &blocks(step_ms), 0.95).quantiles[0];
            (median.upper_ns.expect("known") - median.lower_ns.expect("known")) as f64 / 1e6
        };
        assert!(width(0) < 6.0, "{}", width(0));
        assert!(width(20) > 5.0 * width(0), "{} and {}", width(20), width(0));
    }

    #[test]
    fn what_got_no_response_is_slower_than_all() {
        let mut blocks = blocks(0);
        blocks.iter_mut().for_each(|block| (block.due, block.without_response) = (200, 100));
        let point = CurvePoint::of_blocks(200.0, &blocks, 0.95);
        assert_eq!(point.due, 4_000);
        assert!(point.quantiles[0].value_ns.is_some() && point.quantiles[1].value_ns.is_none(), "{point:?}");
    }
}
