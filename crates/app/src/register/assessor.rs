//! Scheduled assessments by the assessor: of each upstream's own address, with the gate's own credential there.
//!
//! It knows no person to sign in, no hook and no tool that may act, so that what needs one stays open.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result};
use async_trait::async_trait;
use sallyport_assess::{Access, Bench, Target, assess};
use sallyport_model::{Clock, Rng, UpstreamName, assessment::Assessment};
use sallyport_proxy::{
    Offered,
    upstream::{Transport, UpstreamCredential, UpstreamSpec},
};

use super::reassess::Reassess;

/// Assesses the deployment's upstreams.
pub struct Assessor {
    upstreams: HashMap<UpstreamName, Arc<UpstreamSpec>>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Assessor {
    /// Of these upstreams.
    pub fn new(offered: &[Offered], clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        let upstreams = offered.iter().map(|offered| (offered.name().clone(), Arc::clone(&offered.spec)));
        Self { upstreams: upstreams.collect(), clock, rng }
    }
}

#[async_trait]
impl Reassess for Assessor {
    async fn assess(&self, upstream: &UpstreamName) -> Result<Assessment> {
        let spec = self.upstreams.get(upstream).context("there is no such upstream")?;
        let target = match &spec.transport {
            Transport::Http { url, .. } => Target::Http(url.clone()),
            Transport::Stdio { spec, .. } => Target::Stdio(spec.clone()),
        };
        let mut access = Access { in_use: true, ..Access::default() };
        if let UpstreamCredential::Bearer(token) = &spec.credential {
            access.token = Some(token.clone());
        }
        let bench = Bench::new(target, access, Arc::clone(&self.clock), Arc::clone(&self.rng))?;
        Ok(assess(&bench).await)
    }
}
