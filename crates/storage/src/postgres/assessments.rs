//! The register of assessed upstreams in PostgreSQL.

use async_trait::async_trait;
use sallyport_model::UpstreamName;
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::Failure,
    rows::{
        self, Row, Value, all, change, from_word, id, millis, one, optional, optional_time, params, plain, read_word,
        signed, time, unsigned, word,
    },
};
use crate::{AdmissionDecision, Assessed, Assessments, RegisterEntry, RegisterEvent, Standing, StoreError};

const NUMBER: &str = "register number";

/// Everything but the document, which may be large.
const ASSESSED: &str = "number, upstream, assessed_at, recorded_at, origin, target, target_differs, total, low, high,
     band, definitions, counts";

fn assessed(row: &Row) -> Result<RegisterEntry, StoreError> {
    let band: Option<String> = optional(row, "band")?;
    let event = RegisterEvent::Assessed(Assessed {
        upstream: id(row, "upstream")?,
        assessed_at: time(row, "assessed_at")?,
        recorded_at: time(row, "recorded_at")?,
        origin: from_word(row, "origin")?,
        target: plain(row, "target")?,
        target_differs: optional(row, "target_differs")?,
        total: optional(row, "total")?,
        low: plain(row, "low")?,
        high: plain(row, "high")?,
        band: band.map(|word| read_word("band", word)).transpose()?,
        definitions: optional(row, "definitions")?,
        counts: plain(row, "counts")?,
    });
    Ok(RegisterEntry { number: unsigned(NUMBER, plain(row, "number")?)?, event })
}

fn decided(row: &Row) -> Result<RegisterEntry, StoreError> {
    let event = RegisterEvent::Decided(AdmissionDecision {
        upstream: id(row, "upstream")?,
        decided: from_word(row, "decided")?,
        by: plain(row, "decided_by")?,
        reason: plain(row, "reason")?,
        owner: optional(row, "owner")?,
        until: optional_time(row, "until")?,
        at: time(row, "at")?,
        definitions: plain(row, "definitions")?,
    });
    Ok(RegisterEntry { number: unsigned(NUMBER, plain(row, "number")?)?, event })
}

/// Both tables' rows that `tail` picks, each at most as many as it says. Both must be read in one snapshot,
/// or an entry between two others could be missed.
async fn both(c: &mut PgConnection, tail: &str, params: &[Value]) -> Result<Vec<RegisterEntry>, Failure> {
    let mut found = all(c, &format!("SELECT {ASSESSED} FROM assessments {tail}"), params.to_vec(), assessed).await?;
    found.extend(all(c, &format!("SELECT * FROM admissions {tail}"), params.to_vec(), decided).await?);
    Ok(found)
}

/// The number of a new entry. Runs inside the caller's transaction; the counter's row, locked until the
/// commit, is what makes numbers follow the order of commits.
async fn next(c: &mut PgConnection) -> Result<i64, Failure> {
    let sql = "UPDATE counters SET value = value + 1 WHERE name = 'register_number' RETURNING value";
    rows::number(c, sql, params![]).await
}

async fn add_assessed(c: &mut PgConnection, assessed: &Assessed, document: &str) -> Result<u64, Failure> {
    let number = next(c).await?;
    let band = assessed.band.map(|band| word("band", &band)).transpose()?;
    let sql = "INSERT INTO assessments (number, upstream, assessed_at, recorded_at, origin, target, target_differs,
                   total, low, high, band, definitions, counts, document)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let values = params![
        number,
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
    ];
    change(c, sql, values).await?;
    Ok(unsigned(NUMBER, number)?)
}

async fn add_decided(c: &mut PgConnection, decision: &AdmissionDecision) -> Result<u64, Failure> {
    let number = next(c).await?;
    let sql = "INSERT INTO admissions (number, upstream, decided, decided_by, reason, owner, until, at, definitions)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let values = params![
        number,
        decision.upstream.as_str(),
        word("decision", &decision.decided)?,
        decision.by,
        decision.reason,
        decision.owner,
        decision.until.map(millis),
        millis(decision.at),
        decision.definitions,
    ];
    change(c, sql, values).await?;
    Ok(unsigned(NUMBER, number)?)
}

async fn standing(c: &mut PgConnection, upstream: &str) -> Result<Standing, Failure> {
    let newest = |which: &str| format!("WHERE upstream = $1 {which} ORDER BY number DESC LIMIT 1");
    let last = format!("SELECT assessed_at FROM assessments {}", newest(""));
    let counting = format!("SELECT {ASSESSED} FROM assessments {}", newest("AND counts"));
    let decision = format!("SELECT * FROM admissions {}", newest(""));
    let mut standing = Standing {
        last_assessed_at: one(c, &last, params![upstream], |row| time(row, "assessed_at")).await?,
        ..Standing::default()
    };
    let assessed = one(c, &counting, params![upstream], assessed).await?;
    let decided = one(c, &decision, params![upstream], decided).await?;
    for entry in assessed.into_iter().chain(decided) {
        match entry.event {
            RegisterEvent::Assessed(assessed) => standing.assessed = Some(assessed),
            RegisterEvent::Decided(decided) => standing.decided = Some(decided),
        }
    }
    Ok(standing)
}

impl PostgresStore {
    async fn counter(&self, name: &'static str) -> Result<u64, StoreError> {
        let sql = "SELECT value FROM counters WHERE name = $1";
        let value = self.one(sql, params![name], |row| plain(row, "value")).await?;
        unsigned(NUMBER, value.ok_or(StoreError::Missing("counter"))?)
    }
}

#[async_trait]
impl Assessments for PostgresStore {
    async fn record_assessment(&self, assessed: &Assessed, document: &str) -> Result<u64, StoreError> {
        let given = (assessed.clone(), document.to_owned());
        self.write(given, |c, (assessed, document)| Box::pin(add_assessed(c, assessed, document))).await
    }

    async fn decide_admission(&self, decision: &AdmissionDecision) -> Result<u64, StoreError> {
        self.write(decision.clone(), |c, decision| Box::pin(add_decided(c, decision))).await
    }

    async fn standing(&self, upstream: &UpstreamName) -> Result<Standing, StoreError> {
        self.look(upstream.clone(), |c, upstream| Box::pin(standing(c, upstream.as_str()))).await
    }

    async fn history(&self, upstream: &UpstreamName, limit: usize) -> Result<Vec<RegisterEntry>, StoreError> {
        let given = params![upstream.as_str(), signed(limit)];
        let tail = "WHERE upstream = $1 ORDER BY number DESC LIMIT $2";
        let mut found = self.look(given, move |c, given| Box::pin(both(c, tail, given))).await?;
        found.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        found.truncate(limit);
        Ok(found)
    }

    async fn assessment_document(&self, number: u64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT document FROM assessments WHERE number = $1";
        self.one(sql, params![signed(number)], |row| plain(row, "document")).await
    }

    async fn register_number(&self) -> Result<u64, StoreError> {
        self.counter("register_number").await
    }

    async fn register_after(&self, number: u64, limit: usize) -> Result<Vec<RegisterEntry>, StoreError> {
        let given = params![signed(number), signed(limit)];
        let tail = "WHERE number > $1 ORDER BY number LIMIT $2";
        let mut found = self.look(given, move |c, given| Box::pin(both(c, tail, given))).await?;
        found.sort_by_key(|entry| entry.number);
        found.truncate(limit);
        Ok(found)
    }

    async fn register_logged(&self) -> Result<u64, StoreError> {
        self.counter("register_logged").await
    }

    async fn note_register_logged(&self, number: u64) -> Result<(), StoreError> {
        let sql = "UPDATE counters SET value = greatest(value, $1) WHERE name = 'register_logged'";
        self.execute(sql, params![signed(number)]).await.map(|_| ())
    }
}
