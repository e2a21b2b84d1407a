//! The register of assessed upstreams in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Params, Row, params};
use sallyport_model::UpstreamName;

use super::{
    SqliteStore,
    rows::{all, change, damaged, from_word, id, millis, one, optional_time, plain, read_word, time, word},
};
use crate::{AdmissionDecision, Assessed, Assessments, RegisterEntry, RegisterEvent, Standing, StoreError};

/// Everything but the document, which may be large.
const ASSESSED: &str = "number, upstream, assessed_at, recorded_at, origin, target, target_differs, total, low, high,
     band, definitions, counts";

fn number(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|error| damaged("register number", error))
}

fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn assessed(row: &Row<'_>) -> Result<RegisterEntry, StoreError> {
    let band: Option<String> = plain(row, "band")?;
    let event = RegisterEvent::Assessed(Assessed {
        upstream: id(row, "upstream")?,
        assessed_at: time(row, "assessed_at")?,
        recorded_at: time(row, "recorded_at")?,
        origin: from_word(row, "origin")?,
        target: plain(row, "target")?,
        target_differs: plain(row, "target_differs")?,
        total: plain(row, "total")?,
        low: plain(row, "low")?,
        high: plain(row, "high")?,
        band: band.map(|word| read_word("band", word)).transpose()?,
        definitions: plain(row, "definitions")?,
        counts: plain(row, "counts")?,
    });
    Ok(RegisterEntry { number: number(plain(row, "number")?)?, event })
}

fn decided(row: &Row<'_>) -> Result<RegisterEntry, StoreError> {
    let event = RegisterEvent::Decided(AdmissionDecision {
        upstream: id(row, "upstream")?,
        decided: from_word(row, "decided")?,
        by: plain(row, "decided_by")?,
        reason: plain(row, "reason")?,
        owner: plain(row, "owner")?,
        until: optional_time(row, "until")?,
        at: time(row, "at")?,
        definitions: plain(row, "definitions")?,
    });
    Ok(RegisterEntry { number: number(plain(row, "number")?)?, event })
}

/// Both tables' rows that `tail` picks, each at most as many as it says.
fn both(c: &Connection, tail: &str, params: impl Params + Copy) -> Result<Vec<RegisterEntry>, StoreError> {
    // One look at both: what is committed between two looks would be passed over, and then taken for recorded.
    let look = c.unchecked_transaction()?;
    let mut found = all(&look, &format!("SELECT {ASSESSED} FROM assessments {tail}"), params, assessed)?;
    found.extend(all(&look, &format!("SELECT * FROM admissions {tail}"), params, decided)?);
    look.commit()?;
    Ok(found)
}

/// The number of a new entry. Runs inside the caller's transaction; the counter's row is what makes numbers
/// follow the order of commits.
fn next(c: &Connection) -> Result<i64, StoreError> {
    let sql = "UPDATE counters SET value = value + 1 WHERE name = 'register_number' RETURNING value";
    Ok(c.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

fn counter(c: &Connection, name: &str) -> Result<u64, StoreError> {
    let value = c.prepare_cached("SELECT value FROM counters WHERE name = ?1")?.query_row([name], |row| row.get(0))?;
    number(value)
}

fn add_assessed(c: &Connection, assessed: &Assessed, document: &str) -> Result<u64, StoreError> {
    let number_ = next(c)?;
    let band = assessed.band.map(|band| word("band", &band)).transpose()?;
    change(
        c,
        "INSERT INTO assessments (number, upstream, assessed_at, recorded_at, origin, target, target_differs, total,
         low, high, band, definitions, counts, document)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        params![
            number_,
            assessed.upstream.as_str(),
            millis(assessed.assessed_at),
            millis(assessed.recorded_at),
            word("origin", &assessed.origin)?,
            assessed.target,
            assessed.target_differs,
            assessed.total,
            assessed.low,
            assessed.high,
            band,
            assessed.definitions,
            assessed.counts,
            document,
        ],
    )?;
    number(number_)
}

fn add_decided(c: &Connection, decision: &AdmissionDecision) -> Result<u64, StoreError> {
    let number_ = next(c)?;
    change(
        c,
        "INSERT INTO admissions (number, upstream, decided, decided_by, reason, owner, until, at, definitions)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            number_,
            decision.upstream.as_str(),
            word("decision", &decision.decided)?,
            decision.by,
            decision.reason,
            decision.owner,
            decision.until.map(millis),
            millis(decision.at),
            decision.definitions,
        ],
    )?;
    number(number_)
}

fn standing(c: &Connection, upstream: &str) -> Result<Standing, StoreError> {
    let newest = |which: &str| format!("WHERE upstream = ?1 {which} ORDER BY number DESC LIMIT 1");
    let last = format!("SELECT assessed_at FROM assessments {}", newest(""));
    let counting = format!("SELECT {ASSESSED} FROM assessments {}", newest("AND counts"));
    let decision = format!("SELECT * FROM admissions {}", newest(""));
    let mut standing = Standing {
        last_assessed_at: one(c, &last, [upstream], |row| time(row, "assessed_at"))?,
        ..Standing::default()
    };
    let entries = [one(c, &counting, [upstream], assessed)?, one(c, &decision, [upstream], decided)?];
    for entry in entries.into_iter().flatten() {
        match entry.event {
            RegisterEvent::Assessed(assessed) => standing.assessed = Some(assessed),
            RegisterEvent::Decided(decided) => standing.decided = Some(decided),
        }
    }
    Ok(standing)
}

#[async_trait]
impl Assessments for SqliteStore {
    async fn record_assessment(&self, assessed: &Assessed, document: &str) -> Result<u64, StoreError> {
        let (assessed, document) = (assessed.clone(), document.to_owned());
        self.write(move |c| add_assessed(c, &assessed, &document)).await
    }

    async fn decide_admission(&self, decision: &AdmissionDecision) -> Result<u64, StoreError> {
        let decision = decision.clone();
        self.write(move |c| add_decided(c, &decision)).await
    }

    async fn standing(&self, upstream: &UpstreamName) -> Result<Standing, StoreError> {
        let upstream = upstream.clone();
        self.read(move |c| standing(c, upstream.as_str())).await
    }

    async fn history(&self, upstream: &UpstreamName, limit: usize) -> Result<Vec<RegisterEntry>, StoreError> {
        let upstream = upstream.clone();
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let tail = "WHERE upstream = ?1 ORDER BY number DESC LIMIT ?2";
        let mut found = self.read(move |c| both(c, tail, (upstream.as_str(), most))).await?;
        found.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        found.truncate(limit);
        Ok(found)
    }

    async fn assessment_document(&self, number: u64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT document FROM assessments WHERE number = ?1";
        self.read(move |c| one(c, sql, [column(number)], |row| plain(row, "document"))).await
    }

    async fn register_number(&self) -> Result<u64, StoreError> {
        self.read(|c| counter(c, "register_number")).await
    }

    async fn register_after(&self, number: u64, limit: usize) -> Result<Vec<RegisterEntry>, StoreError> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let tail = "WHERE number > ?1 ORDER BY number LIMIT ?2";
        let mut found = self.read(move |c| both(c, tail, (column(number), most))).await?;
        found.sort_by_key(|entry| entry.number);
        found.truncate(limit);
        Ok(found)
    }

    async fn register_logged(&self) -> Result<u64, StoreError> {
        self.read(|c| counter(c, "register_logged")).await
    }

    async fn note_register_logged(&self, number: u64) -> Result<(), StoreError> {
        let sql = "UPDATE counters SET value = max(value, ?1) WHERE name = 'register_logged'";
        self.write(move |c| Ok(change(c, sql, [column(number)]).map(|_| ())?)).await
    }
}
