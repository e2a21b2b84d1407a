//! Two tenants in one deployment, and every public endpoint with the other one's ids: what one tenant holds opens,
//! shows and changes nothing of the other.
//!
//! The list of endpoints is read out of the source, so that a new one without a row here fails the test. The rows of
//! the administration API are its own.

mod provider;
mod routes;
mod tenants;
mod walk;

use std::collections::BTreeSet;

use routes::{ROWS, Row};
use tenants::World;

#[test]
fn every_public_route_has_a_row_and_every_row_a_route() {
    let found = routes::found();
    let known: BTreeSet<String> = ROWS.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(known.len(), ROWS.len(), "a row stands twice");
    let missing: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "routes without a row in {}: {missing:#?}\nrows without a route: {gone:#?}",
        "crates/app/src/tour/tests/routes.rs"
    );
    for (route, row) in ROWS {
        assert!(!matches!(row, Row::Open(why) if why.len() < 20), "{route}: say why nothing is walked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_lets_one_tenant_at_another() {
    let mut world = World::new().await;
    let before = world.rows_of_b().await;
    let walked = walk::all(&mut world).await;
    let after = world.rows_of_b().await;
    let pairs = before.iter().zip(&after).filter(|(before, after)| before != after);
    let changed: Vec<String> = pairs.map(|(before, after)| format!("{before:.600}\n  became {after:.600}")).collect();
    assert!(changed.is_empty() && before.len() == after.len(), "of the other tenant changed: {changed:#?}");
    world.b_still_works().await;
    let wanted: BTreeSet<&str> =
        ROWS.iter().filter(|(_, row)| matches!(row, Row::Walked)).map(|(route, _)| *route).collect();
    assert_eq!(walked, wanted, "what the walk went to, and what the rows say");
    world.stop().await;
}
