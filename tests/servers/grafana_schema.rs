//! The dashboards keep to Grafana's own published schema: the TypeScript types of its npm package
//! `@grafana/schema`, checked by the TypeScript compiler. (Grafana publishes no JSON Schema of a
//! dashboard.)
//!
//! The types leave a panel's options open; they are those of the panel's plug-in, and are checked
//! part by part. A type with optional fields accepts any object, so that every part is written out
//! as a literal: of a literal the compiler refuses fields that the type does not know.
//!
//! Both packages come from npm, once. Without `node` and `npm`, or without a network, the test is
//! skipped and says so; with `STREAMGAUGE_REQUIRE_GRAFANA_SCHEMA=1` it fails.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use streamgauge_support::grafana;

use grafana::{dashboards, list, panels, text};
use serde_json::{Value, json};

/// Packages and versions; the test asks for no others, so that it finds the same on every machine.
const PACKAGES: [(&str, &str); 2] = [("@grafana/schema", "13.2.3"), ("typescript", "5.9.3")];

const REQUIRE: &str = "STREAMGAUGE_REQUIRE_GRAFANA_SCHEMA";

/// Types of our own, above all [`Plain`]: what JSON can hold of a type (an enum's values instead of
/// its members).
const HEADER: &str = r"
import type * as schema from '@grafana/schema';
import type * as dashboard
  from './node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen';
type Plain<T> =
  T extends string ? `${T}`
  : T extends Array<infer U> ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> }
  : T;
/** A query of Prometheus. */
interface Query extends schema.DataQuery {
  datasource: dashboard.DataSourceRef;
  expr: string;
  editorMode?: 'code' | 'builder';
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  range?: boolean;
  interval?: string;
  legendFormat?: string;
}
/** What an annotation of Prometheus holds besides. */
interface OfPrometheus {
  titleFormat?: string;
  textFormat?: string;
  tagKeys?: string;
  useValueForTime?: boolean;
}
type Annotation =
  Omit<dashboard.AnnotationQuery, 'target'> & OfPrometheus & { target?: Partial<Query> };
type Whole = Omit<dashboard.Dashboard, 'panels' | 'annotations'>;
type Frame = Omit<dashboard.Panel, 'options' | 'fieldConfig' | 'targets'>;
type Field = Omit<dashboard.FieldConfig, 'custom'>;
";

#[test]
fn dashboards_keep_to_grafanas_published_schema() {
    let folder = match packages() {
        Ok(folder) => folder,
        Err(why) => {
            let required = std::env::var(REQUIRE).is_ok_and(|value| value == "1");
            assert!(!required, "{REQUIRE}=1, but Grafana's schema cannot be had: {why}");
            eprintln!("SKIPPED: this test needs Grafana's npm packages: {why}");
            return;
        }
    };
    let mut names = vec!["refused.ts".to_owned()];
    fs::write(folder.join(&names[0]), refused()).unwrap();
    for (file, dashboard) in dashboards() {
        let name = format!("{}.ts", file.trim_end_matches(".json"));
        fs::write(folder.join(&name), typed(&dashboard)).unwrap();
        names.push(name);
    }
    let settings = json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "skipLibCheck": true, "types": [],
            "target": "es2022", "module": "esnext", "moduleResolution": "bundler",
        },
        "files": names,
    });
    fs::write(folder.join("tsconfig.json"), settings.to_string()).unwrap();
    let check = Command::new("node")
        .args(["node_modules/typescript/bin/tsc", "--pretty", "false", "-p", "."])
        .current_dir(&folder)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&check.stdout);
    assert!(
        check.status.success(),
        "in {}:\n{complaints}{}",
        folder.display(),
        String::from_utf8_lossy(&check.stderr)
    );
}

/// A folder with the packages in it; made by npm when it is not there.
fn packages() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grafana-schema");
    let io = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(io)?;
    let lock = File::create(folder.join("lock")).map_err(io)?;
    lock.lock().map_err(io)?;
    for program in ["node", "npm"] {
        let ran = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !ran.is_ok_and(|status| status.success()) {
            return Err(format!("`{program}` is not there"));
        }
    }
    let is_there = |(name, version): &(&str, &str)| {
        let manifest =
            fs::read_to_string(folder.join("node_modules").join(name).join("package.json")).ok()?;
        let manifest: Value = serde_json::from_str(&manifest).ok()?;
        (manifest["version"] == *version).then_some(())
    };
    if PACKAGES.iter().all(|package| is_there(package).is_some()) {
        return Ok(folder);
    }
    let wanted: Value = PACKAGES.iter().map(|&(name, version)| (name, version)).collect();
    fs::write(
        folder.join("package.json"),
        json!({"private": true, "dependencies": wanted}).to_string(),
    )
    .map_err(io)?;
    let install = Command::new("npm")
        .args([
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--fetch-retries=1",
        ])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run npm: {error}"))?;
    if !install.status.success() {
        return Err(format!(
            "npm could not fetch them: {}",
            String::from_utf8_lossy(&install.stderr)
        ));
    }
    Ok(folder)
}

/// The module of a panel's types: `state-timeline` is `statetimeline` there.
fn module(kind: &str) -> String {
    kind.replace('-', "")
}

/// An object without some of its fields.
fn without(value: &Value, fields: &[&str]) -> Value {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| !fields.contains(&key.as_str()));
    }
    value
}

/// A dashboard as a TypeScript module: a constant of the right type for each part.
fn typed(dashboard: &Value) -> String {
    let shown: Vec<_> =
        panels(dashboard).into_iter().filter(|panel| panel["type"] != "row").collect();
    let mut module_text = HEADER.to_owned();
    for kind in shown.iter().map(|panel| text(panel, "/type")).collect::<BTreeSet<_>>() {
        let module = module(kind);
        let path = format!(
            "./node_modules/@grafana/schema/dist/types/raw/composable/{module}/panelcfg/x/types.gen"
        );
        writeln!(module_text, "import type * as {module} from '{path}';").unwrap();
    }
    let mut constant = |name: &str, kind: &str, value: &Value| {
        writeln!(module_text, "export const {name}: {kind} = {value:#};").unwrap();
    };
    constant("whole", "Plain<Whole>", &without(dashboard, &["panels", "annotations"]));
    for (i, annotation) in list(dashboard, "/annotations/list").iter().enumerate() {
        constant(&format!("annotation_{i}"), "Plain<Annotation>", annotation);
    }
    for row in panels(dashboard).into_iter().filter(|panel| panel["type"] == "row") {
        constant(
            &format!("row_{}", row["id"]),
            "Plain<Omit<dashboard.RowPanel, 'panels'>>",
            &without(row, &["panels"]),
        );
    }
    for panel in shown {
        let name = format!("panel_{}", panel["id"]);
        let module = module(text(panel, "/type"));
        constant(&name, "Plain<Frame>", &without(panel, &["options", "fieldConfig", "targets"]));
        constant(
            &format!("{name}_options"),
            &format!("Plain<{module}.Options>"),
            &panel["options"],
        );
        constant(&format!("{name}_queries"), "Plain<Query>[]", &panel["targets"]);
        let fields = &panel["fieldConfig"];
        constant(
            &format!("{name}_field"),
            "Plain<Field>",
            &without(&fields["defaults"], &["custom"]),
        );
        if let Some(custom) = fields["defaults"].get("custom") {
            constant(&format!("{name}_custom"), &format!("Plain<{module}.FieldConfig>"), custom);
        }
        constant(
            &format!("{name}_overrides"),
            "Plain<dashboard.FieldConfigSource['overrides']>",
            &fields["overrides"],
        );
        let properties =
            list(fields, "/overrides").iter().flat_map(|change| list(change, "/properties"));
        for (i, property) in properties.enumerate() {
            let id = text(property, "/id");
            let kind = id.strip_prefix("custom.").map_or_else(
                || format!("Plain<Field['{id}']>"),
                |custom| format!("Plain<{module}.FieldConfig['{custom}']>"),
            );
            constant(&format!("{name}_override_{i}"), &kind, &property["value"]);
        }
    }
    module_text
}

/// What the compiler has to refuse: without this, a change of the packages could turn the check
/// into one of nothing.
fn refused() -> String {
    let mut module = HEADER.to_owned();
    let path =
        "./node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";
    writeln!(module, "import type * as timeseries from '{path}';").unwrap();
    let wrongs = [
        ("Plain<Whole>", r#"{"schemaVersion": 42, "graphTooltip": 7}"#),
        ("Plain<Whole>", r#"{"schemaVersion": 42, "titel": "x"}"#),
        ("Plain<Frame>", r#"{"type": "stat", "gridPos": {"x": 0, "y": 0, "w": 4}}"#),
        ("Plain<Field>", r#"{"color": {"mode": "rainbow"}}"#),
        ("Plain<Field>", r#"{"mappings": [{"type": "value", "options": {"0": "text"}}]}"#),
        ("Plain<timeseries.FieldConfig>", r#"{"drawStyle": "zigzag"}"#),
        ("Plain<timeseries.FieldConfig>", r#"{"lineStyle": {"fill": "dash", "gap": 3}}"#),
        (
            "Plain<timeseries.Options>",
            r#"{"legend": {"calcs": [], "placement": "left", "showLegend": true}}"#,
        ),
        ("Plain<Query>", r#"{"refId": "A", "datasource": {}, "expr": "up", "legend": "x"}"#),
    ];
    for (i, (kind, value)) in wrongs.into_iter().enumerate() {
        writeln!(module, "// @ts-expect-error\nexport const wrong_{i}: {kind} = {value};").unwrap();
    }
    module
}
