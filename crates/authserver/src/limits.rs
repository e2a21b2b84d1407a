//! Limits per source address on what costs something before anybody has authenticated.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota};
use sallyport_oauth::ErrorCode;
use sallyport_web::Caller;

use crate::{Rates, error::Refusal};

/// Above this many addresses, those that are not near their limit are forgotten.
const MANY: usize = 10_000;

pub(crate) struct Limits {
    registrations: DefaultKeyedRateLimiter<String>,
    authorizations: DefaultKeyedRateLimiter<String>,
    recorded_refusals: DefaultKeyedRateLimiter<String>,
    recorded_refusals_of_all: DefaultDirectRateLimiter,
    document_fetches: DefaultKeyedRateLimiter<String>,
}

impl Limits {
    pub(crate) fn new(rates: &Rates) -> Self {
        let some = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self {
            registrations: DefaultKeyedRateLimiter::keyed(Quota::per_hour(some(rates.registrations_per_hour))),
            authorizations: DefaultKeyedRateLimiter::keyed(Quota::per_minute(some(rates.authorizations_per_minute))),
            recorded_refusals: DefaultKeyedRateLimiter::keyed(Quota::per_minute(some(
                rates.recorded_refusals_per_minute,
            ))),
            recorded_refusals_of_all: DefaultDirectRateLimiter::direct(Quota::per_minute(some(
                rates.recorded_refusals_per_minute.saturating_mul(10),
            ))),
            document_fetches: DefaultKeyedRateLimiter::keyed(Quota::per_minute(some(
                rates.document_fetches_per_minute,
            ))),
        }
    }

    pub(crate) fn registration(&self, caller: &Caller) -> Result<(), Refusal> {
        within(&self.registrations, caller)
    }

    pub(crate) fn authorization(&self, caller: &Caller) -> Result<(), Refusal> {
        within(&self.authorizations, caller)
    }

    pub(crate) fn document_fetch(&self, caller: &Caller) -> Result<(), Refusal> {
        within(&self.document_fetches, caller)
    }

    /// Whether a stranger's refusal is still recorded one by one: a flood must not fill the log.
    pub(crate) fn records_refusal(&self, caller: &Caller) -> bool {
        within(&self.recorded_refusals, caller).is_ok() && self.recorded_refusals_of_all.check().is_ok()
    }
}

fn within(limiter: &DefaultKeyedRateLimiter<String>, caller: &Caller) -> Result<(), Refusal> {
    if limiter.len() > MANY {
        limiter.retain_recent();
    }
    limiter.check_key(&caller.address.limit_key()).map_err(|_| {
        Refusal::new(ErrorCode::TooManyRequests, "too many requests from this address: wait a minute", "limit_reached")
    })
}
