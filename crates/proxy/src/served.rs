//! One upstream at run time: its pinned catalogue, and the scopes that follow from it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sallyport_mcp::{Object, catalogue::Annotations, methods::ListKind, translate::tasks::TaskSupport};
use sallyport_model::{Scope, Timestamp, UpstreamName};
use sallyport_storage::{Definition, DefinitionKind, Digest, definitions_digest};
use serde_json::Value;

use crate::{
    config::{Group, Offered},
    scopes::{self, Needed},
};

/// A catalogue is read again no sooner than this after the last time, however many ask.
const CALM: Duration = Duration::from_secs(1);
/// So many reads that differ within [`LONG_CALM`], and it is read only once in that time.
const MOST_CHANGES: usize = 10;
const LONG_CALM: Duration = Duration::from_secs(60);

/// A pinned tool.
#[derive(Debug)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// `title`, for people.
    pub title: Option<String>,
    /// `description`; text of the upstream, not to be trusted.
    pub description: Option<String>,
    /// The upstream's hints, with the specification's defaults where it gave none.
    pub annotations: Annotations,
    /// SHA-256 of the canonical definition.
    pub sha256: [u8; 32],
    /// For `Mcp-Param-*`.
    pub input_schema: Option<Arc<Value>>,
    /// Whether a legacy upstream wants it called as a task.
    pub task_support: TaskSupport,
    /// What a call needs.
    pub needed: Needed,
}

impl Tool {
    /// Whether a call may change anything. An unannotated tool may.
    pub fn acts(&self) -> bool {
        !self.annotations.read_only
    }
}

/// What is pinned of an upstream.
#[derive(Debug)]
pub struct Live {
    tools: BTreeMap<String, Arc<Tool>>,
    /// A server of both eras may word one definition in two ways; both are pinned then.
    hashes: HashMap<(DefinitionKind, String), Vec<[u8; 32]>>,
    definitions: Digest,
}

impl Live {
    /// From pins. `stored` are those that the store keeps: one wording a name.
    pub(crate) fn of(upstream: &UpstreamName, pins: &[Definition], stored: &[Definition]) -> Self {
        let definitions = definitions_digest(stored);
        let mut live = Self { tools: BTreeMap::new(), hashes: HashMap::new(), definitions };
        for pin in pins {
            live.hashes.entry((pin.kind, pin.name.clone())).or_default().push(pin.sha256);
            if pin.kind == DefinitionKind::Tool
                && let Some(tool) = tool_of(upstream, pin)
            {
                live.add(tool);
            }
        }
        live
    }

    /// Of two wordings of one tool the stricter counts.
    fn add(&mut self, tool: Tool) {
        let stricter = self.tools.get(&tool.name).is_none_or(|kept| tool.acts() && !kept.acts());
        if stricter {
            self.tools.insert(tool.name.clone(), Arc::new(tool));
        }
    }

    /// One digest over everything that the store keeps.
    pub(crate) fn definitions(&self) -> &Digest {
        &self.definitions
    }

    /// All tools, by name.
    pub fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values()
    }

    /// One tool; names are compared byte by byte.
    pub fn tool(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.get(name)
    }

    /// Whether exactly this definition is pinned.
    pub(crate) fn has(&self, kind: DefinitionKind, name: &str, sha256: &[u8; 32]) -> bool {
        self.hashes.get(&(kind, name.to_owned())).is_some_and(|pinned| pinned.contains(sha256))
    }
}

impl Default for Live {
    fn default() -> Self {
        Self { tools: BTreeMap::new(), hashes: HashMap::new(), definitions: definitions_digest(&[]) }
    }
}

fn tool_of(upstream: &UpstreamName, pin: &Definition) -> Option<Tool> {
    let raw = sallyport_mcp::json::parse(pin.raw.as_bytes(), 128).ok()?;
    let definition = sallyport_mcp::catalogue::Definition::read(ListKind::Tools, raw).ok()?;
    let group = if definition.annotations.read_only { Group::Read } else { Group::Write };
    Some(Tool {
        name: definition.key.clone(),
        title: definition.title.clone(),
        description: definition.description.clone(),
        annotations: definition.annotations,
        sha256: pin.sha256,
        input_schema: definition.input_schema.map(Arc::new),
        task_support: TaskSupport::of(&definition.raw),
        needed: Needed { narrowest: scopes::tool(upstream, &definition.key), group: scopes::group(upstream, group) },
    })
}

/// The storage's noun for a list of the wire.
pub(crate) fn kind_of(list: ListKind) -> DefinitionKind {
    match list {
        ListKind::Tools => DefinitionKind::Tool,
        ListKind::Resources => DefinitionKind::Resource,
        ListKind::ResourceTemplates => DefinitionKind::ResourceTemplate,
        ListKind::Prompts => DefinitionKind::Prompt,
    }
}

/// A definition of the wire as a pin.
pub(crate) fn pin_of(definition: &sallyport_mcp::catalogue::Definition, now: Timestamp) -> Definition {
    Definition {
        kind: kind_of(definition.kind),
        name: definition.key.clone(),
        sha256: definition.hash(),
        raw: definition.raw.to_string(),
        first_seen_at: now,
        pinned_at: now,
    }
}

/// A scope with what it means, for consent pages and metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeMeaning {
    /// The scope.
    pub scope: Scope,
    /// A line for people.
    pub title: String,
    /// The upstream's own words, if any.
    pub description: Option<String>,
    /// Whether it lets something be changed.
    pub acts: bool,
}

/// An upstream at run time.
pub struct Served {
    offered: Offered,
    resource: String,
    resource_metadata: String,
    live: RwLock<Arc<Live>>,
    /// Held while the catalogue is read; says when that was last done, and in which eras.
    pub(crate) reading: tokio::sync::Mutex<LastRead>,
    /// Whether a client's session spoke the legacy era with this upstream.
    legacy: AtomicBool,
    /// Names of definitions that were too large to pin when the catalogue was last read.
    left_out: Mutex<HashMap<DefinitionKind, BTreeSet<String>>>,
}

/// The last time that a catalogue was read.
#[derive(Debug, Default)]
pub(crate) struct LastRead {
    /// When; never if it never was.
    at: Option<Instant>,
    /// Whether what legacy clients are shown was read too.
    legacy: bool,
    /// When it could not be read, last.
    pub(crate) failed: Option<Instant>,
    /// The latest reads that found something else than was pinned.
    changed: VecDeque<Instant>,
}

impl LastRead {
    /// Notes a read. Whether, from now on, the catalogue changes too often to be read each time.
    pub(crate) fn read(&mut self, legacy: bool, differs: bool) -> bool {
        let was = self.calm();
        (self.at, self.legacy) = (Some(Instant::now()), legacy);
        if differs {
            if self.changed.len() == MOST_CHANGES {
                self.changed.pop_front();
            }
            self.changed.push_back(Instant::now());
        }
        was == CALM && self.calm() == LONG_CALM
    }

    /// How long after a read another one tells nothing.
    fn calm(&self) -> Duration {
        let often =
            self.changed.len() >= MOST_CHANGES && self.changed.front().is_some_and(|first| first.elapsed() < LONG_CALM);
        if often { LONG_CALM } else { CALM }
    }
}

impl Served {
    pub(crate) fn new(offered: Offered, resource: String, resource_metadata: String) -> Self {
        Self {
            offered,
            resource,
            resource_metadata,
            live: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
            legacy: AtomicBool::new(false),
            left_out: Mutex::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &UpstreamName {
        self.offered.name()
    }

    /// As configured.
    pub fn offered(&self) -> &Offered {
        &self.offered
    }

    /// The resource identifier; tokens must have exactly this audience.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Where the protected resource metadata is.
    pub fn resource_metadata(&self) -> &str {
        &self.resource_metadata
    }

    /// What is pinned now.
    pub fn live(&self) -> Arc<Live> {
        self.live.read().map_or_else(|_| Arc::default(), |live| Arc::clone(&live))
    }

    pub(crate) fn set_live(&self, live: Live) {
        if let Ok(mut current) = self.live.write() {
            *current = Arc::new(live);
        }
    }

    /// Whether the catalogue was read so recently that reading it again would tell nothing.
    pub(crate) fn is_calm(&self, last: &LastRead) -> bool {
        last.at.is_some_and(|at| at.elapsed() < last.calm()) && (last.legacy || !self.speaks_legacy())
    }

    /// Notes what is left out of a list; whether that is news.
    pub(crate) fn leaves_out(&self, kind: DefinitionKind, names: &BTreeSet<&str>) -> bool {
        let Ok(mut all) = self.left_out.lock() else { return false };
        let known = all.entry(kind).or_default();
        if known.len() == names.len() && names.iter().all(|name| known.contains(*name)) {
            return false;
        }
        *known = names.iter().map(|name| (*name).to_owned()).collect();
        !names.is_empty()
    }

    /// A client's session speaks the legacy era with the upstream: what it is shown there has to be read
    /// as well, since a server of both eras need not show the same in each.
    pub(crate) fn note_legacy(&self) {
        self.legacy.store(true, Ordering::Relaxed);
    }

    pub(crate) fn speaks_legacy(&self) -> bool {
        self.legacy.load(Ordering::Relaxed)
    }

    /// What reading resources, prompts and completions needs.
    pub fn reading_needs(&self) -> Needed {
        let read = scopes::group(self.name(), Group::Read);
        Needed { narrowest: read.clone(), group: read }
    }

    /// Every scope of this upstream: the groups, then one a tool.
    pub fn scopes(&self) -> Vec<ScopeMeaning> {
        let group = |group, title: &str, acts| ScopeMeaning {
            scope: scopes::group(self.name(), group),
            title: title.to_owned(),
            description: None,
            acts,
        };
        let mut all = vec![
            group(Group::Read, "Read: tools that change nothing, resources and prompts", false),
            group(Group::Write, "Write: every tool that may change, send or delete something", true),
        ];
        all.extend(self.live().tools().map(|tool| ScopeMeaning {
            scope: tool.needed.narrowest.clone(),
            title: tool.title.clone().unwrap_or_else(|| tool.name.clone()),
            description: tool.description.clone(),
            acts: tool.acts(),
        }));
        all
    }
}

/// Which lists an upstream's handshake says it has.
pub(crate) fn lists_of(about: &Object) -> Vec<ListKind> {
    let has = |key: &str| about.get("capabilities").and_then(|c| c.get(key)).is_some_and(Value::is_object);
    let mut lists = Vec::new();
    if has("tools") {
        lists.push(ListKind::Tools);
    }
    if has("resources") {
        lists.extend([ListKind::Resources, ListKind::ResourceTemplates]);
    }
    if has("prompts") {
        lists.push(ListKind::Prompts);
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_that_changes_all_the_time_is_read_once_a_minute() {
        let mut last = LastRead::default();
        for _ in 1..MOST_CHANGES {
            assert!(!last.read(true, true) && !last.read(true, false));
            assert_eq!(last.calm(), CALM);
        }
        assert!(last.read(true, true), "the tenth change in a minute is the one to warn of");
        assert_eq!(last.calm(), LONG_CALM);
        assert!(!last.read(true, true), "and it is warned of once");
        for at in &mut last.changed {
            *at = at.checked_sub(LONG_CALM).unwrap();
        }
        assert_eq!(last.calm(), CALM, "it has calmed down");
    }
}
