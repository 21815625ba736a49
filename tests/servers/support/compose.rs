//! The files of `deploy/`: the compose file and what it builds and mounts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The folder `deploy/`.
pub(crate) fn folder() -> PathBuf {
    root().join("deploy")
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A YAML file of `deploy/`. A document's own tag (Fluvio writes its version so) is left out.
pub(crate) fn yaml(file: &str) -> Value {
    let text = read(&folder().join(file));
    let untagged: Vec<_> = text.lines().filter(|line| !line.starts_with('!')).collect();
    serde_saphyr::from_str(&untagged.join("\n")).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The texts of an array, or the words of a text.
pub(crate) fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => {
            list.iter().map(|word| word.as_str().expect("a text").to_owned()).collect()
        }
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Null => Vec::new(),
        other => panic!("no list of words: {other}"),
    }
}

/// One service of the compose file.
pub(crate) struct Service {
    pub name: String,
    pub json: Value,
}

/// What a service mounts.
pub(crate) struct Mount {
    /// A path of the repository, or the name of a volume.
    pub source: Source,
    pub target: String,
    pub is_read_only: bool,
}

#[derive(Debug)]
pub(crate) enum Source {
    Path(PathBuf),
    Volume(String),
}

/// A published port.
pub(crate) struct Port {
    pub address: String,
    pub published: u16,
    pub target: u16,
}

impl Service {
    pub(crate) fn text(&self, pointer: &str) -> &str {
        let value =
            self.json.pointer(pointer).unwrap_or_else(|| panic!("{} has no {pointer}", self.name));
        value.as_str().unwrap_or_else(|| panic!("{}: {pointer} is no text: {value}", self.name))
    }

    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let of = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let map = self.json["environment"].as_object();
        map.into_iter().flatten().map(|(name, value)| (name.clone(), of(value))).collect()
    }

    pub(crate) fn mounts(&self) -> Vec<Mount> {
        let of = |text: String| {
            let parts: Vec<_> = text.split(':').collect();
            assert!(parts.len() >= 2, "{}: {text}", self.name);
            let is_path = parts[0].starts_with('.');
            Mount {
                // Compose takes a relative path from the compose file's folder.
                source: if is_path {
                    Source::Path(folder().join(parts[0]))
                } else {
                    Source::Volume(parts[0].to_owned())
                },
                target: parts[1].to_owned(),
                is_read_only: parts.get(2) == Some(&"ro"),
            }
        };
        words(&self.json["volumes"]).into_iter().map(of).collect()
    }

    /// The file of the repository that the container sees under a path.
    pub(crate) fn file_behind(&self, path: &str) -> Option<PathBuf> {
        self.mounts().into_iter().find_map(|mount| match mount.source {
            Source::Path(source) if path == mount.target => Some(source),
            Source::Path(source) => {
                path.strip_prefix(&mount.target)?.strip_prefix('/').map(|below| source.join(below))
            }
            Source::Volume(_) => None,
        })
    }

    pub(crate) fn ports(&self) -> Vec<Port> {
        let of = |text: String| {
            let parts: Vec<_> = text.split(':').collect();
            let [address, published, target] = parts[..] else {
                panic!("{}: {text}: ADDRESS:PORT:PORT", self.name)
            };
            Port {
                address: address.to_owned(),
                published: published.parse().unwrap(),
                target: target.parse().unwrap(),
            }
        };
        words(&self.json["ports"]).into_iter().map(of).collect()
    }

    /// The value of `--flag=VALUE` in the command, be it a list or a script.
    pub(crate) fn flag(&self, flag: &str) -> String {
        let command = words(&self.json["command"]);
        let mut words = command.iter().flat_map(|part| part.split_whitespace());
        let value = words.find_map(|word| word.strip_prefix(flag)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{} has no {flag}=: {command:?}", self.name)).to_owned()
    }

    /// What must be there before it starts, with the condition.
    pub(crate) fn needs(&self) -> Vec<(String, String)> {
        let map = self.json["depends_on"].as_object();
        let of = |(name, how): (&String, &Value)| {
            (name.clone(), how["condition"].as_str().unwrap_or("").to_owned())
        };
        map.into_iter().flatten().map(of).collect()
    }
}

/// The compose file.
pub(crate) struct Compose {
    pub json: Value,
}

impl Compose {
    pub(crate) fn read() -> Self {
        Self { json: yaml("compose.yaml") }
    }

    pub(crate) fn services(&self) -> Vec<Service> {
        let map = self.json["services"].as_object().expect("services");
        map.iter().map(|(name, json)| Service { name: name.clone(), json: json.clone() }).collect()
    }

    pub(crate) fn service(&self, name: &str) -> Service {
        self.services()
            .into_iter()
            .find(|service| service.name == name)
            .unwrap_or_else(|| panic!("no service {name}"))
    }

    /// What a profile brings up.
    pub(crate) fn profile(&self, profile: &str) -> Vec<Service> {
        let mut services = self.services();
        services
            .retain(|service| words(&service.json["profiles"]).iter().any(|name| name == profile));
        services
    }

    /// The daemon of a profile: the service that answers to `streamgauge`.
    pub(crate) fn daemon(&self, profile: &str) -> Service {
        let mut services = self.profile(profile);
        services.retain(|service| {
            let aliases = service.json.pointer("/networks/default/aliases").unwrap_or(&Value::Null);
            words(aliases).iter().any(|alias| alias == "streamgauge")
        });
        assert_eq!(services.len(), 1, "{profile}: one daemon");
        services.remove(0)
    }
}

/// The Dockerfile's instructions, each with its argument on one line.
pub(crate) struct Dockerfile {
    instructions: Vec<(String, String)>,
}

impl Dockerfile {
    pub(crate) fn read() -> Self {
        let text = read(&folder().join("Dockerfile"));
        let lines: Vec<_> =
            text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        let joined = lines.join("\n").replace("\\\n", " ");
        let of = |line: &str| {
            line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        };
        let instructions: Vec<_> = joined.lines().filter_map(of).collect();
        assert!(instructions.len() > 10, "{instructions:?}");
        Self { instructions }
    }

    /// Every instruction of a name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.instructions
            .iter()
            .filter(|(found, _)| found == name)
            .map(|(_, rest)| rest.as_str())
            .collect()
    }

    /// The one instruction of a name.
    pub(crate) fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "Dockerfile: one {name}");
        all[0]
    }

    /// What `ENV` sets.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let pairs = self.all("ENV").into_iter().flat_map(str::split_whitespace);
        pairs
            .map(|pair| pair.split_once('=').expect("ENV NAME=VALUE"))
            .map(|(n, v)| (n.into(), v.into()))
            .collect()
    }

    /// The words of an instruction in exec form, from its `[` on.
    pub(crate) fn exec(&self, name: &str) -> Vec<String> {
        let one = self.one(name);
        let list =
            &one[one.find('[').unwrap_or_else(|| panic!("{name} is not in exec form: {one}"))..];
        serde_json::from_str(list).unwrap_or_else(|error| panic!("{name} {list}: {error}"))
    }
}
