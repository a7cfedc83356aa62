//! The SQLite file: what must survive the death of this process.
//!
//! One writer, the brain; whoever only reads has a few connections of his own. Every batch of messages is one
//! transaction: its effects, the offsets behind it and the messages that follow from it. The journal is a WAL. A commit
//! survives the death of the process by whatever cause, and a power failure where it is a [`Durability::Power`] one: what
//! others were told or will be told. Of the rest the last ones may be lost to a power failure; the file is whole even then,
//! and the offsets go back with their effects.

mod coding;
mod deleting;
mod disk;
mod import;
mod limit;
mod list;
mod measures;
mod names;
mod one_test;
mod private;
mod proof;
mod read;
mod schema;
mod searches;
mod second;
mod snapshot;
mod tests_table;
mod thresholds;
mod timeline;
mod unreadable;

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use onrush_protocol::{NodeId, Register, SessionId, TestId, Topic};
use rusqlite::{Connection, ErrorCode, Row, Transaction, params};

use crate::clock::Now;
use crate::registry::Identity;

pub use deleting::{Retention, expired, was_deleted};
pub use limit::limits;
pub use list::{ListFilter, ListedTest};
pub use measures::{open_aggregate, save_report, save_sealed, save_totals, second_of};
pub use one_test::{OneTest, copy_test};
pub use read::{READERS, StoreReader};
pub use searches::{SearchList, StoredSearch, each_second, open_searches, save_search, search};
pub use snapshot::save_snapshot;
pub use tests_table::{exists, last_published_order, open_tests, save_participants, save_test, test, triggered_since};
pub use thresholds::watch;
pub use unreadable::{Stored, reason};

/// Why the store could not be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error("another orchestrator is running on {}; stop it, or give this one a file of its own by --store", .0.display())]
    InUse(PathBuf),
    #[error("cannot open {}: {error}; --store must name a file in a folder that exists and can be written", .path.display())]
    Lock { path: PathBuf, error: std::io::Error },
    #[error(
        "the store was written by a later version of onrush (schema {version}; this one knows {known}): update onrush, or give another file by --store"
    )]
    Newer { version: usize, known: usize },
    #[error("the file is a database of something else than onrush; give another file by --store")]
    Foreign,
    #[error("the store holds a value that this version cannot read: {0}")]
    BadValue(String),
    #[error("{disk} is full: {} cannot be written; free some space, and everything goes on", .path.display())]
    Full { disk: String, path: PathBuf },
    #[error("the store {}: {error}", .path.display())]
    Fails { path: PathBuf, error: rusqlite::Error },
    #[error("cannot write what is to be exported to {}: {error}", .folder.display())]
    Export { folder: PathBuf, error: std::io::Error },
    #[error("the store: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl StoreError {
    /// The same with the name of the file, and of the disk where that is full.
    pub fn of_file(self, path: &Path) -> Self {
        let Self::Sqlite(error) = self else { return self };
        let path = path.to_owned();
        let full = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => true,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => disk::is_full(&path),
            _ => false,
        };
        if full { Self::Full { disk: disk::name(&path), path } } else { Self::Fails { path, error } }
    }
}

/// Keeps other orchestrators from a store file, until it is dropped.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Takes the lock, or says who has it.
    pub fn take(store: &Path) -> Result<Self, StoreError> {
        let mut path = store.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let failed = |error| StoreError::Lock { path: path.clone(), error };
        let file = private::options().truncate(false).open(&path).map_err(failed)?;
        private::tighten_one(&path);
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(store.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process. It waits for nothing.
    Process,
    /// A power failure. It waits for the disk.
    Power,
}

/// The store, for its one writer.
pub struct Store {
    connection: Connection,
    durability: Durability,
}

/// A message that waits for the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its place in the order.
    pub id: i64,
    /// Where it goes.
    pub topic: Topic,
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Store {
    /// Opens the file, makes it where it is missing, brings it to this version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        private::create(path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut connection)?;
        // Now it is known to be ours.
        private::tighten(path);
        Ok(Self { connection, durability: Durability::Power })
    }

    /// Begins a transaction; dropped without a commit, nothing of it happened.
    pub fn begin(&mut self, durability: Durability) -> Result<Transaction<'_>, StoreError> {
        if durability != self.durability {
            let synchronous = match durability {
                Durability::Process => "NORMAL",
                Durability::Power => "FULL",
            };
            self.connection.pragma_update(None, "synchronous", synchronous)?;
            self.durability = durability;
        }
        Ok(self.connection.transaction()?)
    }

    /// Whether anything can be written.
    pub fn try_writing(&mut self) -> Result<(), StoreError> {
        let version: i64 = self.connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let transaction = self.begin(Durability::Power)?;
        transaction.pragma_update(None, "user_version", version)?;
        Ok(transaction.commit()?)
    }

    /// Ends an open test of which something cannot be read: it can neither run nor go on.
    pub fn give_up(&mut self, test_id: &TestId, why: &str, now: Now) -> Result<(), StoreError> {
        let transaction = self.begin(Durability::Power)?;
        unreadable::give_up(&transaction, test_id, why, now)?;
        Ok(transaction.commit()?)
    }

    /// Ends a capacity search that cannot go on.
    pub fn give_up_search(&mut self, test_id: &TestId, why: &str, now: Now) -> Result<(), StoreError> {
        let transaction = self.begin(Durability::Power)?;
        searches::give_up_search(&transaction, test_id, why, now.unix_ms)?;
        Ok(transaction.commit()?)
    }

    /// For reading.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Moves what the WAL holds into the file.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }
}

/// Where to go on reading: by source (which tells one topic's offsets from another's), topic and partition.
pub fn all_offsets(connection: &Connection) -> Result<HashMap<(String, String, i32), i64>, StoreError> {
    let mut statement = connection.prepare("SELECT source, topic, partition, next_offset FROM offsets")?;
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that everything of a partition below `next_offset` took effect.
pub fn save_offset(
    transaction: &Transaction,
    source: &str,
    topic: Topic,
    partition: i32,
    next_offset: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO offsets (source, topic, partition, next_offset) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset";
    transaction.prepare_cached(sql)?.execute(params![source, topic.name(), partition, next_offset])?;
    Ok(())
}

/// Puts a message into the outbox.
pub fn post(transaction: &Transaction, topic: Topic, key: &str, payload: &[u8]) -> Result<(), StoreError> {
    let sql = "INSERT INTO outbox (topic, key, payload) VALUES (?1, ?2, ?3)";
    transaction.prepare_cached(sql)?.execute(params![topic.name(), key, payload])?;
    Ok(())
}

/// The messages of the outbox behind `after`, in order, at most `limit`. One for a topic that this version does not know
/// holds up no other.
pub fn outbox(connection: &Connection, after: i64, limit: usize) -> Result<Vec<Outgoing>, StoreError> {
    let topics = Topic::ALL.map(|topic| format!("'{}'", topic.name())).join(", ");
    let sql = format!(
        "SELECT id, topic, key, payload FROM outbox WHERE id > ?1 AND topic IN ({topics}) ORDER BY id LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![after, limit as i64])?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let topic = Topic::from_full_name(&name, "").ok_or_else(|| StoreError::BadValue(format!("topic {name}")))?;
        messages.push(Outgoing { id: row.get(0)?, topic, key: row.get(2)?, payload: row.get(3)? });
    }
    Ok(messages)
}

/// Forgets the messages up to `last`: the broker has them.
pub fn confirm(transaction: &Transaction, last: i64) -> Result<(), StoreError> {
    transaction.prepare_cached("DELETE FROM outbox WHERE id <= ?1")?.execute([last])?;
    Ok(())
}

/// The drivers that are known.
pub fn drivers(connection: &Connection) -> Result<Vec<Identity>, StoreError> {
    let sql = "SELECT node_id, session_id, node_ip, hostname, version, cpus, registered_unix_ms, admitted FROM drivers";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut drivers = Vec::new();
    while let Some(row) = rows.next()? {
        match driver(row) {
            Ok(driver) => drivers.push(driver),
            // It will register again.
            Err(error) if error.is_unreadable() => tracing::error!(%error, "a stored driver cannot be read"),
            Err(error) => return Err(error),
        }
    }
    Ok(drivers)
}

fn driver(row: &Row) -> Result<Identity, StoreError> {
    let register = Register {
        node_id: coding::id(row.get(0)?, NodeId::new)?,
        session_id: coding::optional_id(row.get(1)?, SessionId::new)?,
        node_ip: row.get(2)?,
        hostname: row.get(3)?,
        version: row.get(4)?,
        cpus: row.get(5)?,
    };
    Ok(Identity { register, registered_unix_ms: row.get(6)?, admitted: row.get(7)? })
}

/// Writes a driver.
pub fn save_driver(transaction: &Transaction, identity: &Identity) -> Result<(), StoreError> {
    let Identity { register, registered_unix_ms, admitted } = identity;
    let Register { node_id, session_id, node_ip, hostname, version, cpus } = register;
    let sql = "INSERT OR REPLACE INTO drivers
        (node_id, session_id, node_ip, hostname, version, cpus, registered_unix_ms, admitted)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    transaction.prepare_cached(sql)?.execute(params![
        node_id.as_str(),
        session_id.as_ref().map(SessionId::as_str),
        node_ip,
        hostname,
        version,
        cpus,
        registered_unix_ms,
        admitted
    ])?;
    Ok(())
}

/// Forgets a driver.
pub fn remove_driver(transaction: &Transaction, node_id: &NodeId) -> Result<(), StoreError> {
    transaction.prepare_cached("DELETE FROM drivers WHERE node_id = ?1")?.execute([node_id.as_str()])?;
    Ok(())
}

#[cfg(test)]
mod tests;
