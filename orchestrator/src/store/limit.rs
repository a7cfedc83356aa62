//! Who was the limit, as a column and back.

use onrush_stats::{FoundLimit, LimitedBy, Resource};
use serde::{Deserialize, Serialize};

use super::{StoreError, coding};

#[derive(Serialize, Deserialize)]
struct LimitColumn {
    limited_by: String,
    resource: Option<String>,
    reasons: String,
    since_second: Option<u64>,
}

/// A limit as JSON.
pub fn text(FoundLimit { limited_by, resource, reasons, since_second }: &FoundLimit) -> String {
    coding::json(&LimitColumn {
        limited_by: limited_by.name().into(),
        resource: resource.map(|resource| resource.name().into()),
        reasons: reasons.clone(),
        since_second: *since_second,
    })
}

/// The limit of [`text`].
pub fn of_text(text: &str) -> Result<FoundLimit, StoreError> {
    let LimitColumn { limited_by, resource, reasons, since_second } = coding::of_json(text)?;
    Ok(FoundLimit {
        limited_by: coding::of_name(limited_by, LimitedBy::from_name)?,
        resource: resource.map(|name| coding::of_name(name, Resource::from_name)).transpose()?,
        reasons,
        since_second,
    })
}
