//! What those hear who follow a test.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use onrush_api::{MetricsView, SecondView, TestView};

/// What subscribers of a test hear, in order.
#[derive(Clone, Debug)]
pub enum Update {
    /// The test or one of its participants changed its state.
    Test(Arc<Shown<TestView>>),
    /// A second was sealed, or merged anew because a report came late; with the totals so far.
    Second(Arc<Shown<(SecondView, MetricsView)>>),
}

impl Update {
    /// The test as it is now.
    pub fn test(test: TestView) -> Self {
        Self::Test(Arc::new(Shown::new(test)))
    }

    /// A second, and the totals with it.
    pub fn second(second: SecondView, totals: MetricsView) -> Self {
        Self::Second(Arc::new(Shown::new((second, totals))))
    }
}

/// What many are shown, and the event that tells them, which is written once for all.
#[derive(Debug)]
pub struct Shown<T> {
    value: T,
    event: OnceLock<Bytes>,
}

impl<T> Shown<T> {
    /// A value that nobody was told of yet.
    pub fn new(value: T) -> Self {
        Self { value, event: OnceLock::new() }
    }

    pub(crate) fn event(&self, write: impl FnOnce() -> Bytes) -> Bytes {
        self.event.get_or_init(write).clone()
    }
}

impl<T> Deref for Shown<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
