//! What every backend must do, whatever it is made of: one suite, run against each of them.

mod agents;
mod api_tokens;
mod authorizations;
mod delegations;
mod directory;
mod federation;
mod grants;
mod keys;
mod linked_accounts;
mod provisioning;
mod records;
mod register;
mod revocations;
mod samples;

use std::sync::Arc;

use crate::Store;

/// Runs the whole suite; `make` gives an empty store each time.
pub(crate) async fn run(make: impl AsyncFn() -> Arc<dyn Store>) {
    records::run(make().await).await;
    records::clients_end(make().await).await;
    directory::people(make().await).await;
    directory::passkeys(make().await).await;
    directory::locks(make().await).await;
    directory::concurrent_failures(make().await).await;
    authorizations::parking(make().await).await;
    authorizations::one_of_many_unparks(make().await).await;
    authorizations::codes(make().await).await;
    authorizations::code_of_a_grant_stored_late(make().await).await;
    authorizations::one_of_many_consumes(make().await).await;
    authorizations::purging(make().await).await;
    grants::lifecycle(make().await).await;
    grants::bound(make().await).await;
    grants::alike(make().await).await;
    grants::rotation(make().await).await;
    grants::reuse(make().await).await;
    grants::one_of_many_rotates(make().await).await;
    revocations::log(make().await).await;
    revocations::cover(make().await).await;
    revocations::stored_late(make().await).await;
    revocations::of_the_disabled(make().await).await;
    revocations::once(make().await).await;
    revocations::concurrent(make().await).await;
    agents::put(make().await).await;
    agents::credentials(make().await).await;
    agents::workloads(make().await).await;
    agents::uses(make().await).await;
    agents::removed(make().await).await;
    delegations::stored(make().await).await;
    delegations::covered(&make).await;
    delegations::ended(make().await).await;
    delegations::born_dead(make().await).await;
    delegations::raced(make().await).await;
    delegations::purged(make().await).await;
    keys::signing(make().await).await;
    keys::sealing(make().await).await;
    federation::tenants(make().await).await;
    federation::removed_tenant(make().await).await;
    federation::connections(make().await).await;
    federation::domains(make().await).await;
    federation::claims(make().await).await;
    federation::links(make().await).await;
    federation::used_once(make().await).await;
    federation::each_used_once(make().await).await;
    federation::provider_sessions(make().await).await;
    federation::streams(make().await).await;
    federation::notices(make().await).await;
    provisioning::clients(make().await).await;
    provisioning::users(make().await).await;
    provisioning::deactivation(make().await).await;
    provisioning::groups(make().await).await;
    provisioning::concurrent(make().await).await;
    api_tokens::lifecycle(make().await).await;
    api_tokens::exchanged(make().await).await;
    api_tokens::one_of_many_exchanges(make().await).await;
    linked_accounts::lifecycle(make().await).await;
    linked_accounts::ends_with_access(make().await).await;
    linked_accounts::one_of_many_refreshes(make().await).await;
    register::grows(make().await).await;
    register::logged(make().await).await;
    register::concurrent(make().await).await;
}
