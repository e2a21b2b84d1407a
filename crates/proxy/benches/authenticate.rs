//! What authentication costs the gate: CPU time of one request with a bearer token that is known, with one that is
//! seen for the first time, and with DPoP, each as a ratio to the same call without authentication.
//!
//! `cargo bench -p sallyport-proxy --bench authenticate`. It prints and asserts nothing; what else the machine does
//! hardly matters, since the time is the gate's thread's own.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a measurement has no readers outside")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a panic is how a measurement fails; it prints")]

#[path = "../tests/gate/rig/mod.rs"]
mod rig;

use std::{fs, time::Duration};

use axum::body::Body;
use http::{Request, StatusCode};
use sallyport_mcp::Era;
use serde_json::json;

use rig::{
    Rig, claims,
    client::Client,
    holder::{Holder, Says},
    http_offer,
    upstream::Upstream,
};

/// Requests of each kind in one round; of all rounds the cheapest counts, which was disturbed least.
const REQUESTS: usize = 400;
const ROUNDS: usize = 5;
const CALL: &str = "tools/call";

/// How a request shows who sends it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Known,
    FirstSight,
    Dpop,
}

struct Bench {
    rig: Rig,
    holder: Holder,
    nonce: String,
    bearer: String,
    bound: String,
}

impl Bench {
    async fn new(url: &str) -> Self {
        let rig = Rig::new(vec![http_offer("up", url)]).await;
        let holder = Holder::new();
        let stranger = rig.send(Request::post("/mcp/up").body(Body::empty()).unwrap()).await;
        let mut claims = claims("ann", "up");
        claims.cnf = Some(holder.cnf());
        let (bearer, bound) = (rig.token("up"), rig.sign(&claims));
        Self { nonce: holder.hear(&stranger), bearer, bound, holder, rig }
    }

    fn request(&self, way: Way) -> Request<Body> {
        let token = match way {
            Way::Known => self.bearer.clone(),
            Way::FirstSight => self.rig.token("up"),
            Way::Dpop => self.bound.clone(),
        };
        let client = Client::unconnected(&self.rig, "up", "2026-07-28", token.clone());
        let body = client.message(Some(1), CALL, json!({"name": "echo", "arguments": {"a": 1}}));
        let mut request = client.post_request(&body);
        request.headers_mut().insert("host", rig::HOST.parse().unwrap());
        if way == Way::Dpop {
            let url = "https://gate.example/mcp/up";
            let says = Says { method: "POST", url, token: Some(&token), nonce: Some(&self.nonce), at: rig::NOW };
            let headers = request.headers_mut();
            headers.insert("authorization", format!("DPoP {token}").parse().unwrap());
            headers.insert("dpop", self.holder.prove(&says).parse().unwrap());
        }
        request
    }

    /// Microseconds of CPU of one request that goes no further than its sender is known, or not even so far.
    async fn stages(&self, way: Option<Way>) -> f64 {
        let requests: Vec<_> = (0..REQUESTS).map(|_| self.request(way.unwrap_or(Way::Known))).collect();
        let began = cpu();
        for request in requests {
            assert!(self.rig.gate.walk_some_stages("up", request, way.is_some()).await, "{way:?}");
        }
        micros(began)
    }

    /// The same of one whole call.
    async fn calls(&self, way: Way) -> f64 {
        let requests: Vec<_> = (0..REQUESTS).map(|_| self.request(way)).collect();
        let began = cpu();
        for request in requests {
            let reply = self.rig.send(request).await;
            assert_eq!(reply.status, StatusCode::OK, "{way:?}");
            reply.bytes().await;
        }
        micros(began)
    }
}

/// Nanoseconds that this thread has been on a processor.
fn cpu() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells what a thread has used");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("its first number are nanoseconds")
}

#[expect(clippy::cast_precision_loss, reason = "nobody reads the tenth digit")]
fn micros(began: u64) -> f64 {
    Duration::from_nanos(cpu() - began).as_nanos() as f64 / 1_000.0 / REQUESTS as f64
}

fn main() {
    // The upstream has a thread of its own, so that its work is not counted.
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            told.send(Upstream::start(Era::Modern).await.1).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let url = heard.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&url));
}

async fn measure(url: &str) {
    const WAYS: [(Way, &str); 3] =
        [(Way::Known, "bearer, cached"), (Way::FirstSight, "bearer, first sight"), (Way::Dpop, "DPoP, token cached")];
    let bench = Bench::new(url).await;
    bench.calls(Way::Known).await;
    let mut received = f64::INFINITY;
    let mut costs = [(f64::INFINITY, f64::INFINITY); WAYS.len()];
    for _ in 0..ROUNDS {
        received = received.min(bench.stages(None).await);
        for ((way, _), (stage, call)) in WAYS.iter().zip(&mut costs) {
            *stage = stage.min(bench.stages(Some(*way)).await);
            *call = call.min(bench.calls(*way).await);
        }
    }
    let without = costs[0].1 - (costs[0].0 - received);
    println!("CPU of the gate's thread, µs a request, the cheapest of {ROUNDS} rounds of {REQUESTS}");
    println!("{:<24}{:>12}{:>12}{:>9}", "", "the stage", "the call", "ratio");
    println!("{:<24}{:>12}{without:>12.1}{:>9.2}", "no authentication", "-", 1.0);
    for ((_, name), (stage, call)) in WAYS.iter().zip(costs) {
        println!("{name:<24}{:>12.1}{call:>12.1}{:>9.2}", stage - received, call / without);
    }
}
