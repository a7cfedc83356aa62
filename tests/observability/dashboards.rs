//! The dashboards as files: what they ask, and whether they are made as a person and Grafana expect.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One of `grafana/dashboards`.
pub struct Dashboard {
    pub title: String,
    json: Value,
}

/// Something that a dashboard asks Prometheus.
pub struct Query {
    /// Dashboard, panel and letter, for messages.
    pub place: String,
    pub expr: String,
    /// At one moment, or over the time in view.
    pub instant: bool,
}

/// A choice at the dashboard's top: its name, and `label_values(metric, label)` taken apart.
pub struct Variable {
    pub name: String,
    pub metric: String,
    pub label: String,
    /// What stands for all values.
    pub all: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("{what} is missing: {value}"))
}

#[track_caller]
fn list<'a>(value: &'a Value, what: &str) -> &'a [Value] {
    value.as_array().unwrap_or_else(|| panic!("{what} is no list: {value}"))
}

impl Dashboard {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let folder = root().join("grafana/dashboards");
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Self {
        let content = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let json: Value = serde_json::from_slice(&content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { title: text(&json["title"], "a dashboard's title").into(), json }
    }

    pub fn panels(&self) -> &[Value] {
        list(&self.json["panels"], "panels")
    }

    /// What the panels ask.
    pub fn queries(&self) -> Vec<Query> {
        let of_panel = |panel: &Value| -> Vec<Query> {
            let title = text(&panel["title"], "a panel's title").to_owned();
            let query = |target: &Value| Query {
                place: format!("{} / {title} / {}", self.title, text(&target["refId"], "a query's letter")),
                expr: text(&target["expr"], "a query").into(),
                instant: target["instant"] == true,
            };
            list(&panel["targets"], "targets").iter().map(query).collect()
        };
        self.panels().iter().flat_map(of_panel).collect()
    }

    /// What the annotations ask.
    pub fn annotations(&self) -> Vec<Query> {
        let own = list(&self.json["annotations"]["list"], "annotations").iter().filter(|a| a["builtIn"] != 1);
        own.map(|annotation| Query {
            place: format!("{} / annotation {}", self.title, text(&annotation["name"], "an annotation's name")),
            expr: text(&annotation["expr"], "an annotation's query").into(),
            instant: false,
        })
        .collect()
    }

    pub fn variables(&self) -> Vec<Variable> {
        let read = |variable: &Value| {
            let query = text(&variable["query"]["query"], "a variable's query");
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (metric, label) = inner.and_then(|inner| inner.rsplit_once(", ")).expect("label_values(metric, label)");
            Variable {
                name: text(&variable["name"], "a variable's name").into(),
                metric: metric.into(),
                label: label.into(),
                all: text(&variable["allValue"], "what stands for all").into(),
            }
        };
        list(&self.json["templating"]["list"], "variables").iter().map(read).collect()
    }

    /// Panics where the dashboard is not made as it should be, and says where.
    pub fn assert_well_formed(&self) {
        let title = &self.title;
        let version = self.json["schemaVersion"].as_u64().expect("a schema version");
        assert!(version >= 39, "{title}: schema version {version}");
        text(&self.json["uid"], "a dashboard's uid");
        text(&self.json["description"], "a dashboard's description");
        assert_eq!(self.json["refresh"], "1s", "{title}");
        let allowed = list(&self.json["timepicker"]["refresh_intervals"], "refresh intervals");
        assert!(allowed.contains(&"1s".into()), "{title}: {allowed:?}");
        let variables = list(&self.json["templating"]["list"], "variables");
        assert!(variables.iter().all(|v| v["multi"] == true && v["includeAll"] == true), "{title}: {variables:#?}");
        let names: Vec<&str> = variables.iter().filter_map(|v| v["name"].as_str()).collect();
        assert_eq!(names, ["test", "driver"], "{title}");

        let (mut ids, mut titles, mut cells) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for panel in self.panels() {
            let place = format!("{title} / {}", text(&panel["title"], "a panel's title"));
            assert!(titles.insert(panel["title"].to_string()), "{place}: the title is there twice");
            assert!(ids.insert(panel["id"].as_u64()), "{place}: the id is there twice");
            text(&panel["description"], &format!("{place}: its description"));
            let defaults = &panel["fieldConfig"]["defaults"];
            text(&defaults["unit"], &format!("{place}: its unit"));
            text(&defaults["noValue"], &format!("{place}: what it shows without data"));
            assert!(!list(&defaults["thresholds"]["steps"], "thresholds").is_empty(), "{place}");
            self.assert_placed(panel, &place, &mut cells);
            assert_source(panel, &place);
            let mut letters = BTreeSet::new();
            for target in list(&panel["targets"], "targets") {
                assert_source(target, &place);
                assert!(letters.insert(target["refId"].to_string()), "{place}: a letter is there twice");
            }
            assert!(!letters.is_empty(), "{place}: asks nothing");
        }
    }

    fn assert_placed(&self, panel: &Value, place: &str, cells: &mut BTreeSet<(u64, u64)>) {
        let of =
            |name: &str| panel["gridPos"][name].as_u64().unwrap_or_else(|| panic!("{place}: gridPos has no {name}"));
        let (x, y, width, height) = (of("x"), of("y"), of("w"), of("h"));
        assert!(width > 0 && height > 0 && x + width <= 24, "{place}: outside of the grid");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{place}: lies over another");
        }
    }
}

fn assert_source(of: &Value, place: &str) {
    let expected = serde_json::json!({"type": "prometheus", "uid": "onrush-prometheus"});
    assert_eq!(of["datasource"], expected, "{place}");
}
