//! What adds to the register: results, and people's decisions.

use std::path::Path;

use anyhow::Result;
use sallyport_model::assessment::Assessment;
use sallyport_storage::{Admission, AdmissionDecision, AssessmentOrigin, definitions_digest};

use super::stand::{Register, score, shown};
use crate::{
    End,
    cli::Decided,
    config::{ConfigError, Upstream},
    register::{entry::entry, moments},
};

/// Bytes of a result.
const MOST_RESULT: u64 = 16 << 20;
/// Characters of a name.
const MOST_NAME: usize = 200;
/// Characters of a reason.
const MOST_REASON: usize = 2000;
/// How far ahead another machine's clock may be.
const AHEAD: std::time::Duration = std::time::Duration::from_secs(300);

/// `sallyport register record`
pub(super) async fn record(register: &Register, name: &str, result: &Path, differs: Option<String>) -> Result<End> {
    let upstream = register.upstream(name)?;
    let differs = differs.map(|reason| text("--target-differs", reason, MOST_REASON)).transpose()?;
    let (raw, document) = read(result)?;
    check_target(register, upstream, &document, differs.is_some())?;
    let pins = register.store().pinned(&upstream.name).await?;
    let wrong = |what: String| ConfigError::in_file(result, &what);
    let read = entry(&upstream.name, &document, AssessmentOrigin::Recorded, &pins, register.now());
    let mut assessed = read.map_err(wrong)?;
    if assessed.assessed_at > register.now().plus(AHEAD) {
        return Err(
            wrong("it is from the future: compare the clocks of both machines, then assess again".into()).into()
        );
    }
    let before = register.store().standing(&upstream.name).await?.assessed;
    if let Some(newer) = before.filter(|before| before.assessed_at > assessed.assessed_at) {
        let what = format!("the register holds a newer one, of {}: assess again and record that", newer.assessed_at);
        return Err(wrong(what).into());
    }
    let own = register.addresses(upstream);
    assessed.target_differs = differs.filter(|_| !own.0.is_target(&document.target, &own.1));
    let number = register.store().record_assessment(&assessed, &raw).await?;
    anstream::eprintln!("recorded as entry {number}: {} for {}", score(&assessed), upstream.name);
    if assessed.definitions.is_none() {
        anstream::eprintln!(
            "The gate has not read what {name} offers, or has seen it change since the assessment began, so that the \
             score covers nothing that is offered now. Start the gate, then assess {name} again and record that."
        );
    }
    tell(register, upstream).await
}

fn read(path: &Path) -> Result<(String, Assessment), ConfigError> {
    let wrong = |what: String| ConfigError::in_file(path, &what);
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > MOST_RESULT {
        return Err(wrong(format!("it has {size} bytes, more than the {MOST_RESULT} that a result may have")));
    }
    let raw = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let document = serde_json::from_str(&raw)
        .map_err(|error| wrong(format!("it is no result of `sallyport assess --json`: {error}")))?;
    Ok((raw, document))
}

fn check_target(
    register: &Register,
    upstream: &Upstream,
    document: &Assessment,
    told: bool,
) -> Result<(), ConfigError> {
    let (address, endpoint) = register.addresses(upstream);
    if told || address.is_target(&document.target, &endpoint) {
        return Ok(());
    }
    let what = format!(
        "it assesses {}, which is neither {} nor {endpoint}; record the right one, or say why it counts with \
         --target-differs REASON",
        shown(&document.target),
        upstream.name
    );
    Err(ConfigError::option("--result", &what))
}

/// `sallyport register accept`
pub(super) async fn accept(register: &Register, name: &str, decided: Decided, until: &str) -> Result<End> {
    let day = moments::day(until).ok_or_else(|| {
        ConfigError::option("--until", &format!("`{}` is no day: write YYYY-MM-DD, such as 2027-01-31", shown(until)))
    })?;
    let until = moments::day_after(day);
    if until <= register.now() {
        let what = format!("{} is over: name today or a later day", moments::day_of(day));
        return Err(ConfigError::option("--until", &what).into());
    }
    decide(register, name, decided, Admission::Accepted, Some(until)).await
}

/// `sallyport register hold`
pub(super) async fn hold(register: &Register, name: &str, decided: Decided) -> Result<End> {
    decide(register, name, decided, Admission::Held, None).await
}

/// `sallyport register admit`
pub(super) async fn admit(register: &Register, name: &str, decided: Decided) -> Result<End> {
    decide(register, name, decided, Admission::Admitted, None).await
}

async fn decide(
    register: &Register,
    name: &str,
    decided: Decided,
    what: Admission,
    until: Option<sallyport_model::Timestamp>,
) -> Result<End> {
    let upstream = register.upstream(name)?;
    let pins = register.store().pinned(&upstream.name).await?;
    let before = register.store().standing(&upstream.name).await?.decided;
    let owner = decided.owner.map(|owner| text("--owner", owner, MOST_NAME)).transpose()?;
    let decision = AdmissionDecision {
        upstream: upstream.name.clone(),
        decided: what,
        by: text("--by", decided.by, MOST_NAME)?,
        reason: text("--reason", decided.reason, MOST_REASON)?,
        // Whoever was named before answers for it until somebody else is.
        owner: owner.or_else(|| before.and_then(|before| before.owner)),
        until,
        at: register.now(),
        definitions: definitions_digest(&pins),
    };
    let number = register.store().decide_admission(&decision).await?;
    anstream::eprintln!("recorded as entry {number}");
    if what == Admission::Accepted && pins.is_empty() {
        anstream::eprintln!(
            "The gate has not read what {name} offers: once it has, this acceptance covers none of it. Start the gate, \
             then accept what is there."
        );
    }
    tell(register, upstream).await
}

/// Says how the upstream stands now.
async fn tell(register: &Register, upstream: &Upstream) -> Result<End> {
    let row = register.row(upstream).await?;
    println!("{}: {}", row.name, row.served());
    Ok(End::Done)
}

/// A text that a person must give: something, on one line, and not a book.
fn text(option: &str, given: String, most: usize) -> Result<String, ConfigError> {
    let given = given.trim();
    let wrong = |what: &str| Err(ConfigError::option(option, what));
    if given.is_empty() {
        return wrong("it is empty: a decision needs a name and a reason that others can read later");
    }
    if given.chars().any(char::is_control) {
        return wrong("it holds a control character: write one line of plain text");
    }
    if given.chars().count() > most {
        return wrong(&format!("it is longer than {most} characters: name a document instead"));
    }
    Ok(given.to_owned())
}
