//! The flags that are a test's options, shared by every command that makes load: they follow from the table of options.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use onrush_api::DECIDED_BY_SEARCH;
use onrush_protocol::options::people::Wrong;
use onrush_protocol::options::{Control, Flag, How, Section};
use onrush_protocol::{ConnectTo, OPTIONS, TestConfig, TestId, TestOption, TestType, limits};
use serde_json::{Value, json};

use crate::error::Error;
use crate::file::read_bytes;
use crate::targets::TargetsFile;

/// A bundle with the text of each certificate beside it is some ten times as long.
const MAX_PEM_FILE_BYTES: usize = 4 * 1024 * 1024;

/// How requests are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TypeArg {
    /// Every request goes out as soon as a connection is free.
    Avalanche,
    /// A request every --delay, whatever the responses do.
    Tsunami,
}

/// The options of a test that are given: by `test start`, or by `bench`, whose engine runs `ALONE`, or by `capacity`, where the
/// load is `SEARCHED`.
#[derive(Clone, Debug)]
pub struct OptionArgs<const ALONE: bool, const SEARCHED: bool = false> {
    given: Vec<(&'static TestOption, Flag, Vec<String>)>,
    extra: ExtraArgs,
}

/// Another way to write an option, which curl has.
#[derive(Clone, Debug, Args)]
struct ExtraArgs {
    /// Connect to these addresses for URLs with HOST:PORT, as curl does; repeatable
    #[arg(
        long, value_name = "HOST:PORT:ADDRESS[,ADDRESS]", value_parser = ConnectTo::of_resolve,
        env = "ONRUSH_TEST_RESOLVE", help_heading = "Request"
    )]
    resolve: Vec<std::vec::Vec<ConnectTo>>,
}

impl<const ALONE: bool, const SEARCHED: bool> Args for OptionArgs<ALONE, SEARCHED> {
    fn augment_args(command: Command) -> Command {
        let offered = OPTIONS.iter().filter(|option| is_offered(option.name, SEARCHED));
        let flags = offered.filter_map(|option| Some((option, option.flag?)));
        ExtraArgs::augment_args(command.args(flags.map(|(option, flag)| arg(option, flag, ALONE, SEARCHED))))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const ALONE: bool, const SEARCHED: bool> FromArgMatches for OptionArgs<ALONE, SEARCHED> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let offered = OPTIONS.iter().filter(|option| is_offered(option.name, SEARCHED));
        let given = offered.filter_map(|option| {
            let flag = option.flag?;
            let values = match flag.how {
                How::Sets(_) => matches.get_flag(option.name).then(Vec::new)?,
                _ => matches.get_many::<String>(option.name)?.cloned().collect(),
            };
            Some((option, flag, values))
        });
        Ok(Self { given: given.collect(), extra: ExtraArgs::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn is_offered(name: &str, searched: bool) -> bool {
    !(searched && DECIDED_BY_SEARCH.contains(&name))
}

fn arg(option: &'static TestOption, flag: Flag, alone: bool, searched: bool) -> Arg {
    // Bench has variables of its own for how much load it makes.
    let variable = flag.variables[usize::from(alone && option.section == Section::Load)];
    let shows = matches!(option.control(), Control::Line | Control::Flag | Control::Choice { .. });
    let arg = Arg::new(option.name).long(flag.long).short(flag.short).env(variable).hide_env_values(!shows);
    let arg = arg.help(help(option, flag, alone, searched)).help_heading(option.section.heading());
    let arg = flag.needs.iter().fold(arg, |arg, other| arg.requires(*other));
    let arg = arg.conflicts_with_all(flag.not_with.iter().copied().filter(|other| is_offered(other, searched)));
    let valued = |arg: Arg| arg.value_name(flag.value).value_parser(move |text: &str| checked(option, flag, text));
    match flag.how {
        How::Sets(_) => arg.action(ArgAction::SetTrue).value_parser(BoolishValueParser::new()),
        How::Each(between) => valued(arg.action(ArgAction::Append).value_delimiter(between)),
        How::TextOr(meant) => valued(arg.num_args(0..=1).require_equals(true).default_missing_value(meant)),
        How::Text | How::File => valued(arg),
    }
}

fn help(option: &TestOption, flag: Flag, alone: bool, searched: bool) -> String {
    let about = if flag.help.is_empty() { option.about.trim_end_matches('.') } else { flag.help };
    let default = match option.name {
        "connections" if searched => "256",
        "connections" if alone => "64",
        "duration" if alone => "10s, or no limit with --requests",
        // What is required is said by the usage.
        _ if option.default.ends_with("required") || matches!(flag.how, How::Sets(_)) => "",
        _ => option.default,
    };
    let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
    if alone { about_alone(about) + &default } else { format!("{about}{default}") }
}

/// Words that are shared with tests on several drivers, where there is but this process.
pub fn about_alone(words: &str) -> String {
    words.replace(" per driver", "").replace(" and driver", "")
}

/// One value of a flag as it was given, if it is right.
fn checked(option: &TestOption, flag: Flag, text: &str) -> Result<String, String> {
    let given = match flag.how {
        How::File | How::Sets(_) => return Ok(text.into()),
        How::Text | How::TextOr(_) => text.into(),
        How::Each(_) => json!([text]),
    };
    let mut scratch = TestConfig::new(test_id(), TestType::Avalanche);
    match option.set(&mut scratch, &given) {
        Ok(()) => Ok(text.into()),
        Err(Wrong::Kind) => Err(format!("give {}", option.right)),
        Err(Wrong::Write(words) | Wrong::Because(words)) => Err(words),
    }
}

/// A test that nobody has named yet.
fn test_id() -> TestId {
    TestId::new("new").expect("a word is a name")
}

impl<const ALONE: bool, const SEARCHED: bool> OptionArgs<ALONE, SEARCHED> {
    /// Whether this option is given.
    pub fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(option, ..)| option.name == name)
    }

    /// These options, with those of `others` in their place where both give one; headers and whatever else may stand several times
    /// are added.
    pub fn with(&self, others: &Self) -> Self {
        let mut all = self.clone();
        for (option, flag, values) in &others.given {
            match all.given.iter_mut().find(|(known, ..)| known.name == option.name) {
                Some((_, _, known)) if matches!(flag.how, How::Each(_)) => known.extend(values.iter().cloned()),
                Some((_, known_flag, known)) => (*known_flag, *known) = (*flag, values.clone()),
                None => all.given.push((*option, *flag, values.clone())),
            }
        }
        all.extra.resolve.extend(others.extra.resolve.iter().cloned());
        all
    }

    /// The test that the flags ask for; reads the files that they name.
    pub fn test(&self, asked: Option<TypeArg>, url: Option<&str>) -> Result<TestConfig, Error> {
        let test_type = test_type(
            asked,
            self.has("test_message_delay"),
            ["target_throughput", "total_throughput", "profile"].iter().any(|name| self.has(name)),
        )?;
        let mut config = TestConfig::new(test_id(), test_type);
        let path = url.and_then(unix_path);
        config.target_url = path.map(|_| "http://localhost/").or(url).map(Into::into);
        for (option, flag, values) in &self.given {
            let value = match (flag.how, option.control(), values.as_slice()) {
                (How::Sets(value), ..) => value.into(),
                (How::Each(_), _, values) => json!(values),
                (How::File, Control::Objects, [path]) => {
                    let file = TargetsFile::read(Path::new(path))?;
                    // Each driver may have a URL of its own.
                    config.requests = file.into_requests(config.target_url.as_deref(), ALONE)?;
                    continue;
                }
                (How::File, control, [path]) => content(option, flag.long, control, Path::new(path))?,
                (_, _, [value, ..]) => value.as_str().into(),
                (.., []) => continue,
            };
            let wrong = |wrong| Error::Usage(format!("--{} {}", flag.long, option.in_words(wrong, &value)));
            option.set(&mut config, &value).map_err(wrong)?;
        }
        config.connect_to.extend(self.extra.resolve.iter().flatten().cloned());
        if let Some(path) = path {
            config.unix_socket = Some(path.into());
        }
        Ok(config)
    }
}

/// What a file holds, as the option's value.
fn content(option: &TestOption, long: &str, control: Control, path: &Path) -> Result<Value, Error> {
    if control == Control::File {
        return Ok(BASE64_STANDARD.encode(body_of_file(path)?).into());
    }
    let what = if option.is_secret { "key" } else { "certificate" };
    Ok(read_pem(&format!("--{long}"), path, what)?.into())
}

/// The PEM in a file, which may be a system's whole bundle with comments in any coding.
fn read_pem(flag: &str, path: &Path, what: &str) -> Result<String, Error> {
    let bytes = read_bytes(flag, path, MAX_PEM_FILE_BYTES)?;
    let cannot = |problem| Error::Usage(format!("cannot use {flag} {}: it {problem}", path.display()));
    onrush_engine::pem_only(&bytes, what).map_err(cannot)
}

/// The type of a test: the one that was asked for, or the one that its other flags make it.
fn test_type(asked: Option<TypeArg>, has_delay: bool, has_rate: bool) -> Result<TestType, Error> {
    match (asked, has_delay) {
        (Some(TypeArg::Avalanche), true) => {
            let problem =
                "--delay is for --type tsunami; an avalanche sends as soon as a connection is free, --rate slows it";
            Err(Error::Usage(problem.into()))
        }
        (Some(TypeArg::Avalanche), false) | (None, false) => Ok(TestType::Avalanche),
        (Some(TypeArg::Tsunami), false) if !has_rate => Err(Error::Usage(
            "a tsunami needs --delay, the time between two requests (2ms, 250us), --rate or --profile".into(),
        )),
        (Some(TypeArg::Tsunami), _) | (None, true) => Ok(TestType::Tsunami),
    }
}

/// The path of `unix:PATH` and `unix://PATH`.
fn unix_path(url: &str) -> Option<&str> {
    let path = url.trim().strip_prefix("unix:")?;
    path.strip_prefix("//").filter(|path| path.starts_with('/')).or(Some(path))
}

/// The bytes of a file that is to be sent.
fn body_of_file(path: &Path) -> Result<Vec<u8>, Error> {
    read_bytes("--body-file", path, limits::MAX_BODY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_taken_out_of_whatever_stands_around_it() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("ca.pem");
        let block = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        // A bundle with the text of each certificate, in Latin-1, behind a byte order mark.
        let mut bytes = b"\xef\xbb\xbf".to_vec();
        for _ in 0..200 {
            bytes.extend_from_slice(&[b"# Caf\xe9 ", "x".repeat(5000).as_bytes(), b"\r\n", block.as_bytes()].concat());
        }
        std::fs::write(&path, bytes).expect("the folder can be written");
        assert_eq!(read_pem("--cacert", &path, "certificate").expect("PEM"), block.repeat(200));
        for (bytes, says) in [(&[0x30, 0x82, 0, 0][..], "DER"), (b"hello", "-----BEGIN"), (b"", "-----BEGIN")] {
            std::fs::write(&path, bytes).expect("the folder can be written");
            let error = read_pem("--cacert", &path, "certificate").expect_err(says).to_string();
            assert!(error.contains("--cacert") && error.contains(says), "{error}");
        }
    }

    #[test]
    fn the_bundle_of_a_system_fits_into_a_test() {
        let mut config = TestConfig::new(test_id(), TestType::Avalanche);
        config.count_per_driver = Some(1);
        let block = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "A".repeat(2000));
        config.tls_ca_pem = Some(block.repeat(140));
        assert_eq!(config.problems(), []);
        config.tls_ca_pem = Some(block.repeat(300));
        assert!(config.problems().iter().any(|problem| problem.field == "tls_ca_pem"));
    }
}
