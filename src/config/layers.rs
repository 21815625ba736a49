//! The layers that settings come from, and how they are merged: unknown keys are refused, and every
//! value remembers where it was set.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat, Map, Source, Value, ValueKind};
use serde_json::Value as Json;

use super::matrix::{VARY, WITH, choices};
use super::threshold::Threshold;
use super::{
    ConfigError, DEFAULTS, PRESETS, Problem, Settings, THRESHOLDS, check, preset, threshold_refusal,
};
use crate::nearest::nearest;

/// Read first of all files, where it exists.
pub const SYSTEM_FILE: &str = "/etc/streamgauge/config.toml";

/// The origin of a workload that is neither a preset nor a file.
pub(crate) const WORKLOAD_ARGUMENT: &str = "argument WORKLOAD";

/// The origin of what nobody set.
pub(super) const DEFAULT_ORIGIN: &str = "default";

/// The one table whose keys are free: librdkafka's properties.
pub(super) const PROPERTIES: &str = "broker.kafka.properties";

const ENV_PREFIX: &str = "STREAMGAUGE";
const LEVEL: &str = "__";

/// The origin of thresholds that come on top.
const THRESHOLD_FLAG: &str = "flag --threshold";

pub(super) type Table = Map<String, Value>;

/// A setting given as text: by a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Where it was set: `flag --rate`.
    pub origin: String,
    /// The setting: `workload.rate`.
    pub key: String,
    /// Its value, as text.
    pub value: String,
}

/// Where settings come from, each layer over the ones before.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// A file that need not exist: [`SYSTEM_FILE`].
    pub system_file: Option<PathBuf>,
    /// A file that must exist.
    pub config_file: Option<PathBuf>,
    /// A preset's name, or a file.
    pub workload: Option<String>,
    /// The environment: names and values, those of others included.
    pub environment: BTreeMap<String, String>,
    /// Settings by flags; later ones over earlier ones.
    pub flags: Vec<Assignment>,
    /// Texts of files as they were when they were kept ([`Self::keep_texts`]): these are not read
    /// again.
    pub texts: BTreeMap<PathBuf, String>,
    /// Thresholds by flags (`--threshold`): they come on top of those that are set.
    pub thresholds: Vec<String>,
}

/// Settings, and where each was set.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Where each key was set.
    pub origins: BTreeMap<String, String>,
}

impl Layers {
    /// The layers of this process, with nothing set by its arguments: system file and environment.
    pub fn of_process() -> Self {
        let environment = std::env::vars_os().map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        });
        Self {
            system_file: Some(SYSTEM_FILE.into()),
            environment: environment.collect(),
            ..Self::default()
        }
    }

    /// Keeps the texts of the configuration files, and of these workloads where they are files:
    /// what is edited later is not seen. A file that cannot be read now is an error when the layers
    /// are loaded.
    pub fn keep_texts(&mut self, workloads: &[String]) {
        let files = self.system_file.iter().chain(&self.config_file).cloned();
        let workloads = workloads.iter().filter(|name| preset(name).is_none()).map(PathBuf::from);
        for path in files.chain(workloads) {
            let is_optional = self.system_file.as_ref() == Some(&path);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == ErrorKind::NotFound && is_optional => {
                    Some(String::new())
                }
                Err(_) => None,
            };
            if let Some(text) = text {
                self.texts.entry(path).or_insert(text);
            }
        }
    }

    /// Merges the layers, and checks what came out.
    ///
    /// # Errors
    /// [`ConfigError`]: a file that cannot be read, an unknown key, a value of a wrong type, an
    /// impossible setting; each with file (or variable, or flag), key and what to do.
    pub fn load(&self) -> Result<Resolved, ConfigError> {
        let mut merge = Merge::new()?;
        merge.texts_kept.clone_from(&self.texts);
        if let Some(path) = &self.system_file {
            merge.file(path, false);
        }
        if let Some(path) = &self.config_file {
            merge.file(path, true);
        }
        if let Some(workload) = &self.workload {
            merge.workload(workload);
        }
        merge.environment(&self.environment);
        merge.texts(&self.flags);
        merge.thresholds(&self.thresholds);
        merge.finish()
    }
}

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
    pub(super) known: Table,
    layers: Vec<Layer>,
    /// What comes on top of the thresholds that are set.
    thresholds: Vec<String>,
    problems: Vec<Problem>,
    /// Files that are not read again.
    texts_kept: BTreeMap<PathBuf, String>,
}

impl Merge {
    fn new() -> Result<Self, ConfigError> {
        let known = parse(DEFAULTS, DEFAULT_ORIGIN)
            .map_err(|problem| ConfigError { problems: vec![problem] })?;
        Ok(Self {
            layers: vec![Layer(known.clone())],
            known,
            thresholds: Vec::new(),
            problems: Vec::new(),
            texts_kept: BTreeMap::new(),
        })
    }

    pub(super) fn problem(&mut self, origin: &str, key: &str, message: impl Into<String>) {
        self.problems.push(Problem {
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

    fn file(&mut self, path: &Path, required: bool) {
        let origin = path.display().to_string();
        match self.read(path) {
            Ok(text) => self.text(&text, &origin, None),
            Err(error) if error.kind() == ErrorKind::NotFound && !required => {}
            Err(error) => {
                self.problem(&origin, "", format!("cannot be read: {error}; check the path"))
            }
        }
    }

    fn workload(&mut self, workload: &str) {
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
                "is neither a preset nor a file; did you mean `{nearest}`? The presets are {all}; a file is TOML"
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
                (Some(ValueKind::Table(_)), ValueKind::Table(properties)) if path == PROPERTIES => {
                    let mut flat = Table::new();
                    self.flatten(properties, "", origin, &mut flat);
                    flat.into()
                }
                (Some(ValueKind::Table(_)), ValueKind::Table(inner)) if path == VARY => {
                    self.varied(inner, origin).into()
                }
                (Some(ValueKind::Table(_)), ValueKind::Table(inner)) if path == WITH => {
                    self.with(inner, origin).into()
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
    fn flatten(&mut self, table: Table, above: &str, origin: &str, flat: &mut Table) {
        for (key, value) in table {
            let name = if above.is_empty() { key } else { format!("{above}.{key}") };
            if let ValueKind::Table(inner) = value.kind {
                self.flatten(inner, &name, origin, flat);
            } else {
                match value.into_string() {
                    Ok(text) => drop(flat.insert(name, Value::new(Some(&origin.to_owned()), text))),
                    Err(_) => {
                        self.problem(
                            origin,
                            &format!("{PROPERTIES}.{name}"),
                            "must be a text, a number or a boolean",
                        );
                    }
                }
            }
        }
    }

    pub(super) fn nearest_key(&self, key: &str) -> String {
        let mut paths = Vec::new();
        paths_of(&self.known, "", &mut paths);
        match nearest(key, paths.iter().map(String::as_str)) {
            Some(nearest) => format!("; did you mean `{nearest}`?"),
            None => "; `streamgauge config show` lists all keys".to_owned(),
        }
    }

    fn unknown(&mut self, origin: &str, path: &str) {
        let hint = self.nearest_key(path);
        self.problem(origin, path, format!("is an unknown key{hint}"));
    }

    fn environment(&mut self, variables: &BTreeMap<String, String>) {
        let source = variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let environment = Environment::with_prefix(ENV_PREFIX)
            .prefix_separator(LEVEL)
            .separator(LEVEL)
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

    /// Adds settings given as text, each read as what its default is.
    fn texts(&mut self, texts: &[Assignment]) {
        for Assignment { origin, key, value } in texts {
            let (segments, kind): (Vec<&str>, _) =
                if let Some(property) = key.strip_prefix("broker.kafka.properties.") {
                    (
                        PROPERTIES.split('.').chain([property]).collect(),
                        ValueKind::String(value.clone()),
                    )
                } else if let Some(varied) = key.strip_prefix("matrix.vary.") {
                    if !self.can_vary(varied, key, origin) {
                        continue;
                    }
                    let texts = choices(varied, value).into_iter().map(Value::from).collect();
                    (VARY.split('.').chain([varied]).collect(), ValueKind::Array(texts))
                } else {
                    match find(&self.known, key).map(|known| &known.kind) {
                        Some(ValueKind::Table(_)) => {
                            self.problem(
                                origin,
                                key,
                                format!("is a section: name one of its settings, as `{key}.…`"),
                            );
                            continue;
                        }
                        Some(known) => (key.split('.').collect(), typed(value, known)),
                        None => {
                            self.unknown(origin, key);
                            continue;
                        }
                    }
                };
            let mut nested = Value::new(Some(origin), kind);
            for segment in segments.iter().rev() {
                nested = Table::from([((*segment).to_owned(), nested)]).into();
            }
            if let ValueKind::Table(table) = nested.kind {
                self.layers.push(Layer(table));
            }
        }
    }

    fn thresholds(&mut self, expressions: &[String]) {
        for expression in expressions {
            if let Err(message) = Threshold::parse(expression) {
                self.problem(THRESHOLD_FLAG, THRESHOLDS, threshold_refusal(&message));
            }
        }
        self.thresholds.extend_from_slice(expressions);
    }

    fn finish(mut self) -> Result<Resolved, ConfigError> {
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
        check::check(&settings, &origins)?;
        if !self.thresholds.is_empty() {
            settings.thresholds.expressions.append(&mut self.thresholds);
            let origin = origins.entry(THRESHOLDS.to_owned()).or_default();
            let before = Some(std::mem::take(origin)).filter(|before| before != DEFAULT_ORIGIN);
            *origin = before
                .into_iter()
                .chain([THRESHOLD_FLAG.to_owned()])
                .collect::<Vec<_>>()
                .join(", ");
        }
        Ok(Resolved { settings, origins })
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

/// Reads TOML, noting the origin at every value.
pub(super) fn parse(text: &str, origin: &str) -> Result<Table, Problem> {
    let table = File::from_str(text, FileFormat::Toml).collect().map_err(|error| {
        let cause = match error {
            config::ConfigError::FileParse { cause, .. } => cause.to_string(),
            other => other.to_string(),
        };
        // Without the line itself: it may hold a secret.
        let lines: Vec<&str> =
            cause.lines().map(str::trim).filter(|line| !line.contains('|')).collect();
        let message = format!("is no readable TOML: {}", lines.join(": "));
        Problem { origin: origin.to_owned(), key: String::new(), message }
    })?;
    Ok(table.into_iter().map(|(key, value)| (key, with_origin(value, origin))).collect())
}

fn with_origin(value: Value, origin: &str) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => ValueKind::Table(
            table.into_iter().map(|(key, value)| (key, with_origin(value, origin))).collect(),
        ),
        kind => kind,
    };
    Value::new(Some(&origin.to_owned()), kind)
}

/// Whether there is such a setting.
pub(crate) fn is_setting(key: &str) -> bool {
    parse(DEFAULTS, DEFAULT_ORIGIN).is_ok_and(|known| find(&known, key).is_some())
}

pub(super) fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => match &table.get(section)?.kind {
            ValueKind::Table(inner) => find(inner, rest),
            _ => None,
        },
    }
}

/// Every setting, in the order of the defaults' file.
pub(crate) fn setting_keys() -> Vec<String> {
    let mut section = "";
    let mut keys = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push(format!("{section}.{key}"));
        }
    }
    keys
}

fn paths_of(table: &Table, above: &str, paths: &mut Vec<String>) {
    for (key, value) in table {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        if let ValueKind::Table(inner) = &value.kind {
            paths_of(inner, &path, paths);
        }
        paths.push(path);
    }
    paths.sort();
}

/// Reads a text as what the default is; what cannot be read stays a text, and is refused later with
/// its key.
fn typed(text: &str, default: &ValueKind) -> ValueKind {
    let plain = text.trim();
    let read = match default {
        ValueKind::Boolean(_) => plain.parse().map(ValueKind::Boolean).ok(),
        ValueKind::I64(_) | ValueKind::U64(_) => {
            let signed = plain.parse().map(ValueKind::I64).ok();
            signed.or_else(|| plain.parse().map(ValueKind::U64).ok())
        }
        ValueKind::Float(_) => plain.parse().map(ValueKind::Float).ok(),
        ValueKind::Array(_) if plain.starts_with('[') => {
            let table = parse(&format!("list = {plain}"), "").ok();
            table.and_then(|mut table| table.remove("list")).map(|value| value.kind)
        }
        ValueKind::Array(_) => {
            let items = plain.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(ValueKind::Array(items.map(Value::from).collect()))
        }
        _ => None,
    };
    read.unwrap_or_else(|| ValueKind::String(text.to_owned()))
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
