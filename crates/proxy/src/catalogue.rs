//! Reading an upstream's catalogue with the gate's own credential, and pinning what it says.
//!
//! What one principal is shown never becomes a pin: the gate reads for itself.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::join_all};
use sallyport_mcp::{
    Era, Message, Object, Outcome, Request,
    catalogue::{Definition, read_page},
    era::ProtocolVersion,
    methods::ListKind,
};
use sallyport_model::TenantId;
use sallyport_storage::StoreError;
use serde_json::json;
use tokio::time::timeout_at;

use crate::{
    authorize::all_pinned,
    gate::Gate,
    listen::unaskable,
    sanitise::sanitise_text,
    served::{LastRead, Live, Served, lists_of},
    upstream::{Caller, ClientFacts, Outgoing, UpstreamError, UpstreamSession},
};

const MOST_PAGES: usize = 200;
const MOST_DEFINITIONS: usize = 20_000;
/// Bytes of all lists together, as JSON.
const MOST_BYTES: usize = 16 << 20;
/// Bytes of one definition; a larger one is left out.
const MOST_DEFINITION_BYTES: usize = 256 << 10;
/// A whole read, in both eras, from the handshake to the last page.
const READ_TIME: Duration = Duration::from_secs(20);
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
    /// It takes its time.
    #[error("the catalogue was not read within {} s", READ_TIME.as_secs())]
    Slow,
    /// The pins could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change could not be recorded.
    #[error(transparent)]
    Record(#[from] sallyport_model::RecordError),
}

impl Gate {
    /// Takes the pins of every upstream from the store, so that scopes are known before any answers, and which
    /// tenants take no bearer tokens ([`Gate::read_demands`]): what has to be known before the gate serves.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load_pins(&self) -> Result<(), StoreError> {
        for served in self.all_served() {
            let pins = self.store().pinned(served.name()).await?;
            served.set_live(Live::of(served.name(), &pins, &pins));
        }
        self.read_demands().await;
        Ok(())
    }

    /// Reads every catalogue, all at once; answers what failed, by upstream.
    pub async fn read_catalogues(&self) -> Vec<(String, CatalogueError)> {
        let reads = self.all_served().map(|served| async move {
            let mut last = served.reading.lock().await;
            let read = self.read_into(served, &mut last).await;
            read.err().map(|error| (served.name().to_string(), error))
        });
        join_all(reads).await.into_iter().flatten().collect()
    }

    /// Reads one catalogue unless that was just done. Whether it was read.
    pub(crate) async fn read_catalogue(&self, served: &Arc<Served>) -> bool {
        let asked = Instant::now();
        let mut last = served.reading.lock().await;
        if served.is_calm(&last) {
            return true;
        }
        // Who waited for a read that failed does not wait for another one.
        if last.failed.is_some_and(|failed| failed >= asked) {
            return false;
        }
        match self.read_into(served, &mut last).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(upstream = %served.name(), %error, "the catalogue could not be read");
                false
            }
        }
    }

    async fn read_into(&self, served: &Served, last: &mut LastRead) -> Result<(), CatalogueError> {
        match self.read_now(served).await {
            Ok((legacy, differs)) => {
                if last.read(legacy, differs) {
                    tracing::warn!(
                        upstream = %served.name(),
                        "the catalogue changes all the time; for now it is read once a minute"
                    );
                }
                Ok(())
            }
            Err(error) => {
                last.failed = Some(Instant::now());
                Err(error)
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
    /// Whether the older era was read, and whether anything differs from what was pinned.
    async fn read_now(&self, served: &Served) -> Result<(bool, bool), CatalogueError> {
        let until = tokio::time::Instant::now() + READ_TIME;
        let (mut lists, era) = self.read_in(served, ProtocolVersion::LATEST, until).await?;
        let both = era == Era::Modern && served.speaks_legacy();
        if both {
            lists.extend(self.read_in(served, ProtocolVersion::LATEST_LEGACY, until).await?.0);
        }
        let differs = self.pin(served, lists).await?;
        Ok((both || era == Era::Legacy, differs))
    }

    async fn read_in(
        &self,
        served: &Served,
        version: ProtocolVersion,
        until: tokio::time::Instant,
    ) -> Result<(Lists, Era), CatalogueError> {
        let client = ClientFacts {
            era: version.era(),
            protocol_version: version.as_str().to_owned(),
            // Some servers offer a tool only to clients that can be asked. The reader is never asked.
            capabilities: askable(),
            info: json!({ "name": "sallyport", "version": env!("CARGO_PKG_VERSION") }).as_object().cloned(),
        };
        let caller = Caller::Gate(TenantId::new(GATE_TENANT).expect("a slug"));
        let opening = self.connector().open(&served.offered().spec, &client, &caller);
        let leg = timeout_at(until, opening).await.map_err(|_| CatalogueError::Slow)??;
        let read = timeout_at(until, read_lists(leg.as_ref())).await;
        let era = leg.facts().era;
        // An upstream that is slow to let go holds nobody up.
        self.close_leg(leg);
        Ok((read.map_err(|_| CatalogueError::Slow)??, era))
    }
}

/// One list, all its pages.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) definitions: Vec<Definition>,
    /// Names of what is too large to be pinned, and so is shown to nobody.
    pub(crate) left_out: Vec<String>,
}

/// What an upstream offers, by list.
pub(crate) type Lists = Vec<(ListKind, Listing)>;

async fn read_lists(leg: &dyn UpstreamSession) -> Result<Lists, CatalogueError> {
    let mut lists = Vec::new();
    let mut room = MOST_BYTES;
    for list in lists_of(&leg.facts().about) {
        let listing = match read_list(leg, list, &mut room).await {
            // Servers that say `resources` need not have templates.
            Err(CatalogueError::List { .. }) if list == ListKind::ResourceTemplates => Listing::default(),
            other => other?,
        };
        lists.push((list, listing));
    }
    Ok(lists)
}

/// Reads a list to its end, as long as there is `room` for its bytes.
async fn read_list(leg: &dyn UpstreamSession, list: ListKind, room: &mut usize) -> Result<Listing, CatalogueError> {
    let bad = |why: String| CatalogueError::List { list: list.method(), why };
    let mut listing = Listing::default();
    let mut cursor: Option<String> = None;
    for page in 0..MOST_PAGES {
        let params = cursor.take().map(|cursor| Object::from_iter([("cursor".to_owned(), cursor.into())]));
        let request = Request::new(i64::try_from(page).unwrap_or(0) + 1, list.method(), params);
        let result = ask(leg, request).await?.map_err(bad)?;
        let full = || bad(format!("the catalogue has more than {MOST_BYTES} bytes"));
        *room = room.checked_sub(bytes_of(&result)).ok_or_else(full)?;
        let page = read_page(list, &result).map_err(|error| bad(error.to_string()))?;
        for rejected in &page.rejected {
            tracing::warn!(list = list.method(), %rejected, "a definition is left out");
        }
        for definition in page.definitions {
            if bytes_of(&definition.raw) <= MOST_DEFINITION_BYTES {
                listing.definitions.push(definition);
            } else {
                let name = sanitise_text(&definition.key);
                tracing::warn!(list = list.method(), name, "a definition is left out: it is larger than 256 KiB");
                listing.left_out.push(name);
            }
        }
        if listing.definitions.len() > MOST_DEFINITIONS {
            return Err(bad(format!("it has more than {MOST_DEFINITIONS} definitions")));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(listing);
        }
    }
    Err(bad(format!("it does not end within {MOST_PAGES} pages")))
}

/// How many bytes a value has as JSON, without writing it anywhere.
fn bytes_of(value: &impl serde::Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be counted is too large.
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
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
