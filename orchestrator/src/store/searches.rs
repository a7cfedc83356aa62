//! Capacity searches. What was found is kept as REST shows it; what is needed to go on with one are its goal and the sealed
//! seconds of its test.

use std::time::Duration;

use onrush_api::{FoundView, ended_text};
use onrush_protocol::{TestId, decode_own_bytes};
use onrush_search::{Criterion, Goal};
use onrush_stats::{Distribution, Summary};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::unreadable::Stored;
use super::{StoreError, coding, second, tests_table};
use crate::capacity::{SearchEnd, SearchRecord};
use crate::second::SecondNumbers;
use crate::state::SearchState;

/// A search as the store has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSearch {
    /// What it looks for; `None`: it cannot be read.
    pub goal: Option<Goal>,
    /// Where it is in its life.
    pub state: SearchState,
    /// Why it could not go on.
    pub reason: Option<String>,
    /// When it ended.
    pub ended_unix_ms: Option<f64>,
    /// How long it has taken.
    pub elapsed_s: f64,
    /// The rate that it asks for now.
    pub trying_per_s: Option<f64>,
    /// What it found, or knows so far.
    pub found: FoundView,
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchList {
    /// The searches, each with its test.
    pub searches: Vec<(Stored, StoredSearch)>,
    /// Whether there are older ones.
    pub more: bool,
}

#[derive(Serialize, Deserialize)]
struct GoalRow {
    slo: Vec<CriterionRow>,
    width: f64,
    confidence: f64,
    budget_s: f64,
    start_per_s: f64,
    max_per_s: f64,
    warm_up_blocks: usize,
}

/// One criterion; without a limit it is about failures.
#[derive(Serialize, Deserialize)]
struct CriterionRow {
    limit_ns: Option<u64>,
    share: f64,
}

impl GoalRow {
    fn of(goal: &Goal) -> Self {
        let Goal { slo, width, confidence, budget, start_per_s, max_per_s, warm_up_blocks } = goal;
        let row = |criterion: &Criterion| match criterion {
            Criterion::Latency { limit_ns, share } => CriterionRow { limit_ns: Some(*limit_ns), share: *share },
            Criterion::Failed { share } => CriterionRow { limit_ns: None, share: *share },
        };
        Self {
            slo: slo.iter().map(row).collect(),
            width: *width,
            confidence: *confidence,
            budget_s: budget.as_secs_f64(),
            start_per_s: *start_per_s,
            max_per_s: *max_per_s,
            warm_up_blocks: *warm_up_blocks,
        }
    }

    fn goal(self) -> Result<Goal, StoreError> {
        let Self { slo, width, confidence, budget_s, start_per_s, max_per_s, warm_up_blocks } = self;
        let criterion = |CriterionRow { limit_ns, share }| match limit_ns {
            Some(limit_ns) => Criterion::Latency { limit_ns, share },
            None => Criterion::Failed { share },
        };
        let budget = Duration::try_from_secs_f64(budget_s).map_err(|e| StoreError::BadValue(e.to_string()))?;
        let slo = slo.into_iter().map(criterion).collect();
        Ok(Goal { slo, width, confidence, budget, start_per_s, max_per_s, warm_up_blocks })
    }
}

/// Writes a search as it is now; what it knew before stays where there is nothing new.
pub fn save_search(transaction: &Transaction, record: &SearchRecord) -> Result<(), StoreError> {
    let SearchRecord { test_id, goal, end, ended_unix_ms, elapsed, trying_per_s, found } = record;
    let ended = |own: String| match end {
        None => None,
        Some(SearchEnd::Found) => Some(own),
        Some(SearchEnd::Changes) => Some(
            "its load was changed as often as that of one test can be; what was known by then is the result".into(),
        ),
        Some(SearchEnd::Slowest) => Some("the lowest rate that can be asked for breaks the SLO already".into()),
        Some(SearchEnd::Stopped) => Some("it was stopped; what was known by then is the result".into()),
        Some(SearchEnd::Failed(why)) => Some(format!("it could not go on: {why}")),
    };
    let found = found.as_ref().map(|found| coding::json(&FoundView::of(found, ended(ended_text(&found.ended)))));
    let state = end.as_ref().map_or(SearchState::Running, SearchEnd::state);
    let reason = if let Some(SearchEnd::Failed(why)) = end { Some(why) } else { None };
    let sql = "INSERT INTO searches (test_id, goal, state, reason, ended_unix_ms, elapsed_s, trying_per_s, found)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (test_id) DO UPDATE SET state = ?3, reason = ?4, ended_unix_ms = ?5, elapsed_s = ?6, trying_per_s = ?7,
        found = coalesce(?8, found)";
    transaction.prepare_cached(sql)?.execute(params![
        test_id.as_str(),
        coding::json(&GoalRow::of(goal)),
        state.name(),
        reason,
        ended_unix_ms,
        elapsed.as_secs_f64(),
        end.is_none().then_some(trying_per_s),
        found,
    ])?;
    Ok(())
}

const COLUMNS: &str = "goal, state, reason, ended_unix_ms, elapsed_s, trying_per_s, found, test_id";

fn stored(row: &Row) -> Result<StoredSearch, StoreError> {
    match whole(row) {
        Err(error) if error.is_unreadable() => Ok(StoredSearch {
            goal: None,
            state: SearchState::Failed,
            reason: Some(format!("what is stored of this search cannot be read: {error}")),
            ended_unix_ms: None,
            elapsed_s: 0.0,
            trying_per_s: None,
            found: FoundView::default(),
        }),
        read => read,
    }
}

fn whole(row: &Row) -> Result<StoredSearch, StoreError> {
    let goal: GoalRow = coding::of_json(&row.get::<_, String>(0)?)?;
    let found: Option<String> = row.get(6)?;
    Ok(StoredSearch {
        goal: Some(goal.goal()?),
        state: coding::of_name(row.get(1)?, SearchState::from_name)?,
        reason: row.get(2)?,
        ended_unix_ms: row.get(3)?,
        elapsed_s: row.get(4)?,
        trying_per_s: row.get(5)?,
        found: found.map(|text| coding::of_json(&text)).transpose()?.unwrap_or_default(),
    })
}

/// One search, with its test.
pub fn search(connection: &Connection, test_id: &str) -> Result<Option<(Stored, StoredSearch)>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM searches WHERE test_id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([test_id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let search = stored(row)?;
    Ok(tests_table::test(connection, test_id)?.map(|test| (test, search)))
}

/// The newest searches first, created before the search `before`: at most `limit`, and no more than fit into `max_bytes` (at least
/// one). `None`: there is no such search.
pub fn newest_searches(
    connection: &Connection,
    limit: usize,
    before: Option<&str>,
    max_bytes: usize,
) -> Result<Option<SearchList>, StoreError> {
    let before: i64 = match before {
        None => i64::MAX,
        Some(test_id) => {
            let sql = "SELECT ordinal FROM searches WHERE test_id = ?1";
            let Some(ordinal) = connection.query_row(sql, [test_id], |row| row.get(0)).optional()? else {
                return Ok(None);
            };
            ordinal
        }
    };
    let sql = format!("SELECT {COLUMNS} FROM searches WHERE ordinal < ?1 ORDER BY ordinal DESC LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    // One more than asked for says whether there are older ones.
    let mut rows = statement.query(params![before, i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)])?;
    let (mut searches, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let mut search = stored(row)?;
        // The list does not show them.
        (search.found.trials, search.found.curve) = Default::default();
        let test = tests_table::test(connection, &row.get::<_, String>(7)?)?;
        let test = test.ok_or_else(|| StoreError::BadValue("a search without its test".into()))?;
        let (Stored::Whole(record) | Stored::Unreadable(record)) = &test;
        bytes += record.config.target_url.as_ref().map_or(0, String::len) + LISTED_BYTES;
        if searches.len() == limit || (bytes > max_bytes && !searches.is_empty()) {
            return Ok(Some(SearchList { searches, more: true }));
        }
        searches.push((test, search));
    }
    Ok(Some(SearchList { searches, more: false }))
}

/// What a search in the list takes beside its URL, at most.
const LISTED_BYTES: usize = 2 * 1024;

/// The searches that go on.
pub fn open_searches(connection: &Connection) -> Result<Vec<(TestId, StoredSearch)>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM searches WHERE state = ?1 ORDER BY ordinal");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([SearchState::Running.name()])?;
    let mut searches = Vec::new();
    while let Some(row) = rows.next()? {
        searches.push((coding::id(row.get(7)?, TestId::new)?, stored(row)?));
    }
    Ok(searches)
}

/// Ends a search that cannot go on; what it knew stays.
pub fn give_up_search(
    transaction: &Transaction,
    test_id: &TestId,
    why: &str,
    now_unix_ms: f64,
) -> Result<(), StoreError> {
    tracing::error!(search = %test_id, why, "a capacity search is given up");
    let sql = "UPDATE searches SET state = ?2, reason = ?3, ended_unix_ms = ?4, trying_per_s = NULL WHERE test_id = ?1";
    transaction.execute(sql, params![test_id.as_str(), SearchState::Failed.name(), why, now_unix_ms])?;
    Ok(())
}

/// Every sealed second of a test in order, with the latencies of all its drivers.
pub fn each_second(
    connection: &Connection,
    test_id: &str,
    mut take: impl FnMut(&SecondNumbers, Distribution),
) -> Result<(), StoreError> {
    let sql = "SELECT view, latency FROM seconds WHERE test_id = ?1 ORDER BY second_index";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([test_id])?;
    while let Some(row) = rows.next()? {
        let numbers = second::of_text(&row.get::<_, String>(0)?)?;
        let latency = match numbers.all.latency {
            None => Distribution::default(),
            Some(Summary { count, mean_ms, min_ms, max_ms, .. }) => {
                let histogram = decode_own_bytes(&row.get::<_, Vec<u8>>(1)?).map_err(coding::bad_histogram)?;
                let ns = |ms: f64| (ms * 1e6).round() as u64;
                Distribution::from_parts(histogram, ns(mean_ms * count as f64), ns(min_ms), ns(max_ms))
            }
        };
        take(&numbers, latency);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use onrush_search::{Block, Search};

    use super::super::{Durability, Store, StoreReader, save_test};
    use super::*;
    use crate::testing::{running, test_id};

    fn record(name: &str, end: Option<SearchEnd>) -> SearchRecord {
        let slo = vec![Criterion::quantile(0.999, Duration::from_millis(20)), Criterion::Failed { share: 0.001 }];
        let goal = Goal { start_per_s: 33.3, ..Goal::new(slo) };
        let mut search = Search::new(goal.clone()).unwrap();
        let mut block = Block { length_ns: 1_000_000_000, due: 4_000, ..Block::default() };
        (0..4_000).for_each(|_| block.latency.record(1_000_000));
        (0..60).for_each(|_| search.take(&block));
        SearchRecord {
            test_id: test_id(name),
            goal,
            ended_unix_ms: end.as_ref().map(|_| 9_000.0),
            end,
            elapsed: Duration::from_secs(60),
            trying_per_s: 66.6,
            found: Some(search.so_far()),
        }
    }

    fn save(store: &mut Store, record: &SearchRecord) {
        let transaction = store.begin(Durability::Process).unwrap();
        save_test(&transaction, &running(record.test_id.as_str(), 1, &["a"])).unwrap();
        save_search(&transaction, record).unwrap();
        transaction.commit().unwrap();
    }

    #[test]
    fn a_search_comes_back_as_it_was_stored_and_keeps_what_it_knew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("onrush.db");
        let mut store = Store::open(&path).unwrap();
        let first = record("one", None);
        save(&mut store, &first);
        let (_, stored) = search(store.connection(), "one").unwrap().unwrap();
        assert_eq!((&stored.goal, stored.state), (&Some(first.goal.clone()), SearchState::Running));
        assert_eq!((stored.elapsed_s, stored.trying_per_s, stored.ended_unix_ms), (60.0, Some(66.6), None));
        let known = FoundView::of(first.found.as_ref().unwrap(), None);
        assert_eq!(stored.found, known);
        assert!(!known.trials.is_empty() && known.lower_per_s.is_some());
        save(&mut store, &SearchRecord { found: None, elapsed: Duration::from_secs(61), ..first });
        let (_, stored) = search(store.connection(), "one").unwrap().unwrap();
        assert_eq!((stored.elapsed_s, stored.found), (61.0, known));
        let open = open_searches(store.connection()).unwrap();
        assert_eq!(open.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["one"]);

        save(&mut store, &record("two", Some(SearchEnd::Failed("it broke".into()))));
        save(&mut store, &record("three", Some(SearchEnd::Stopped)));
        store.give_up_search(&test_id("one"), "no test", crate::clock::Now::read()).unwrap();
        assert!(open_searches(store.connection()).unwrap().is_empty());
        let reader = StoreReader::open(&path).unwrap();
        let (_, two) = reader.search("two").unwrap().unwrap();
        assert_eq!((two.state, two.reason.as_deref()), (SearchState::Failed, Some("it broke")));
        assert_eq!(two.found.ended.as_deref(), Some("it could not go on: it broke"));
        let names = |limit, before| {
            let page = reader.searches(limit, before, 1 << 20).unwrap().unwrap();
            let name = |(test, _): &(Stored, StoredSearch)| test.clone().record().test_id.to_string();
            (page.searches.iter().map(name).collect::<Vec<_>>(), page.more)
        };
        assert_eq!(names(2, None), (vec!["three".into(), "two".into()], true));
        assert_eq!(names(2, Some("two")), (vec!["one".into()], false));
        assert!(reader.searches(2, Some("none"), 1 << 20).unwrap().is_none());
        assert!(reader.search("none").unwrap().is_none());
    }

    #[test]
    fn a_search_that_cannot_be_read_is_shown_as_that() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("onrush.db")).unwrap();
        save(&mut store, &record("one", None));
        store.connection().execute("UPDATE searches SET goal = 'none'", []).unwrap();
        let (_, stored) = search(store.connection(), "one").unwrap().unwrap();
        assert_eq!((stored.state, stored.goal), (SearchState::Failed, None));
        assert!(stored.reason.unwrap().contains("cannot be read"));
    }
}
