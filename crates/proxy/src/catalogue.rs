//! Reading an upstream's catalogue with the gate's own credential, and pinning what it says.
//!
//! What one principal is shown never becomes a pin: the gate reads for itself.

use std::{collections::HashSet, sync::Arc, time::Instant};

use futures::StreamExt;
use sallyport_mcp::{
    Era, Message, Object, Outcome, Request,
    catalogue::{Definition, read_page},
    era::ProtocolVersion,
    methods::ListKind,
};
use sallyport_model::{AuditEvent, EventId, EventKind, TenantId};
use sallyport_storage::{PinChange, StoreError};
use serde_json::json;

use crate::{
    authorize::all_pinned,
    gate::Gate,
    listen::unaskable,
    record::hex,
    served::{LastRead, Live, Served, kind_of, lists_of, pin_of},
    upstream::{ClientFacts, Outgoing, ProcessOwner, UpstreamError, UpstreamSession},
};

const MOST_PAGES: usize = 200;
const MOST_DEFINITIONS: usize = 20_000;
/// The owner of processes that the gate starts for itself; no tenant may take the name.
pub const GATE_TENANT: &str = "sallyport-gate";

/// Why a catalogue could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The upstream failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Its lists are not lists, do not end, or are refused.
    #[error("the upstream's {list} cannot be used: {why}")]
    List {
        /// The method.
        list: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The pins could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change could not be recorded.
    #[error(transparent)]
    Record(#[from] sallyport_model::RecordError),
}

impl Gate {
    /// Takes the pins of every upstream from the store, so that scopes are known before any answers.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load_pins(&self) -> Result<(), StoreError> {
        for served in self.all_served() {
            let pins = self.store().pinned(served.name()).await?;
            served.set_live(Live::of(served.name(), &pins));
        }
        Ok(())
    }

    /// Reads every catalogue; answers what failed, by upstream.
    pub async fn read_catalogues(&self) -> Vec<(String, CatalogueError)> {
        let mut failed = Vec::new();
        for served in self.all_served() {
            let mut reading = served.reading.lock().await;
            match self.read_now(served).await {
                Ok(last) => *reading = last,
                Err(error) => failed.push((served.name().to_string(), error)),
            }
        }
        failed
    }

    /// Reads one catalogue unless that was just done. Whether it was read.
    pub(crate) async fn read_catalogue(&self, served: &Arc<Served>) -> bool {
        let mut reading = served.reading.lock().await;
        if served.is_calm(*reading) {
            return true;
        }
        match self.read_now(served).await {
            Ok(last) => {
                *reading = last;
                true
            }
            Err(error) => {
                tracing::warn!(upstream = %served.name(), %error, "the catalogue could not be read");
                false
            }
        }
    }

    /// Reads the catalogue anew if a list shows something that is not pinned as it stands.
    pub(crate) async fn ensure_pinned(&self, served: &Arc<Served>, list: ListKind, result: &Object) {
        if !all_pinned(&served.live(), list, result) {
            self.read_catalogue(served).await;
        }
    }

    /// Reads what the upstream offers: in the newer era if it speaks that (it needs no session, and an
    /// upstream that lacks it says so), and in the older one too once a client's session spoke it.
    async fn read_now(&self, served: &Served) -> Result<LastRead, CatalogueError> {
        let (mut lists, era) = self.read_in(served, ProtocolVersion::LATEST).await?;
        let both = era == Era::Modern && served.speaks_legacy();
        if both {
            lists.extend(self.read_in(served, ProtocolVersion::LATEST_LEGACY).await?.0);
        }
        self.pin(served, lists).await?;
        Ok(LastRead { at: Some(Instant::now()), legacy: both || era == Era::Legacy })
    }

    async fn read_in(&self, served: &Served, version: ProtocolVersion) -> Result<(Lists, Era), CatalogueError> {
        let client = ClientFacts {
            era: version.era(),
            protocol_version: version.as_str().to_owned(),
            // Some servers offer a tool only to clients that can be asked. The reader is never asked.
            capabilities: askable(),
            info: json!({ "name": "sallyport", "version": env!("CARGO_PKG_VERSION") }).as_object().cloned(),
        };
        let owner = ProcessOwner::Tenant(TenantId::new(GATE_TENANT).expect("a slug"));
        let leg = self.connector().open(&served.offered().spec, &client, &owner).await?;
        let read = read_lists(leg.as_ref()).await;
        let era = leg.facts().era;
        leg.close().await;
        Ok((read?, era))
    }

    async fn pin(&self, served: &Served, lists: Lists) -> Result<(), CatalogueError> {
        let now = self.clock().now();
        let mut all = Vec::new();
        let kinds = [ListKind::Tools, ListKind::Resources, ListKind::ResourceTemplates, ListKind::Prompts];
        for kind in kinds {
            let listed = lists.iter().filter(|(list, _)| *list == kind);
            let pins: Vec<_> =
                listed.clone().flat_map(|(_, all)| all).map(|definition| pin_of(definition, now)).collect();
            if listed.count() == 0 {
                continue;
            }
            // One wording a name is kept; the other of a server of both eras is known while we run.
            let mut seen = HashSet::new();
            let kept: Vec<_> = pins.iter().filter(|pin| seen.insert(pin.name.clone())).cloned().collect();
            for change in self.store().pin(served.name(), kind_of(kind), &kept).await? {
                self.record_change(served, &change).await?;
            }
            all.extend(pins);
        }
        served.set_live(Live::of(served.name(), &all));
        Ok(())
    }

    async fn record_change(&self, served: &Served, change: &PinChange) -> Result<(), CatalogueError> {
        let (what, definition, was) = match change {
            PinChange::New(definition) => ("new", definition, None),
            PinChange::Changed { was, now } => ("changed", now, Some(hex(was))),
            PinChange::Gone(definition) => ("gone", definition, None),
        };
        let now = self.clock().now();
        let mut event = AuditEvent::new(EventKind::DefinitionPinned, EventId::mint(now, self.rng()), now);
        event.facts.insert("upstream".to_owned(), json!(served.name()));
        event.facts.insert("change".to_owned(), json!(what));
        event.facts.insert("kind".to_owned(), json!(definition.kind));
        event.facts.insert("name".to_owned(), json!(crate::sanitise::sanitise_text(&definition.name)));
        event.facts.insert("sha256".to_owned(), json!(hex(&definition.sha256)));
        if let Some(was) = was {
            event.facts.insert("sha256_before".to_owned(), json!(was));
        }
        self.records().recorder.record(event).await?;
        Ok(())
    }
}

/// Definitions by list.
type Lists = Vec<(ListKind, Vec<Definition>)>;

async fn read_lists(leg: &dyn UpstreamSession) -> Result<Lists, CatalogueError> {
    let mut lists = Vec::new();
    for list in lists_of(&leg.facts().about) {
        let definitions = match read_list(leg, list).await {
            // Servers that say `resources` need not have templates.
            Err(CatalogueError::List { .. }) if list == ListKind::ResourceTemplates => Vec::new(),
            other => other?,
        };
        lists.push((list, definitions));
    }
    Ok(lists)
}

async fn read_list(leg: &dyn UpstreamSession, list: ListKind) -> Result<Vec<Definition>, CatalogueError> {
    let bad = |why: String| CatalogueError::List { list: list.method(), why };
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    for page in 0..MOST_PAGES {
        let params = cursor.take().map(|cursor| Object::from_iter([("cursor".to_owned(), cursor.into())]));
        let request = Request::new(i64::try_from(page).unwrap_or(0) + 1, list.method(), params);
        let result = ask(leg, request).await?.map_err(bad)?;
        let page = read_page(list, &result).map_err(|error| bad(error.to_string()))?;
        for rejected in &page.rejected {
            tracing::warn!(list = list.method(), %rejected, "a definition is left out");
        }
        all.extend(page.definitions);
        if all.len() > MOST_DEFINITIONS {
            return Err(bad(format!("it has more than {MOST_DEFINITIONS} definitions")));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
    Err(bad(format!("it does not end within {MOST_PAGES} pages")))
}

fn askable() -> Object {
    let all = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": { "tools": {} }, "roots": {} });
    all.as_object().cloned().unwrap_or_default()
}

/// Sends one request of the gate's own and waits for its result; an error's text where there is one.
async fn ask(leg: &dyn UpstreamSession, request: Request) -> Result<Result<Object, String>, UpstreamError> {
    let mut stream = leg.request(Outgoing::new(request)).await?;
    while let Some(delivered) = stream.next().await {
        let delivered = delivered?;
        if let Some(Message::Request(request)) = delivered.message() {
            leg.respond(unaskable(request)).await?;
        }
        if let Some(Message::Response(response)) = delivered.message() {
            return Ok(match &response.outcome {
                Outcome::Result(result) => Ok(result.clone()),
                Outcome::Error(error) => Err(format!("error {}", error.code)),
            });
        }
    }
    Err(UpstreamError::Broken { what: "no answer came".to_owned(), sent: true })
}
