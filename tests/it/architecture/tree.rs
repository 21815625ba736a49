//! The files of both crates, and the arrows between them: who names what, and which file defines
//! it.
//!
//! An arrow goes to the file that defines a name, however many re-exports lie between. A parent
//! that declares `mod child;`, or gives a child's names on (`pub use self::child::Name`), does not
//! use the child; it does once the name stands in its own code, and a child that names its parent's
//! items then makes a circle with it. A path leads through the modules on its way without using
//! them.

use std::collections::BTreeMap;

use super::module::{Module, Written, parse};

/// The crates, and where their files lie.
pub(crate) const CRATES: [(&str, &str); 2] =
    [("streamgauge", "src/"), ("streamgauge_actors", "actors/src/")];
/// The program's own crate, which only calls its library.
const MAIN: &str = "src/main.rs";

/// A file that names something that another one defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    pub from: String,
    pub to: String,
    pub line: usize,
    /// By a name that the root page of the own crate gives on.
    pub through_root: bool,
}

/// Where a module stands: its crate, then the modules' names.
type Place = Vec<String>;

pub(crate) struct Tree {
    files: BTreeMap<String, String>,
    /// The file of each module, and the module.
    modules: BTreeMap<Place, (String, Module)>,
}

/// The place of a file's module.
fn place_of(file: &str) -> Option<Place> {
    if file == MAIN {
        return Some(vec!["main".to_owned()]);
    }
    let (name, rest) =
        CRATES.iter().find_map(|(name, folder)| Some((name, file.strip_prefix(folder)?)))?;
    let rest = rest.strip_suffix(".rs")?;
    let rest = rest.strip_suffix("/mod").unwrap_or(rest);
    let mut place = vec![(*name).to_owned()];
    if rest != "lib" {
        place.extend(rest.split('/').map(str::to_owned));
    }
    Some(place)
}

impl Tree {
    /// The tree of files by their paths, as they stand below the workspace's root.
    pub(crate) fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let files: BTreeMap<String, String> = files.into_iter().collect();
        let mut modules = BTreeMap::new();
        let mut of_tests: Vec<Place> = Vec::new();
        for (file, text) in &files {
            let Some(place) = place_of(file) else { continue };
            for (inner, module) in parse(text) {
                let place = [&place[..], &inner[..]].concat();
                of_tests.extend(module.test_children.iter().map(|child| joined(&place, child)));
                modules.insert(place, (file.clone(), module));
            }
        }
        modules.retain(|place, _| !of_tests.iter().any(|tests| place.starts_with(tests)));
        Self { files, modules }
    }

    /// The files that are more than tests.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.modules.values().map(|(file, _)| file.as_str())
    }

    /// The text of a file's line.
    pub(crate) fn line(&self, file: &str, line: usize) -> &str {
        let text = self.files.get(file).map_or("", String::as_str);
        text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim()
    }

    /// Every arrow, in the order of the files that it comes from.
    pub(crate) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for (place, (file, module)) in &self.modules {
            let mut add = |written: &Written, is_given_on: bool| {
                let Some(found) = self.resolve(place, &written.path, 0) else { return };
                let (to, defining) = (&self.modules[&found.place].0, &found.place);
                let is_own = is_given_on && defining.starts_with(place);
                if to != file && !is_own {
                    let through_root = found.through_root == place.first().cloned();
                    let (from, to) = (file.clone(), to.clone());
                    arrows.push(Arrow { from, to, line: written.line, through_root });
                }
            };
            for import in &module.imports {
                let is_used = module.words.contains(&import.name);
                add(&import.written, import.is_public && !is_used);
            }
            for written in &module.paths {
                add(written, false);
            }
        }
        arrows.sort();
        arrows.dedup();
        arrows
    }

    /// Follows a path from where it is written to the module whose file defines its end.
    fn resolve(&self, from: &Place, path: &[String], depth: usize) -> Option<Found> {
        if depth > 16 {
            return None;
        }
        let (first, mut rest) = path.split_first()?;
        let mut place = match first.as_str() {
            "crate" => vec![from[0].clone()],
            "self" => from.clone(),
            "super" => {
                let mut place = from[..from.len() - 1].to_vec();
                while rest.first().is_some_and(|word| word == "super") {
                    place.pop();
                    rest = &rest[1..];
                }
                place
            }
            name if self.child(from, name).is_some() => joined(from, name),
            name => match self.bound(from, name, path, depth) {
                Some(found) => return Some(found),
                None if CRATES.iter().any(|(known, _)| known == &name) => vec![name.to_owned()],
                None => return None,
            },
        };
        self.modules.get(&place)?;
        while let Some((name, after)) = rest.split_first() {
            if let Some(child) = self.child(&place, name) {
                place = child;
                rest = after;
                continue;
            }
            let is_root = place.len() == 1;
            let root = is_root.then(|| place[0].clone());
            let found = self.bound(&place, name, rest, depth);
            let found = found.unwrap_or(Found { place: place.clone(), through_root: None });
            return Some(Found { through_root: root.or(found.through_root), ..found });
        }
        Some(Found { place, through_root: None })
    }

    fn child(&self, place: &Place, name: &str) -> Option<Place> {
        let child = joined(place, name);
        (self.modules[place].1.children.contains(name) && self.modules.contains_key(&child))
            .then_some(child)
    }

    /// What a name leads to that a module brings in; `path` begins with the name.
    fn bound(&self, place: &Place, name: &str, path: &[String], depth: usize) -> Option<Found> {
        let module = &self.modules.get(place)?.1;
        let mut named = module.imports.iter().filter(|import| import.name == name);
        if let Some(found) = named.find_map(|import| {
            let written = &import.written.path;
            (written.len() > 1 || written[0] != name).then_some(())?;
            let whole = [&written[..], &path[1..]].concat();
            self.resolve(place, &whole, depth + 1)
        }) {
            return Some(found);
        }
        if module.items.contains(name) {
            return None;
        }
        module.imports.iter().filter(|import| import.name == "*").find_map(|import| {
            let source = self.resolve(place, &import.written.path, depth + 1)?.place;
            let (_, module) = self.modules.get(&source)?;
            let is_there = module.items.contains(name)
                || module.children.contains(name)
                || module.imports.iter().any(|import| import.is_public && import.name == name);
            is_there.then_some(())?;
            self.resolve(place, &[&import.written.path[..], path].concat(), depth + 1)
        })
    }
}

struct Found {
    place: Place,
    /// The crate whose root page gave the name.
    through_root: Option<String>,
}

fn joined(place: &[String], child: &str) -> Place {
    [place, &[child.to_owned()]].concat()
}
