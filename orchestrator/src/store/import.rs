//! A run that was exported elsewhere enters the store.

use std::path::Path;

use onrush_protocol::TestId;
use rusqlite::{Connection, params};

use super::one_test::TABLES;
use super::{Durability, Store, StoreError};
use crate::event::TestEvent;

impl Store {
    /// Copies the one test of a checked file into this store, as the newest, and notes in its events that it was. All of it or
    /// nothing; the caller knows that no test has its name.
    pub fn import(&mut self, file: &Path, test_id: &TestId, at_unix_ms: f64) -> Result<(), StoreError> {
        // Of one that was deleted here nothing may be left.
        while self.sweep()? {}
        self.connection.execute("ATTACH ?1 AS run", [file.to_string_lossy()])?;
        let copied = self.copy_in(test_id, at_unix_ms);
        self.connection.execute_batch("DETACH run")?;
        copied
    }

    fn copy_in(&mut self, test_id: &TestId, at_unix_ms: f64) -> Result<(), StoreError> {
        let transaction = self.begin(Durability::Power)?;
        transaction.execute("DELETE FROM deleted_tests WHERE test_id = ?1", [test_id.as_str()])?;
        for (table, order) in TABLES {
            let (columns, values) = columns(&transaction, table)?;
            let sql = format!("INSERT INTO main.{table} ({columns}) SELECT {values} FROM run.{table} ORDER BY {order}");
            transaction.execute(&sql, [])?;
        }
        let sql = "INSERT INTO events (test_id, position, at_unix_ms, kind, detail)
            SELECT ?1, coalesce(max(position) + 1, 0), ?2, ?3, ?4 FROM events WHERE test_id = ?1";
        let detail = "it ran elsewhere; all of it was recomputed from its reports before it was taken";
        transaction.execute(sql, params![test_id.as_str(), at_unix_ms, TestEvent::Imported.name(), detail])?;
        Ok(transaction.commit()?)
    }
}

/// The columns of a table, and what stands in them. Its place in the order of creation a test gets here; it was not published here,
/// and the list writes anew what it shows.
fn columns(connection: &Connection, table: &str) -> Result<(String, String), StoreError> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1, 'main')")?;
    let names = statement.query_map([table], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = names.into_iter().filter(|name| name != "ordinal").collect();
    let value = |name: &String| match name.as_str() {
        "published_order" => "0".to_owned(),
        "listed" => "NULL".to_owned(),
        name => name.to_owned(),
    };
    Ok((names.join(", "), names.iter().map(value).collect::<Vec<_>>().join(", ")))
}
