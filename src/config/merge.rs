//! Merges layers: unknown keys are refused, and every value remembers where it was set.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::{Config, Environment, Source, Value, ValueKind};
use serde_json::Value as Json;

use super::choices::choices;
use super::defaults::default_table;
use super::matrix::{MatrixTables, VARY, WITH};
use super::presets::{PRESETS, preset};
use super::problem::{ConfigError, DEFAULT_ORIGIN, SettingProblem};
use super::resolved::{Assignment, ResolvedSettings};
use super::settings::Settings;
use super::table::{Table, find, nearest_key, parse, typed};
use super::threshold::Threshold;
use super::thresholds::{EXPRESSIONS, refusal};
use crate::broker;
use crate::nearest::nearest;

/// The origin of a workload that is neither a preset nor a file.
pub(crate) const WORKLOAD_ARGUMENT: &str = "argument WORKLOAD";

const ENV_PREFIX: &str = "STREAMGAUGE";
const LEVEL: &str = "__";

/// The origin of thresholds that come on top.
const THRESHOLD_FLAG: &str = "flag --threshold";

/// A layer, ready to be merged.
#[derive(Clone, Debug)]
struct Layer(Table);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Table, config::ConfigError> {
        Ok(self.0.clone())
    }
}

pub(super) struct Merge {
    /// The defaults: all the keys there are, and their types.
    known: Table,
    layers: Vec<Layer>,
    /// What comes on top of the thresholds that are set.
    thresholds: Vec<String>,
    problems: Vec<SettingProblem>,
    /// Files that are not read again.
    texts_kept: BTreeMap<PathBuf, String>,
}

impl Merge {
    pub(super) fn new() -> Self {
        let known = default_table();
        Self {
            layers: vec![Layer(known.clone())],
            known,
            thresholds: Vec::new(),
            problems: Vec::new(),
            texts_kept: BTreeMap::new(),
        }
    }

    /// Takes files as they were when these texts were kept.
    pub(super) fn keep_texts(&mut self, texts: &BTreeMap<PathBuf, String>) {
        self.texts_kept.clone_from(texts);
    }

    fn problem(&mut self, origin: &str, key: &str, message: impl Into<String>) {
        self.problems.push(SettingProblem {
            origin: origin.to_owned(),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    fn read(&self, path: &Path) -> std::io::Result<String> {
        self.texts_kept
            .get(path)
            .map_or_else(|| std::fs::read_to_string(path), |text| Ok(text.clone()))
    }

    pub(super) fn file(&mut self, path: &Path, required: bool) {
        let origin = path.display().to_string();
        match self.read(path) {
            Ok(text) => self.text(&text, &origin, None),
            Err(error) if error.kind() == ErrorKind::NotFound && !required => {}
            Err(error) => {
                self.problem(&origin, "", format!("cannot be read: {error}; check the path"));
            }
        }
    }

    pub(super) fn workload(&mut self, workload: &str) {
        let path = Path::new(workload);
        if let Some(preset) = preset(workload) {
            self.text(preset.settings, &format!("preset {}", preset.name), None);
        } else if self.texts_kept.contains_key(path)
            || path.is_file()
            || path.extension().is_some()
            || path.components().count() > 1
        {
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let origin = path.display().to_string();
            match self.read(path) {
                Ok(text) => self.text(&text, &origin, name),
                Err(error) => self.problem(
                    &origin,
                    "",
                    format!("cannot be read: {error}; check the workload's path"),
                ),
            }
        } else {
            let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            let nearest = nearest(workload, names.iter().copied()).unwrap_or("classic");
            let all = names.join(", ");
            let message = format!(
                "is neither a preset nor a file; did you mean `{nearest}`? The presets are {all}; \
                 a \
                 file is TOML"
            );
            self.problem(WORKLOAD_ARGUMENT, workload, message);
        }
    }

    /// Adds a TOML text. `name`: what its workload is called unless it says so itself.
    fn text(&mut self, text: &str, origin: &str, name: Option<String>) {
        let table = match parse(text, origin) {
            Ok(table) => table,
            Err(problem) => return self.problems.push(problem),
        };
        let known = self.known.clone();
        let mut table = self.checked(table, &known, "", origin);
        if let Some(name) = name {
            let workload =
                table.entry("workload".to_owned()).or_insert_with(|| Table::new().into());
            if let ValueKind::Table(workload) = &mut workload.kind {
                workload
                    .entry("name".to_owned())
                    .or_insert_with(|| Value::new(Some(&origin.to_owned()), name));
            }
        }
        self.layers.push(Layer(table));
    }

    /// Keeps what is known of a table; the rest becomes problems.
    fn checked(&mut self, table: Table, known: &Table, section: &str, origin: &str) -> Table {
        let mut kept = Table::new();
        for (key, value) in table {
            let path = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            let value = match (known.get(&key).map(|known| &known.kind), value.kind) {
                (Some(ValueKind::Table(_)), ValueKind::Table(properties))
                    if is_property_table(&path) =>
                {
                    let mut flat = Table::new();
                    self.flatten(properties, &path, "", origin, &mut flat);
                    flat.into()
                }
                (Some(ValueKind::Table(_)), ValueKind::Table(inner)) if path == VARY => {
                    self.matrix(origin).varied(inner).into()
                }
                (Some(ValueKind::Table(_)), ValueKind::Table(inner)) if path == WITH => {
                    self.matrix(origin).with(inner).into()
                }
                (Some(ValueKind::Table(known)), ValueKind::Table(inner)) => {
                    self.checked(inner, known, &path, origin).into()
                }
                (Some(ValueKind::Table(_)), _) => {
                    self.problem(
                        origin,
                        &path,
                        format!("is a section: write [{path}] and its settings below"),
                    );
                    continue;
                }
                (Some(_), ValueKind::Table(_)) => {
                    self.problem(
                        origin,
                        &path,
                        "is a setting, not a section: write a single value",
                    );
                    continue;
                }
                (Some(_), kind) => Value::new(Some(&origin.to_owned()), kind),
                (None, _) => {
                    self.unknown(origin, &path);
                    continue;
                }
            };
            kept.insert(key, value);
        }
        kept
    }

    /// Properties may be written `"a.b" = 1` or `a.b = 1`, which TOML takes for a table in a table.
    fn flatten(&mut self, table: Table, path: &str, above: &str, origin: &str, flat: &mut Table) {
        for (key, value) in table {
            let name = if above.is_empty() { key } else { format!("{above}.{key}") };
            if let ValueKind::Table(inner) = value.kind {
                self.flatten(inner, path, &name, origin, flat);
            } else {
                match value.into_string() {
                    Ok(text) => drop(flat.insert(name, Value::new(Some(&origin.to_owned()), text))),
                    Err(_) => {
                        self.problem(
                            origin,
                            &format!("{path}.{name}"),
                            "must be a text, a number or a boolean",
                        );
                    }
                }
            }
        }
    }

    fn matrix<'a>(&'a mut self, origin: &'a str) -> MatrixTables<'a> {
        MatrixTables { known: &self.known, origin, problems: &mut self.problems }
    }

    fn unknown(&mut self, origin: &str, path: &str) {
        let hint = nearest_key(&self.known, path);
        self.problem(origin, path, format!("is an unknown key{hint}"));
    }

    pub(super) fn environment(&mut self, variables: &BTreeMap<String, String>) {
        let source = variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let environment = Environment::with_prefix(ENV_PREFIX)
            .prefix_separator(LEVEL)
            .separator(LEVEL)
            // As if it were not there: scripts and compose files pass on what they may not have.
            .ignore_empty(true)
            .source(Some(source))
            .collect()
            .unwrap_or_default();
        let mut texts: Vec<Assignment> = environment
            .into_iter()
            .map(|(key, value)| Assignment {
                origin: format!(
                    "environment variable {ENV_PREFIX}{LEVEL}{}",
                    key.replace('.', LEVEL).to_uppercase()
                ),
                key,
                value: value.into_string().unwrap_or_default(),
            })
            .collect();
        texts.sort_by(|a, b| a.key.cmp(&b.key));
        self.texts(&texts);
    }

    /// Adds settings given as text.
    pub(super) fn texts(&mut self, texts: &[Assignment]) {
        for assignment in texts {
            let Some((path, kind)) = self.read_text(assignment) else { continue };
            let mut nested = Value::new(Some(&assignment.origin), kind);
            for segment in path.iter().rev() {
                nested = Table::from([((*segment).to_owned(), nested)]).into();
            }
            if let ValueKind::Table(table) = nested.kind {
                self.layers.push(Layer(table));
            }
        }
    }

    /// Where a text belongs, and what it holds: it is read as what its default is.
    fn read_text<'a>(&mut self, text: &'a Assignment) -> Option<(Vec<&'a str>, ValueKind)> {
        let Assignment { origin, key, value } = text;
        if let Some((table, name)) = broker::property(key) {
            let path = table.key.split('.').chain([name]).collect();
            return Some((path, ValueKind::String(value.clone())));
        }
        if let Some(varied) = key.strip_prefix(VARY).and_then(|rest| rest.strip_prefix('.')) {
            let texts = choices(varied, value).into_iter().map(Value::from).collect();
            let path = VARY.split('.').chain([varied]).collect();
            return self
                .matrix(origin)
                .can_vary(varied, key)
                .then_some((path, ValueKind::Array(texts)));
        }
        match find(&self.known, key).map(|known| &known.kind) {
            Some(ValueKind::Table(_)) => {
                let message = format!("is a section: name one of its settings, as `{key}.…`");
                self.problem(origin, key, message);
                None
            }
            Some(known) => Some((key.split('.').collect(), typed(value, known))),
            None => {
                self.unknown(origin, key);
                None
            }
        }
    }

    pub(super) fn thresholds(&mut self, expressions: &[String]) {
        for expression in expressions {
            if let Err(message) = Threshold::parse(expression) {
                self.problem(THRESHOLD_FLAG, EXPRESSIONS, refusal(&message));
            }
        }
        self.thresholds.extend_from_slice(expressions);
    }

    pub(super) fn finish(mut self) -> Result<ResolvedSettings, ConfigError> {
        let mut builder = Config::builder();
        for layer in self.layers.drain(..) {
            builder = builder.add_source(layer);
        }
        let merged = builder
            .build()
            .and_then(|config| config.collect())
            .map_err(|error| ConfigError::one("settings", "", error.to_string()))?;
        let mut origins = BTreeMap::new();
        let json = self.plain(Value::new(None, merged), "", &mut origins);
        if !self.problems.is_empty() {
            return Err(ConfigError { problems: self.problems });
        }
        let mut settings: Settings = serde_path_to_error::deserialize(json).map_err(|error| {
            let path = error.path().to_string();
            let key = path.split('[').next().unwrap_or_default();
            let origin = origins.get(key).map_or("settings", String::as_str);
            ConfigError::one(
                origin,
                key,
                format!("cannot be read: {}", in_plain_words(&error.inner().to_string())),
            )
        })?;
        settings.check(&origins)?;
        if !self.thresholds.is_empty() {
            settings.thresholds.expressions.append(&mut self.thresholds);
            let origin = origins.entry(EXPRESSIONS.to_owned()).or_default();
            let before = Some(std::mem::take(origin)).filter(|before| before != DEFAULT_ORIGIN);
            *origin = before
                .into_iter()
                .chain([THRESHOLD_FLAG.to_owned()])
                .collect::<Vec<_>>()
                .join(", ");
        }
        Ok(ResolvedSettings { settings, origins })
    }

    /// Plain data for the strict deserializer (the config crate's own cuts numbers to size), noting
    /// where it came from.
    fn plain(&mut self, value: Value, path: &str, origins: &mut BTreeMap<String, String>) -> Json {
        let origin = value.origin().unwrap_or(DEFAULT_ORIGIN).to_owned();
        if !matches!(value.kind, ValueKind::Table(_)) {
            origins.insert(path.to_owned(), origin.clone());
        }
        match value.kind {
            ValueKind::Nil => Json::Null,
            ValueKind::Boolean(value) => value.into(),
            ValueKind::I64(value) => value.into(),
            ValueKind::U64(value) => value.into(),
            ValueKind::I128(value) => value.to_string().into(),
            ValueKind::U128(value) => value.to_string().into(),
            ValueKind::Float(value) if value.is_finite() => value.into(),
            ValueKind::Float(value) => {
                self.problem(&origin, path, format!("must be a finite number, but is {value}"));
                Json::Null
            }
            ValueKind::String(value) => value.into(),
            ValueKind::Array(values) => {
                let mut ignored = BTreeMap::new();
                values.into_iter().map(|value| self.plain(value, path, &mut ignored)).collect()
            }
            ValueKind::Table(table) => table
                .into_iter()
                .map(|(key, value)| {
                    let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    (key, self.plain(value, &inner, origins))
                })
                .collect(),
        }
    }
}

/// Whether the keys of this table are a client's own.
fn is_property_table(path: &str) -> bool {
    broker::property_tables().any(|table| table.key == path)
}

/// serde's messages, in words for users.
fn in_plain_words(message: &str) -> String {
    let mut message = message.to_owned();
    for (rust, words) in [
        ("expected u16", "expected a whole number, at most 65535"),
        ("expected u32", "expected a whole number, at most 4294967295"),
        ("expected u64", "expected a whole number, not negative"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list, as [\"a\", \"b\"]"),
        ("unknown variant", "unknown value"),
    ] {
        message = message.replace(rust, words);
    }
    message
}
