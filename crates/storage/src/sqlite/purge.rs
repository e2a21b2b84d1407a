//! Deletion of what can no longer matter. Never deletes a consumed code while its grant could
//! still be alive, for then a replay would go unseen.

use std::time::Duration;

use rusqlite::{Connection, params};
use sallyport_model::Timestamp;

use super::rows::{change, millis};
use crate::StoreError;

/// What ended stays this long, so that its holder hears "expired" and not "unknown".
const AFTER_THE_END: Duration = Duration::from_secs(24 * 3600);

/// A consumed code whose grant is not stored stays this long: longer than any grant lives.
const WITHOUT_A_GRANT: Duration = Duration::from_secs(400 * 24 * 3600);

/// The writer serves everybody: a call deletes at most so many rows of a table.
const ROWS: i64 = 5_000;

/// Table, and which of its rows may go: `?1` is now, `?2` a day ago, `?3` long ago. Refresh tokens
/// go before their grants, which no longer take them along then, so that the count is true.
const ENDED: &[(&str, &str)] = &[
    ("parked", "expires_at <= ?1"),
    ("sign_in_failures", "forget_at < ?1"),
    ("sign_in_locks", "locked_until <= ?1"),
    ("used", "forget_at <= ?1"),
    ("browser_sessions", "expires_at <= ?2"),
    ("codes", "consumed_at IS NULL AND expires_at <= ?2"),
    (
        "codes",
        "expires_at <= ?2 AND consumed_at IS NOT NULL
         AND EXISTS (SELECT 1 FROM grants g WHERE g.id = codes.grant_id AND g.expires_at <= ?2)",
    ),
    (
        "codes",
        "expires_at <= ?3 AND consumed_at <= ?3
         AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.id = codes.grant_id)",
    ),
    ("refresh_tokens", "EXISTS (SELECT 1 FROM grants g WHERE g.id = refresh_tokens.grant_id AND g.expires_at <= ?2)"),
    (
        "grants",
        "expires_at <= ?2 AND NOT EXISTS (SELECT 1 FROM codes c WHERE c.grant_id = grants.id)
         AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = grants.id)",
    ),
    (
        "linked_accounts",
        "EXISTS (SELECT 1 FROM revocations r WHERE r.at >= linked_accounts.linked_at
                 AND (r.kind = 'user' AND r.id = linked_accounts.user_id
                      OR r.kind = 'tenant' AND r.id = linked_accounts.tenant))",
    ),
    (
        "clients",
        "source = 'dynamic' AND created_at <= ?2
         AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.client = clients.id)
         AND NOT EXISTS (SELECT 1 FROM consents c WHERE c.client = clients.id)",
    ),
];

pub(super) fn purge(c: &Connection, now: Timestamp) -> Result<u64, StoreError> {
    let times = [now, now.minus(AFTER_THE_END), now.minus(WITHOUT_A_GRANT)].map(millis);
    let mut gone = 0;
    for (table, ended) in ENDED {
        let sql = format!(
            "DELETE FROM {table} WHERE rowid IN
             (SELECT rowid FROM {table} WHERE {ended} LIMIT ?4)"
        );
        gone += change(c, &sql, params![times[0], times[1], times[2], ROWS])? as u64;
    }
    Ok(gone)
}
