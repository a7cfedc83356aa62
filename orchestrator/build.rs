//! Takes the page's chart library out of the crate that carries it, leaves away what no chart of ours needs, and packs it for
//! the wire.
//!
//! As a dependency of the build alone, the crate leaves nothing in the binary but the packed script: not its Rust
//! code, and not the formula renderer that it carries too.
//!
//! The library is a list of modules, `var NAME=ye(…)`, each of which asks for others by `NAME()`. The last one registers the kinds of
//! charts. With lines and bars alone four fifths of the script are never asked for, maps and 3D above all, and a report that carries
//! the rest stays below a megabyte.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

const UNKNOWN_FORM: &str = "the crate `plotly` carries its script in another form than this build knows";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let scripts = plotly::Plot::offline_js_sources();
    // The first of the two script elements is the library; `</script` cannot occur within it.
    let script = scripts.split_once('>').and_then(|(_, rest)| rest.split_once("</script>")).map(|(script, _)| script);
    let script = script.filter(|script| script.contains("window.Plotly = Plotly")).ok_or(UNKNOWN_FORM)?;
    let script = with_lines_and_bars(script).ok_or(UNKNOWN_FORM)?;
    let file = PathBuf::from(std::env::var("OUT_DIR")?).join("plotly.min.js.gz");
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(script.as_bytes())?;
    fs::write(file, packed.finish()?)?;
    Ok(())
}

/// The library with those modules alone that lines (a part of its core) and bars (the first kind that is registered) ask for.
fn with_lines_and_bars(script: &str) -> Option<String> {
    const MODULE: &str = "=ye(";
    // The last module registers the kinds; what follows it gives the library its name.
    let (before, kinds) = script.rsplit_once(".register([")?;
    let (kinds, after) = kinds.split_once("])")?;
    let bars = kinds.split(',').next()?;
    let (last, end) = after.split_once("return ")?;
    let script = format!("{before}.register([{bars}]){last}");

    let mut starts: Vec<(usize, &str)> = Vec::new();
    for (at, _) in script.match_indices(MODULE) {
        let name_at = script[..at].trim_end_matches(is_of_name).len();
        // Modules begin where a statement does; what looks so within one does not.
        if script[..name_at].ends_with(";var ") {
            starts.push((name_at - "var ".len(), &script[name_at..at]));
        }
    }
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([script.len()]);
    let modules: Vec<(&str, &str)> =
        starts.iter().zip(ends).map(|((at, name), end)| (*name, &script[*at..end])).collect();
    let text_of: HashMap<&str, &str> = modules.iter().copied().collect();

    let head = &script[..starts.first()?.0];
    let mut asked: Vec<&str> = vec![modules.last()?.0];
    asked.extend(called(head));
    let mut kept = HashSet::new();
    while let Some(name) = asked.pop() {
        if let Some(text) = text_of.get(name).filter(|_| kept.insert(name)) {
            asked.extend(called(text));
        }
    }
    let kept = modules.iter().filter(|(name, _)| kept.contains(name)).map(|(_, text)| *text);
    Some(format!("{head}{}return {end}", kept.collect::<String>()))
}

/// Every name that stands before `()`.
fn called(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("()").map(|(at, _)| &text[text[..at].trim_end_matches(is_of_name).len()..at])
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$')
}
