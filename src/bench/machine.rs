//! The CPUs that make the load, and how their threads wait: the rules of a driver.

use onrush_driver::{DriverError, Machine};
use onrush_engine::{Options, Wait};

use crate::args::{EngineArgs, WaitArg};
use crate::error::Error;
use crate::parse::Cpus;

/// What the engine runs on.
pub struct Runs {
    /// For the engine.
    pub options: Options,
    /// Why it waits as it does.
    pub why: String,
    /// Tells other nodes on this machine which CPUs are taken, as long as this lives.
    _machine: Machine,
}

impl Runs {
    /// Looks, checks the user's choice, claims the CPUs and leaves them to the engine.
    pub fn look(chosen: Option<&Cpus>, engine: &EngineArgs) -> Result<Self, Error> {
        let machine = Machine::look(chosen.map(|cpus| cpus.0.as_slice())).map_err(|error| match error {
            DriverError::Cpu { cpu, allowed } => {
                Error::Usage(format!("--cpus: CPU {cpu} is not one of those that this process may use: {allowed}"))
            }
            other => Error::failed("cannot see which CPUs there are", other),
        })?;
        machine.leave_engine_cpus();
        let asked = |wait| (wait, "as asked for".to_owned());
        let (wait, why) = match engine.wait {
            WaitArg::Poll => asked(Wait::Poll),
            WaitArg::Timer => asked(Wait::Timer),
            WaitArg::Auto => machine.choose_wait(),
        };
        let local_addresses = engine.local_addresses.iter().flat_map(|range| range.0.iter().copied()).collect();
        let options = Options { cpus: machine.engine_cpus().to_vec(), wait, io: engine.io.into(), local_addresses };
        Ok(Self { options, why, _machine: machine })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::IoArg;

    #[test]
    fn a_cpu_that_is_not_there_is_named() {
        let engine = EngineArgs { wait: WaitArg::Auto, io: IoArg::Auto, local_addresses: Vec::new() };
        let error = Runs::look(Some(&Cpus(vec![1023])), &engine).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("--cpus: CPU 1023")));
    }
}
