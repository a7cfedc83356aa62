//! Two results compared: how large each difference is, as an interval, and whether it is proven.
//!
//! It takes seconds as they were measured and gives figures and words. It refuses to know clocks, files, sockets, and where the
//! seconds come from.
//!
//! Reading order: `timeline` (a run as stretches of time), `quantity` (what is compared), `weighed` (those quantities over a run
//! whose stretches count more or less often), `dependence` and `resample` (how a run might have been otherwise), `comparison`
//! (both runs together), `gate` (what a difference may be), `words`.
//!
//! How it works, and where that is from:
//!
//! - Requests of one second share their luck, and so do neighbouring seconds. So stretches of time are drawn, not requests: a
//!   circular block bootstrap (Politis and Romano 1992, "A circular block-resampling procedure for stationary data"), whose block
//!   length follows from the correlation that is seen (Politis and White 2004, with the correction of Patton, Politis and White
//!   2009), and which is corrected for the correlation that blocks tear apart (Künsch 1989). The seed is fixed: the same two
//!   results give the same comparison.
//! - A ratio is compared by its logarithm. Its interval is the bootstrap's standard error times Student's t with as many degrees of
//!   freedom as there are independent blocks: few blocks must not look like many.
//! - Who looks at eight rows sees one in three comparisons of equals "differ" somewhere. A difference is called proven only where
//!   the rows together hold with 95 %: by the bootstrap's distribution of the largest deviation (Romano and Wolf 2005, "Exact and
//!   approximate stepdown methods for multiple hypothesis testing"), which knows how the rows hang together.
//! - A quantile is over everything that was due: what got no response is slower than all, as for thresholds.

mod comparison;
mod dependence;
mod gate;
mod quantity;
mod resample;
mod timeline;
mod weighed;
mod words;

pub use comparison::{CompareError, Compared, Comparison, Interval, MIN_BEYOND, MIN_STRETCHES, Settings};
pub use gate::{Gate, GateVerdict, Judged, MAX_GATES};
pub use quantity::Quantity;
pub use timeline::{MAX_STRETCHES, Stretch, Timeline};
