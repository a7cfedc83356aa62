//! Takes the page's chart library out of the crate that carries it, and packs it for the wire.
//!
//! As a dependency of the build alone, the crate leaves nothing in the binary but the packed script: not its Rust
//! code, and not the formula renderer that it carries too.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let scripts = plotly::Plot::offline_js_sources();
    // The first of the two script elements is the library; `</script` cannot occur within it.
    let script = scripts.split_once('>').and_then(|(_, rest)| rest.split_once("</script>")).map(|(script, _)| script);
    let script = script.filter(|script| script.contains("window.Plotly = Plotly"));
    let script = script.ok_or("the crate `plotly` carries its script in another form than this build knows")?;
    let file = PathBuf::from(std::env::var("OUT_DIR")?).join("plotly.min.js.gz");
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(script.as_bytes())?;
    fs::write(file, packed.finish()?)?;
    Ok(())
}
