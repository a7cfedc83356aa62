//! The page as a person sees and handles it: texts, clicks, keys, pictures; and whatever the browser complains about.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::harness::{SOON, wait_for};

/// What is true where the orchestrator's page stands, charts included.
const PAGE_STANDS: &str =
    "document.readyState === 'complete' && window.Plotly && document.querySelector('#form button')";
/// The same of a report.
const REPORT_STANDS: &str = "document.readyState === 'complete' && document.querySelector('#chart-throughput')?.data";

/// An open page of an orchestrator, or a report.
pub struct Page {
    chromium: Chromium,
    base: String,
    stands: &'static str,
}

impl Page {
    /// Opens `path` of the orchestrator at `base` in a new browser.
    pub fn open(base: &str, path: &str) -> Self {
        Self::open_with(base, path, "")
    }

    /// Opens the page of an orchestrator that wants a token first.
    pub fn open_at_sign_in(base: &str) -> Self {
        let mut page = Self::new(base, "", PAGE_STANDS);
        page.visit_until("/", "document.querySelector('#sign-in')?.hidden === false");
        page
    }

    /// Opens it with a script that runs before those of the page.
    pub fn open_with(base: &str, path: &str, script: &str) -> Self {
        let mut page = Self::new(base, script, PAGE_STANDS);
        page.visit(path);
        page
    }

    /// Opens a report from its file, without a network.
    pub fn open_file(file: &Path) -> Self {
        let folder = file.parent().expect("a file stands in a folder").display();
        let name = file.file_name().expect("it has a name").to_string_lossy();
        let mut page = Self::new(&format!("file://{folder}"), "", REPORT_STANDS);
        page.visit(&format!("/{name}"));
        page
    }

    fn new(base: &str, script: &str, stands: &'static str) -> Self {
        let mut chromium = Chromium::start();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            chromium.call(&format!("{domain}.enable"), json!({}));
        }
        chromium.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
        let mut page = Self { chromium, base: base.into(), stands };
        page.resize(1280, 900, false);
        page
    }

    /// Goes to another address and waits until the page stands, charts included.
    pub fn visit(&mut self, path: &str) {
        self.visit_until(path, self.stands);
    }

    /// Waits until the page stands that it went to by itself.
    #[track_caller]
    pub fn wait_until_it_stands(&mut self) {
        self.wait_for("the page to stand", self.stands);
    }

    fn visit_until(&mut self, path: &str, stands: &str) {
        let url = format!("{}{path}", self.base);
        let gone = self.chromium.call("Page.navigate", json!({ "url": url }));
        assert!(gone.get("errorText").is_none(), "{url}: {gone}");
        self.wait_for("the page to stand", stands);
    }

    /// What an expression gives; promises are waited for.
    #[track_caller]
    pub fn eval<T: DeserializeOwned>(&mut self, expression: &str) -> T {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let done = self.chromium.call("Runtime.evaluate", params);
        assert!(done.get("exceptionDetails").is_none(), "{expression}: {done}");
        let value = done["result"].get("value").cloned().unwrap_or(Value::Null);
        serde_json::from_value(value).unwrap_or_else(|e| panic!("{expression} gives {done}: {e}"))
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, expression: &str) {
        self.wait_within(SOON, what, expression);
    }

    /// The same, for what takes longer.
    #[track_caller]
    pub fn wait_within(&mut self, at_most: Duration, what: &str, expression: &str) {
        let expression = format!("Boolean({expression})");
        wait_for(what, at_most, || {
            if self.eval(&expression) {
                return Ok(());
            }
            Err(self.eval::<String>("document.body.innerText"))
        });
    }

    /// The text that is seen at a place.
    #[track_caller]
    pub fn text(&mut self, selector: &str) -> String {
        self.eval(&format!("document.querySelector({}).innerText.trim()", json!(selector)))
    }

    /// Clicks in the middle of a place, as a mouse does: what lies above it would get the click.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let [x, y]: [f64; 2] = self.eval(&format!(
            "(() => {{ const place = document.querySelector({}); place.scrollIntoView({{ block: 'center' }}); \
             const box = place.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        ));
        for what in ["mousePressed", "mouseReleased"] {
            let params = json!({"type": what, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.chromium.call("Input.dispatchMouseEvent", params);
        }
    }

    /// Clicks into a field and types.
    #[track_caller]
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.click(selector);
        self.type_text(text);
    }

    /// Types where the keyboard is.
    pub fn type_text(&mut self, text: &str) {
        self.chromium.call("Input.insertText", json!({ "text": text }));
    }

    /// Picks a file, as a person does in the browser's own dialogue.
    pub fn pick(&mut self, selector: &str, file: &Path) {
        let expression = format!("document.querySelector({})", json!(selector));
        let place = self.chromium.call("Runtime.evaluate", json!({ "expression": expression }));
        let params = json!({"files": [file], "objectId": place["result"]["objectId"]});
        self.chromium.call("DOM.setFileInputFiles", params);
    }

    /// Presses a key: its name, its number, and the text that it types.
    pub fn press(&mut self, key: &str, number: u32, text: &str) {
        for what in ["keyDown", "keyUp"] {
            let mut params = json!({"type": what, "key": key, "code": key, "windowsVirtualKeyCode": number});
            if what == "keyDown" && !text.is_empty() {
                params["text"] = text.into();
            }
            self.chromium.call("Input.dispatchKeyEvent", params);
        }
    }

    /// Changes the size of the window; `phone`: a finger instead of a mouse, too.
    pub fn resize(&mut self, width_px: u32, height_px: u32, phone: bool) {
        let scale = if phone { 2 } else { 1 };
        let params = json!({"width": width_px, "height": height_px, "deviceScaleFactor": scale, "mobile": phone});
        self.chromium.call("Emulation.setDeviceMetricsOverride", params);
        self.chromium.call("Emulation.setTouchEmulationEnabled", json!({ "enabled": phone }));
    }

    /// Asks for the dark or the light look.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.chromium.call("Emulation.setEmulatedMedia", features);
    }

    /// A picture of one place of the page, which the window must be high enough for.
    #[track_caller]
    pub fn picture_of(&mut self, file: &Path, selector: &str) {
        // Charts follow their data within this.
        self.eval::<Value>("new Promise((done) => setTimeout(done, 600))");
        let [x, y, width, height]: [f64; 4] = self.eval(&format!(
            "(() => {{ window.scrollTo(0, 0); document.activeElement.blur(); \
             const box = document.querySelector({}).getBoundingClientRect(); \
             return [box.x, box.y, box.width, box.height]; }})()",
            json!(selector)
        ));
        // What lies within the window is taken as it stands; beyond it the page would be laid out anew.
        let clip = json!({"x": x, "y": y, "width": width, "height": height.ceil(), "scale": 1});
        self.capture(file, &json!({"format": "png", "clip": clip}));
    }

    /// A picture of the page's upper part as far as `until`'s lower end, or of the whole page.
    #[track_caller]
    pub fn picture(&mut self, file: &Path, until: Option<&str>) {
        let last = until.unwrap_or("main");
        let [width, height]: [f64; 2] = self.eval(&format!(
            "(() => {{ window.scrollTo(0, 0); document.activeElement.blur(); \
             return [innerWidth, document.querySelector({}).getBoundingClientRect().bottom + 10]; }})()",
            json!(last)
        ));
        // Charts follow their data within this.
        self.eval::<Value>("new Promise((done) => setTimeout(done, 600))");
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height.ceil(), "scale": 1});
        self.capture(file, &json!({"format": "png", "captureBeyondViewport": true, "clip": clip}));
    }

    /// The page on paper, as PDF.
    #[track_caller]
    pub fn print(&mut self, file: &Path) {
        let printed =
            self.chromium.call("Page.printToPDF", json!({"preferCSSPageSize": true, "printBackground": true}));
        let bytes = STANDARD.decode(printed["data"].as_str().unwrap_or_default()).expect("a document in base64");
        std::fs::write(file, bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    #[track_caller]
    fn capture(&mut self, file: &Path, params: &Value) {
        let taken = self.chromium.call("Page.captureScreenshot", params.clone());
        let bytes = STANDARD.decode(taken["data"].as_str().unwrap_or_default()).expect("a picture in base64");
        std::fs::write(file, bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    /// Takes note that the server refused what was asked by this status, which the browser always logs.
    #[track_caller]
    pub fn expect_refusal(&mut self, status: u16) {
        let text = format!("the server responded with a status of {status} ");
        let is_refusal =
            |event: &Value| event["params"]["entry"]["text"].as_str().is_some_and(|said| said.contains(&text));
        wait_for(&text, SOON, || {
            let found = self.chromium.hear().iter().position(is_refusal);
            found.map(|index| self.chromium.events.remove(index)).map(drop).ok_or_else(|| "no such complaint".into())
        });
    }

    /// The same of one or more refusals.
    #[track_caller]
    pub fn expect_refusals(&mut self, status: u16) {
        self.expect_refusal(status);
        let text = format!("the server responded with a status of {status} ");
        let is_refusal =
            |event: &Value| event["params"]["entry"]["text"].as_str().is_some_and(|said| said.contains(&text));
        self.chromium.hear();
        self.chromium.events.retain(|event| !is_refusal(event));
    }

    /// Takes note that the server was away for a while, which the browser always logs.
    pub fn expect_lost_connections(&mut self) {
        self.chromium.hear();
        let is_lost =
            |event: &Value| event["params"]["entry"]["text"].as_str().is_some_and(|said| said.contains("net::ERR_"));
        self.chromium.events.retain(|event| !is_lost(event));
    }

    /// Fails when the browser had anything to complain about, or was sent elsewhere.
    #[track_caller]
    pub fn assert_no_complaint(&mut self) {
        let complaints: Vec<Value> = self.chromium.hear().iter().filter(|event| is_complaint(event)).cloned().collect();
        assert!(complaints.is_empty(), "the browser complains: {complaints:#?}");
        let base = format!("{}/", self.base);
        let urls = self.chromium.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let urls = urls.filter_map(|event| event["params"]["request"]["url"].as_str());
        let elsewhere: Vec<&str> = urls.filter(|url| !url.starts_with(&base) && !url.starts_with("data:")).collect();
        assert!(elsewhere.is_empty(), "the page asks others: {elsewhere:?}");
    }
}

fn is_complaint(event: &Value) -> bool {
    let params = &event["params"];
    match event["method"].as_str() {
        Some("Runtime.exceptionThrown") => true,
        Some("Runtime.consoleAPICalled") => {
            ["error", "warning", "assert"].contains(&params["type"].as_str().unwrap_or(""))
        }
        Some("Log.entryAdded") => ["error", "warning"].contains(&params["entry"]["level"].as_str().unwrap_or("")),
        _ => false,
    }
}

/// Where a picture is left: with the build, or where `ONRUSH_PICTURES` says for those of the README.
pub fn picture_file(name: &str, for_readme: bool) -> PathBuf {
    let folder = std::env::var_os("ONRUSH_PICTURES").filter(|_| for_readme);
    folder.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from).join(name)
}
