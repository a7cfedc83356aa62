//! The names that requests are counted under.

use crate::escaped;

/// A test tells so many names apart; what is beyond them is counted as [`OTHER`].
pub const MAX_NAMES: usize = 64;
/// A name has at most this many bytes.
pub const MAX_NAME_BYTES: usize = 100;
/// The name of what is beyond [`MAX_NAMES`].
pub const OTHER: &str = "other";

/// The name of a request that was given none: method and path without its query, cut where that is long.
pub fn default_name(method: &str, request_target: &str) -> String {
    let path = request_target.split(['?', '#']).next().unwrap_or_default();
    escaped(format!("{method} {path}").as_bytes(), MAX_NAME_BYTES)
}

/// The names of a test's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The names that are told apart, in the order of the requests, and [`OTHER`] last where there are more; empty where all
    /// requests have the same.
    pub told: Vec<String>,
    /// For each request the index of its name; empty where `told` is.
    pub of_request: Vec<u16>,
    /// How many names are not told apart.
    pub folded: usize,
}

impl Names {
    /// The names of requests, in their order.
    pub fn of(requests: impl Iterator<Item = String>) -> Self {
        let mut known = std::collections::HashMap::new();
        let (mut told, mut of_request) = (Vec::new(), Vec::new());
        for name in requests {
            let index = *known.entry(name).or_insert_with_key(|name| {
                if told.len() < MAX_NAMES {
                    told.push(name.clone());
                }
                // All beyond the last one share a place.
                told.len() as u16 - 1 + u16::from(told.last() != Some(name))
            });
            of_request.push(index);
        }
        let folded = known.len() - told.len();
        match (told.len(), folded) {
            (0 | 1, _) => return Self::default(),
            (_, 0) => {}
            _ => told.push(OTHER.to_owned()),
        }
        Self { told, of_request, folded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_method_and_path() {
        assert_eq!(default_name("GET", "/a/b?c=d"), "GET /a/b");
        assert_eq!(default_name("POST", "/"), "POST /");
        let long = default_name("GET", &format!("/{}", "a".repeat(500)));
        assert!(long.len() <= MAX_NAME_BYTES && long.ends_with("..."), "{long}");
    }

    #[test]
    fn one_name_is_none_and_what_is_beyond_the_last_is_other() {
        let names = |texts: &[&str]| Names::of(texts.iter().map(|text| (*text).to_owned()));
        assert_eq!(names(&[]), Names::default());
        assert_eq!(names(&["a", "a"]), Names::default());
        let two = names(&["b", "a", "b"]);
        assert_eq!((two.told, two.of_request, two.folded), (vec!["b".into(), "a".into()], vec![0, 1, 0], 0));
        let all = Names::of((0..MAX_NAMES).map(|k| k.to_string()));
        assert_eq!((all.told.len(), all.of_request[MAX_NAMES - 1], all.folded), (MAX_NAMES, 63, 0));
        let many = Names::of((0..10_000).chain([3, 9_999]).map(|k| k.to_string()));
        assert_eq!((many.told.len(), many.told[MAX_NAMES].as_str(), many.folded), (65, OTHER, 9_936));
        assert_eq!([0, 63, 64, 9_999, 10_000, 10_001].map(|k| many.of_request[k]), [0, 63, 64, 64, 3, 64]);
    }
}
