//! How upstreams stand: what the store says, judged as the gate judges it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use sallyport_model::{Clock as _, SystemClock, SystemRng, Timestamp};
use sallyport_proxy::{Held, register::judge};
use sallyport_storage::{
    Admission, AdmissionDecision, Assessed, Definition, RegisterEvent, Standing, Store, definitions_digest,
};
use serde_json::{Value, json};

use crate::{
    cli::Configured,
    commands::config::load,
    config::{Config, ConfigError, Upstream},
    deployment::{Database, Vault},
    register::{entry::Address, moments},
    secrets::MasterKey,
};

/// An acceptance that ends within this is due.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// Entries in which the assessment that counts is looked for.
const LOOK_BACK: usize = 1000;

/// A string of somebody else on one line of the terminal.
pub(super) fn shown(text: &str) -> String {
    sallyport_report::safe::line(text, 500)
}

/// The register of a deployment.
pub(super) struct Register {
    config: Config,
    store: Arc<dyn Store>,
    now: Timestamp,
}

impl Register {
    /// Opens the store beside a running gate.
    pub(super) async fn open(configured: &Configured) -> Result<Self> {
        let config = load(configured)?;
        let database = config.data.database();
        if let Database::File(path) = &database
            && !path.exists()
        {
            let what =
                format!("{database} is not there; start the gate once, which makes it and reads every catalogue");
            return Err(ConfigError::option("data.directory", &what).into());
        }
        let master_key = MasterKey::load(&config.data.master_key(), &SystemRng)?;
        let store = Vault::open(&database, &master_key).await?.store;
        Ok(Self::of(config, store, SystemClock.now()))
    }

    pub(super) fn of(config: Config, store: Arc<dyn Store>, now: Timestamp) -> Self {
        Self { config, store, now }
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn minimum(&self) -> Option<u8> {
        self.config.admission.minimum_score
    }

    /// The upstream of that name.
    pub(super) fn upstream(&self, name: &str) -> Result<&Upstream, ConfigError> {
        let found = self.config.upstreams.iter().find(|upstream| upstream.name.as_str() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
            let what = format!("there is no upstream `{}`; the configuration names: {}", shown(name), names.join(", "));
            ConfigError::option("NAME", &what)
        })
    }

    /// What an upstream is called as a target, and the gate's own endpoint for it.
    pub(super) fn addresses(&self, upstream: &Upstream) -> (Address, String) {
        let address = match &upstream.url {
            Some(url) => Address::Url(url.clone()),
            None => Address::Command(upstream.command.iter().chain(&upstream.args).cloned().collect()),
        };
        (address, format!("{}/mcp/{}", self.config.server.origin(), upstream.name))
    }

    /// How every upstream of the configuration stands.
    pub(super) async fn rows(&self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for upstream in &self.config.upstreams {
            rows.push(self.row(upstream).await?);
        }
        Ok(rows)
    }

    /// How one stands.
    pub(super) async fn row(&self, upstream: &Upstream) -> Result<Row> {
        let standing = self.store.standing(&upstream.name).await?;
        let pins: Vec<Definition> = self.store.pinned(&upstream.name).await?;
        let verdict = judge(&standing, self.minimum(), &definitions_digest(&pins), self.now);
        let decided = standing.decided.as_ref().and_then(|decision| decision.owner.clone());
        let owner = decided.or_else(|| upstream.owner.clone());
        Ok(Row { name: upstream.name.to_string(), standing, verdict, owner, now: self.now })
    }

    /// The document of the assessment that counts.
    pub(super) async fn document(&self, row: &Row) -> Result<Value> {
        let name = row.name.parse()?;
        let history = self.store.history(&name, LOOK_BACK).await?;
        let counting =
            history.iter().find(|entry| matches!(&entry.event, RegisterEvent::Assessed(assessed) if assessed.counts));
        let Some(entry) = counting else { return Ok(Value::Null) };
        let text = self.store.assessment_document(entry.number).await?.context("the document is not there")?;
        Ok(serde_json::from_str(&text)?)
    }

    /// What of an upstream wants an assessment or a decision.
    pub(super) fn due(&self, row: &Row) -> Vec<String> {
        let mut why = Vec::new();
        match (&row.verdict, row.standing.last_assessed_at) {
            (Err(held), _) => why.push(format!("not served: {held}")),
            (Ok(()), None) => why.push("never assessed".to_owned()),
            _ => {}
        }
        if let (Some(every), Some(last)) = (self.config.admission.reassess_every(), row.standing.last_assessed_at)
            && last.plus(every) <= self.now
        {
            why.push(format!("last assessed on {}, due every {}", moments::day_of(last), moments::period(every)));
        }
        if let Some(until) = row.accepted_until()
            && until <= self.now.plus(SOON)
        {
            why.push(format!("the acceptance {}", ends(until, self.now)));
        }
        why
    }
}

fn ends(until: Timestamp, now: Timestamp) -> String {
    let day = last_day(until);
    if until <= now { format!("ended on {day}") } else { format!("ends on {day}") }
}

/// The last day of an acceptance, which is stored as the first moment after it.
fn last_day(until: Timestamp) -> String {
    moments::day_of(until.minus(Duration::from_millis(1)))
}

/// How one upstream stands.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) owner: Option<String>,
    standing: Standing,
    verdict: Result<(), Held>,
    now: Timestamp,
}

impl Row {
    /// Until when a person accepts it, if one did and nothing was decided since.
    fn accepted_until(&self) -> Option<Timestamp> {
        let decision = self.standing.decided.as_ref().filter(|decision| decision.decided == Admission::Accepted);
        decision.and_then(|decision| decision.until)
    }

    /// In a few words.
    pub(super) fn served(&self) -> String {
        match &self.verdict {
            Ok(()) if self.accepted_until().is_some_and(|until| self.now < until) => "yes, accepted".to_owned(),
            Ok(()) => "yes".to_owned(),
            Err(held) => format!("no, {}", held.code()),
        }
    }

    /// For the list.
    pub(super) fn cells(&self) -> Vec<String> {
        let none = || "-".to_owned();
        let assessed = self.standing.assessed.as_ref();
        vec![
            self.name.clone(),
            self.served(),
            assessed.map_or_else(none, score),
            self.standing.last_assessed_at.map_or_else(none, moments::day_of),
            self.accepted_until().map_or_else(none, last_day),
            self.owner.as_deref().map_or_else(none, shown),
        ]
    }

    /// For one upstream.
    pub(super) fn lines(&self, minimum: Option<u8>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Err(held) = &self.verdict {
            lines.push(format!("{held}"));
        }
        lines.push(match minimum {
            Some(minimum) => format!("demanded: {minimum} of 20"),
            None => "demanded: nothing (admission.minimum_score is not set)".to_owned(),
        });
        if let Some(assessed) = &self.standing.assessed {
            let day = moments::day_of(assessed.assessed_at);
            let target = shown(&assessed.target);
            lines.push(format!("assessed: {} on {day}, {target}", score(assessed)));
            if assessed.definitions.is_none() {
                lines
                    .push("what it offered then is not known to the gate, so that the score covers nothing".to_owned());
            }
        }
        if let Some(decision) = &self.standing.decided {
            lines.push(format!("decided: {}", decision_line(decision)));
        }
        lines.extend(self.owner.as_ref().map(|owner| format!("owner: {}", shown(owner))));
        lines
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "upstream": self.name,
            "served": self.verdict.is_ok(),
            "code": self.verdict.err().map(Held::code),
            "owner": self.owner,
            "assessed": self.standing.assessed.as_ref().map(assessed_json),
            "last_assessed_at": self.standing.last_assessed_at.map(|at| at.to_string()),
            "decision": self.standing.decided.as_ref().map(decision_json),
        })
    }
}

/// `17 of 20`, or the range.
pub(super) fn score(assessed: &Assessed) -> String {
    match assessed.total {
        Some(total) => format!("{total} of 20"),
        None => format!("{} to {} of 20", assessed.low, assessed.high),
    }
}

pub(super) fn decision_line(decision: &AdmissionDecision) -> String {
    let (by, reason) = (shown(&decision.by), shown(&decision.reason));
    match (decision.decided, decision.until) {
        (Admission::Held, _) => format!("held by {by}: {reason}"),
        (Admission::Admitted, _) => format!("left to its score by {by}: {reason}"),
        (Admission::Accepted, Some(until)) => format!("accepted until {} by {by}: {reason}", last_day(until)),
        (Admission::Accepted, None) => format!("accepted until no date, which is never, by {by}: {reason}"),
    }
}

pub(super) fn assessed_json(assessed: &Assessed) -> Value {
    json!({
        "assessed_at": assessed.assessed_at.to_string(),
        "recorded_at": assessed.recorded_at.to_string(),
        "origin": assessed.origin,
        "target": assessed.target,
        "target_differs": assessed.target_differs,
        "total": assessed.total,
        "total_range": [assessed.low, assessed.high],
        "band": assessed.band,
        "counts": assessed.counts,
        "definitions_sha256": assessed.definitions.map(|digest| sallyport_model::hex(&digest)),
    })
}

pub(super) fn decision_json(decision: &AdmissionDecision) -> Value {
    json!({
        "decision": decision.decided,
        "by": decision.by,
        "reason": decision.reason,
        "owner": decision.owner,
        "until": decision.until.map(|until| until.to_string()),
        "decided_at": decision.at.to_string(),
        "definitions_sha256": sallyport_model::hex(&decision.definitions),
    })
}
