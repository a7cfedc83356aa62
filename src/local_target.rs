//! How the sample targets on this machine are known to who loads them: by a file for each, not by asking. A server that is
//! somebody else's gets nothing but what a test asks for.

use onrush_host::{LiveFile, runtime_dir};

/// In the folder for what nodes on one machine tell one another.
const FOLDER: &str = "targets";

/// Makes a sample target known, while the file lives. `None`: it cannot be, which costs a bench the target's CPU time.
pub fn announce(port: u16) -> Option<LiveFile> {
    let announced = runtime_dir().and_then(|dir| LiveFile::create(&dir.join(FOLDER), &port.to_string()));
    announced.inspect_err(|e| tracing::warn!("a bench here cannot see how busy this target is: {e}")).ok()
}

/// Whether a sample target of this machine listens on this port.
pub fn listens_on(port: u16) -> bool {
    runtime_dir().is_ok_and(|dir| LiveFile::live(&dir.join(FOLDER), None).contains(&port.to_string()))
}
