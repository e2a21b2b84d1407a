//! JSON lines: each line is an event as it was recorded, to the byte, with its place in the log.
//!
//! `{"log":{"index":…,"leaf_hash":"…","tenant":"…","tenant_sequence":…},"event":{…}}`
//!
//! `tenant` is `-` for the deployment's own events. An erased event is a line too, with `"event":null`
//! and `"erased":true`, so that the sequence has no hole.

use std::io::Write;

use sallyport_ledger::{LedgerError, Opened};
use sallyport_model::{TenantId, hex};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{ExportEntry, ExportError, Exported};

#[derive(Serialize)]
struct Place<'a> {
    index: u64,
    leaf_hash: String,
    tenant: &'a str,
    tenant_sequence: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    log: Place<'a>,
    event: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
}

/// Writes one line for each entry.
///
/// # Errors
/// The first entry that cannot be read, opened or written ends the export.
pub fn write_jsonl(
    entries: impl IntoIterator<Item = Result<ExportEntry, LedgerError>>,
    out: &mut impl Write,
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    for entry in entries {
        let entry = entry?;
        let index = entry.index;
        let bad = |source| ExportError::Event { index, source };
        let event: Option<&RawValue> = match &entry.opened {
            Opened::Event { json, .. } => Some(serde_json::from_slice(json).map_err(bad)?),
            Opened::Erased => None,
        };
        let log = Place {
            index,
            leaf_hash: hex(&entry.leaf_hash),
            tenant: entry.tenant.as_ref().map_or("-", TenantId::as_str),
            tenant_sequence: entry.tenant_sequence,
        };
        let erased = event.is_none();
        let mut line = serde_json::to_vec(&Line { log, event, erased }).map_err(bad)?;
        line.push(b'\n');
        out.write_all(&line)?;
        if erased { exported.erased += 1 } else { exported.events += 1 }
    }
    out.flush()?;
    Ok(exported)
}
