//! The door to the brain: what REST may ask of it.
//!
//! What is stored is read from the store, beside the brain; the brain is asked for what only it knows, and for
//! whatever changes something.

mod compare;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use onrush_api::{
    ConfigView, DriverView, HistogramView, MetricsView, SearchSummary, SearchView, SeriesView, StoppedView,
    TestSummary, TestView,
};
use onrush_protocol::TestId;
use tempfile::NamedTempFile;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot};

use crate::actor::Actor;
use crate::aggregate;
use crate::amend::LoadChange;
use crate::brain::{self, Command, Totalled};
use crate::core::{NewSearch, NewTest};
use crate::export::Export;
use crate::problem::Problem;
use crate::run_file::{self, RunFile, RunFileError};
use crate::store::{ListFilter, READERS, SearchList, StoreError, StoreReader, Stored, StoredSearch};
use crate::trouble::Trouble;
use crate::updates::Update;
use crate::views;

/// The brain answers most questions within milliseconds; a trigger waits for the drivers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Whoever asks for what takes work waits at most this long for his turn.
const TURN_PATIENCE: Duration = Duration::from_secs(10);
/// How much of a name that nobody has comes back.
const MAX_SHOWN_CHARS: usize = 100;
/// Scrapes that are rendered at once: Prometheus must not wait for those who read results.
const SCRAPES: usize = 2;
/// What an imported run may unpack to: an hour of eight busy drivers has a tenth of it.
const MAX_IMPORT_BYTES: u64 = 2 << 30;
/// Runs that are exported or imported at once.
const EXPORTS: usize = 1;

/// A part of the list of tests.
#[derive(Clone, Debug, PartialEq)]
pub struct TestPage {
    /// The tests.
    pub tests: Vec<TestSummary>,
    /// Whether there are older ones.
    pub more: bool,
}

/// A part of the list of capacity searches.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchPage {
    /// The searches.
    pub searches: Vec<SearchSummary>,
    /// Whether there are older ones.
    pub more: bool,
}

/// Asks the brain. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    reader: StoreReader,
    export: Export,
    /// One for each result that is put together at once: one takes megabytes.
    turns: Arc<Semaphore>,
    scrapes: Arc<Semaphore>,
    /// One for each run that is exported at once: one takes a file.
    exports: Arc<Semaphore>,
    store: Arc<Path>,
    trouble: Trouble,
    max_drivers: usize,
    /// In whose name it asks.
    actor: Actor,
}

/// The right to put a result together; gone when the last that uses it has.
type Turn = Arc<OwnedSemaphorePermit>;

impl Handle {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        reader: StoreReader,
        store: &Path,
        export: Export,
        trouble: Trouble,
        max_drivers: usize,
    ) -> Self {
        let [turns, scrapes, exports] = [READERS, SCRAPES, EXPORTS].map(|n| Arc::new(Semaphore::new(n)));
        let (store, actor) = (store.into(), Actor::NOBODY);
        Self { commands, reader, export, turns, scrapes, exports, store, trouble, max_drivers, actor }
    }

    /// The same, asking in the name of somebody.
    pub(crate) fn acting(&self, actor: Actor) -> Self {
        Self { actor, ..self.clone() }
    }

    /// At most so many drivers take part in a test.
    pub fn max_drivers(&self) -> usize {
        self.max_drivers
    }

    /// Stores and publishes a test; not where it is to be triggered and cannot be.
    pub async fn create(&self, test: NewTest) -> Result<TestView, Problem> {
        self.ask(|reply| Command::Create(Box::new(test), self.actor.clone(), reply)).await?
    }

    /// Starts a test: waits (seconds at most) until its drivers are armed.
    pub async fn trigger(&self, test_id: TestId) -> Result<TestView, Problem> {
        let done = self.ask(|reply| Command::Trigger(test_id.clone(), self.actor.clone(), reply)).await?;
        self.unless_ended(&test_id, done).await
    }

    /// Changes the load of a test that runs, no sooner than so long from now.
    pub async fn amend(
        &self,
        test_id: TestId,
        change: LoadChange,
        effective_in: Duration,
    ) -> Result<TestView, Problem> {
        let done =
            self.ask(|reply| Command::Amend(test_id.clone(), change, effective_in, self.actor.clone(), reply)).await?;
        self.unless_ended(&test_id, done).await
    }

    /// Stops a test; the drivers are told to stop also where it has ended or is unknown.
    pub async fn stop(&self, test_id: TestId) -> Result<TestView, Problem> {
        let done = self.ask(|reply| Command::Stop(test_id.clone(), self.actor.clone(), reply)).await?;
        let all_the_same = |why| format!("{why}; the drivers were told to stop it all the same");
        let told = |problem| match problem {
            Problem::NotFound(why) => Problem::NotFound(all_the_same(why)),
            Problem::Conflict(why) => Problem::Conflict(all_the_same(why)),
            other @ (Problem::Invalid(_) | Problem::Unavailable(_)) => other,
        };
        self.unless_ended(&test_id, done).await.map_err(told)
    }

    /// Forgets a test that is over, and everything that was measured in it.
    pub async fn delete(&self, test_id: TestId) -> Result<(), Problem> {
        self.ask(|reply| Command::Delete(test_id, self.actor.clone(), reply)).await?
    }

    /// Stops every test that is open, and whatever else drivers say that they are armed for or run.
    pub async fn stop_all(&self) -> Result<StoppedView, Problem> {
        let stopped = self.ask(|reply| Command::StopAll(self.actor.clone(), reply)).await??;
        Ok(StoppedView { stopped: stopped.iter().map(ToString::to_string).collect() })
    }

    /// The brain knows open tests only: one that it does not know may have ended.
    async fn unless_ended(&self, test_id: &TestId, done: Result<TestView, Problem>) -> Result<TestView, Problem> {
        match done {
            Err(Problem::NotFound(_)) => {
                let state = self.stored(test_id.clone()).await?.record().state.name();
                Err(Problem::conflict(format!(
                    "the test has ended ({state}) and cannot be started, changed or stopped any more"
                )))
            }
            other => other,
        }
    }

    /// One test.
    pub async fn test(&self, test_id: TestId) -> Result<TestView, Problem> {
        Ok(shown(&self.stored(test_id).await?))
    }

    async fn stored(&self, test_id: TestId) -> Result<Stored, Problem> {
        let id = test_id.to_string();
        let stored = self.read(&self.turn().await?, move |reader| reader.test(&id)).await?;
        stored.ok_or_else(|| Problem::no_such_test(&test_id))
    }

    /// The newest tests of that kind first, created before the test `before`: at most `limit`, and as many as fit into `max_bytes`.
    pub async fn tests(
        &self,
        filter: ListFilter,
        limit: usize,
        before: Option<TestId>,
        max_bytes: usize,
    ) -> Result<TestPage, Problem> {
        let id = before.as_ref().map(ToString::to_string);
        let read = move |reader: &StoreReader| reader.tests(&filter, limit, id.as_deref(), max_bytes);
        let page = self.read(&self.turn().await?, read).await?;
        let page = page.ok_or_else(|| before.as_ref().map_or_else(ending, Problem::no_such_test))?;
        Ok(TestPage { tests: page.tests.iter().map(views::summary).collect(), more: page.more })
    }

    /// Makes a capacity search and its test, which starts as soon as its drivers are armed.
    pub async fn create_search(&self, search: NewSearch) -> Result<SearchView, Problem> {
        self.ask(|reply| Command::CreateSearch(Box::new(search), self.actor.clone(), reply)).await?
    }

    /// Stops a capacity search and its test.
    pub async fn stop_search(&self, search_id: TestId) -> Result<SearchView, Problem> {
        match self.ask(|reply| Command::StopSearch(search_id.clone(), self.actor.clone(), reply)).await? {
            // The brain knows open ones only.
            Err(Problem::NotFound(_)) => {
                let state = self.stored_search(search_id).await?.1.state.name();
                Err(Problem::conflict(format!("the search has ended ({state})")))
            }
            other => other,
        }
    }

    /// One capacity search.
    pub async fn search(&self, search_id: TestId) -> Result<SearchView, Problem> {
        let (test, search) = self.stored_search(search_id).await?;
        Ok(views::search(&test.record(), &search))
    }

    async fn stored_search(&self, search_id: TestId) -> Result<(Stored, StoredSearch), Problem> {
        let id = search_id.to_string();
        let stored = self.read(&self.turn().await?, move |reader| reader.search(&id)).await?;
        stored.ok_or_else(|| Problem::no_such_search(&search_id))
    }

    /// The newest capacity searches first, created before the search `before`: at most `limit`, and as many as fit into `max_bytes`.
    pub async fn searches(
        &self,
        limit: usize,
        before: Option<TestId>,
        max_bytes: usize,
    ) -> Result<SearchPage, Problem> {
        let id = before.as_ref().map(ToString::to_string);
        let page =
            self.read(&self.turn().await?, move |reader| reader.searches(limit, id.as_deref(), max_bytes)).await?;
        let SearchList { searches, more } =
            page.ok_or_else(|| before.as_ref().map_or_else(ending, Problem::no_such_search))?;
        let summary = |(test, search): (Stored, StoredSearch)| views::search_summary(&test.record(), &search);
        Ok(SearchPage { searches: searches.into_iter().map(summary).collect(), more })
    }

    /// Every driver that is known.
    pub async fn drivers(&self) -> Result<Vec<DriverView>, Problem> {
        Ok(self.ask(Command::Drivers).await??.iter().map(views::driver).collect())
    }

    /// Totals of a test.
    pub async fn metrics(&self, test_id: TestId) -> Result<MetricsView, Problem> {
        let turn = self.turn().await?;
        let (record, totals) = self.totals(&turn, &test_id).await?;
        self.work(&turn, move || views::metrics(&record, &totals)).await
    }

    /// The sealed seconds of a test from `from` on: at most `limit`, and as many as fit into `max_bytes`.
    pub async fn series(
        &self,
        test_id: TestId,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<SeriesView, Problem> {
        let id = test_id.to_string();
        let turn = self.turn().await?;
        let read = self.read(&turn, move |reader| reader.seconds(&id, from, limit, max_bytes)).await?;
        let (stored, page) = read.ok_or_else(|| Problem::no_such_test(&test_id))?;
        let seconds = page.seconds.iter().map(views::second).collect();
        let next_from = page.next_from;
        Ok(SeriesView { test_id: test_id.to_string(), state: stored.record().state.into(), seconds, next_from })
    }

    /// The distributions of a test: of one driver, or of all merged.
    pub async fn histogram(&self, test_id: TestId, node_id: Option<String>) -> Result<HistogramView, Problem> {
        let turn = self.turn().await?;
        let (record, totals) = self.totals(&turn, &test_id).await?;
        if let Some(name) = &node_id
            && !record.participants.iter().any(|p| p.node_id.as_str() == name)
        {
            let name: String = name.chars().take(MAX_SHOWN_CHARS).collect();
            return Err(Problem::NotFound(format!("no driver {name} takes part in test {test_id}")));
        }
        self.work(&turn, move || {
            let stats = match &node_id {
                None => aggregate::merged(&totals).stats,
                Some(name) => totals.get(name.as_str()).map(|total| total.stats.clone()).unwrap_or_default(),
            };
            views::histogram(test_id.as_str(), node_id.as_deref(), &stats)
        })
        .await
    }

    /// A test that is over as a file of its own, read from its beginning.
    pub async fn run_file(&self, test_id: TestId) -> Result<File, Problem> {
        let record = self.stored(test_id.clone()).await?.record();
        if !record.state.is_end() {
            return Err(Problem::conflict(format!(
                "test {test_id} is not over ({}): its result is not whole yet; wait for its end, or stop it",
                record.state.name()
            )));
        }
        let (turn, store, id) = (turn_of(&self.exports).await?, self.store.clone(), test_id.to_string());
        let exported = self.work(&turn, move || run_file::export(&store, &id, folder(&store))).await?;
        let file = exported.map_err(|error| {
            tracing::error!(%error, test = %test_id, "the run could not be exported");
            Problem::Unavailable(format!("the run could not be exported: {error}"))
        })?;
        file.ok_or_else(|| Problem::no_such_test(&test_id))
    }

    /// A file for a run that is to be imported; gone with the value.
    pub fn import_file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(folder(&self.store))
    }

    /// Takes in a run that was exported elsewhere, once all of it is recomputed.
    pub async fn import(&self, file: NamedTempFile) -> Result<TestView, Problem> {
        let (turn, folder) = (turn_of(&self.exports).await?, folder(&self.store).to_owned());
        let opened = self.work(&turn, move || {
            let run = RunFile::open_within(file.path(), &folder, MAX_IMPORT_BYTES)?;
            run.check_size()?;
            Ok((run.verify()?, run))
        });
        let (verified, run) = opened.await?.map_err(|error: RunFileError| match error {
            RunFileError::Io(error) => Problem::Unavailable(format!("the run cannot be unpacked: {error}")),
            other => Problem::Invalid(format!("the run is not taken: {other}")),
        })?;
        if let Some(first) = verified.differences.first() {
            let more = verified.differences.len() - 1 + verified.more;
            let more = if more > 0 { format!("; and {more} differences more") } else { String::new() };
            let why = "the run is not taken, since it says what its reports do not add up to";
            return Err(Problem::Invalid(format!("{why}: {first}{more}; `onrush verify` shows all of it")));
        }
        self.ask(|reply| Command::Import(Box::new((verified.test_id, run)), reply)).await?
    }

    /// What happens in a test from now on, with the test as it is. Of a test that is over, nothing more is heard.
    pub async fn subscribe(&self, test_id: TestId) -> Result<(TestView, broadcast::Receiver<Update>), Problem> {
        match self.ask(|reply| Command::Subscribe(test_id.clone(), reply)).await? {
            Some(subscribed) => Ok(subscribed),
            None => Ok((self.test(test_id).await?, broadcast::channel(1).1)),
        }
    }

    /// How many messages were skipped because they could not be read or made no sense, by topic and kind.
    pub async fn skipped(&self) -> Result<BTreeMap<String, u64>, Problem> {
        self.ask(Command::Skipped).await
    }

    /// Everything that Prometheus is shown, in its text format. The brain is not asked, and not kept waiting.
    pub async fn exposition(&self) -> Result<String, Problem> {
        let export = self.export.clone();
        let turn = turn_of(&self.scrapes).await?;
        self.work(&turn, move || export.render()).await
    }

    async fn totals(&self, turn: &Turn, test_id: &TestId) -> Result<Totalled, Problem> {
        if let Some(totalled) = self.ask(|reply| Command::Totals(test_id.clone(), reply)).await? {
            return Ok(totalled);
        }
        let id = test_id.to_string();
        let read = self.read(turn, move |reader| reader.totals(&id)).await?;
        let (stored, totals) = read.ok_or_else(|| Problem::no_such_test(test_id))?;
        Ok((stored.record(), totals))
    }

    async fn turn(&self) -> Result<Turn, Problem> {
        turn_of(&self.turns).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ending())?;
        brain::answer(answer, PATIENCE).await.ok_or_else(|| match self.trouble.text() {
            Some(trouble) => Problem::Unavailable(trouble),
            None => ending(),
        })
    }

    /// Reads from the store without keeping other requests waiting.
    async fn read<T: Send + 'static>(
        &self,
        turn: &Turn,
        read: impl FnOnce(&StoreReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let reader = self.reader.clone();
        let read = self.work(turn, move || read(&reader)).await?;
        read.map_err(|error| {
            tracing::error!(%error, "the store could not be read");
            Problem::Unavailable(format!("the store could not be read: {error}"))
        })
    }

    /// Does it on a thread that may block. Who asked may go away; the turn is kept until it is done.
    async fn work<T: Send + 'static>(
        &self,
        turn: &Turn,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = turn.clone();
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| ending())
    }
}

/// Where the store lies, and what lies beside it for a while.
fn folder(store: &Path) -> &Path {
    store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn busy() -> Problem {
    Problem::Unavailable("too many ask for results at once; try again in a few seconds".into())
}

fn ending() -> Problem {
    Problem::Unavailable("the orchestrator is ending, or it is too busy to answer; try again".into())
}

async fn turn_of(turns: &Arc<Semaphore>) -> Result<Turn, Problem> {
    let turn = tokio::time::timeout(TURN_PATIENCE, turns.clone().acquire_owned()).await;
    let turn = turn.map_err(|_| busy())?.map_err(|_| ending())?;
    Ok(Arc::new(turn))
}

fn shown(stored: &Stored) -> TestView {
    match stored {
        Stored::Whole(record) => views::test(record),
        // The config of the stand-in means nothing.
        Stored::Unreadable(record) => TestView { config: ConfigView::default(), ..views::test(record) },
    }
}
