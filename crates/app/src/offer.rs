//! What agents may be let at: the gate's resources with their scopes, from a running gate or from what it has pinned.

use anyhow::Result;
use sallyport_identity::agents::{Offer, OfferedResource, OfferedScope};
use sallyport_mcp::{catalogue::Definition, methods::ListKind};
use sallyport_model::{Scope, TenantId, UpstreamName};
use sallyport_proxy::{Gate, Group, Tenants, scopes};
use sallyport_storage::{DefinitionKind, Store};

use crate::config::Config;

/// No definition that is pinned nests deeper.
const DEPTH: usize = 128;

/// A running gate.
pub struct GateOffer(pub Gate);

impl Offer for GateOffer {
    fn resources(&self) -> Vec<OfferedResource> {
        let resource = |served: &std::sync::Arc<sallyport_proxy::Served>| {
            let live = served.live();
            let tools = live.tools().map(|tool| OfferedScope {
                scope: tool.needed.narrowest.clone(),
                title: tool.title.clone().unwrap_or_else(|| tool.name.clone()),
                group: Some(tool.needed.group.clone()),
            });
            OfferedResource {
                uri: served.resource().to_owned(),
                upstream: served.name().clone(),
                tenants: match &served.offered().tenants {
                    Tenants::All => None,
                    Tenants::These(tenants) => Some(tenants.iter().cloned().collect()),
                },
                scopes: groups(served.name()).into_iter().chain(tools).collect(),
            }
        };
        self.0.all_served().map(resource).collect()
    }
}

/// The upstreams of a configuration, with the tools that the gate has pinned. One that it never read has its groups
/// alone.
///
/// # Errors
/// When the store fails.
pub async fn of_store(config: &Config, store: &dyn Store) -> Result<Vec<OfferedResource>> {
    let mut all = Vec::new();
    for upstream in &config.upstreams {
        let name = &upstream.name;
        let pinned = store.pinned(name).await?;
        let tools = pinned.iter().filter(|pin| pin.kind == DefinitionKind::Tool).filter_map(|pin| tool(name, &pin.raw));
        let tenants = upstream
            .tenants
            .as_ref()
            .map(|tenants| tenants.iter().filter_map(|tenant| TenantId::new(tenant.clone()).ok()).collect::<Vec<_>>());
        all.push(OfferedResource {
            uri: format!("{}/mcp/{name}", config.server.origin()),
            upstream: name.clone(),
            tenants,
            scopes: groups(name).into_iter().chain(tools).collect(),
        });
    }
    Ok(all)
}

fn groups(upstream: &UpstreamName) -> Vec<OfferedScope> {
    let group = |group, title: &str| OfferedScope {
        scope: scopes::group(upstream, group),
        title: title.to_owned(),
        group: None,
    };
    vec![
        group(Group::Read, "Everything that changes nothing"),
        group(Group::Write, "Everything that may change something"),
    ]
}

fn tool(upstream: &UpstreamName, raw: &str) -> Option<OfferedScope> {
    let raw = sallyport_mcp::json::parse(raw.as_bytes(), DEPTH).ok()?;
    let definition = Definition::read(ListKind::Tools, raw).ok()?;
    let group: Scope =
        scopes::group(upstream, if definition.annotations.read_only { Group::Read } else { Group::Write });
    Some(OfferedScope {
        scope: scopes::tool(upstream, &definition.key),
        title: definition.title.clone().unwrap_or_else(|| definition.key.clone()),
        group: Some(group),
    })
}
