//! Measures appending: `append DIR [TASKS] [EVENTS_PER_TASK]` records events of about 700 bytes from
//! parallel tasks into a new log in DIR, verifies it and prints the rate.

use std::{path::Path, sync::Arc, time::Instant};

use sallyport_ledger::{Log, LogConfig, LogRecorder, LogSigner, MemoryKeyring, VerifyOptions, verify};
use sallyport_model::{
    Actor, AuditEvent, CallId, EventId, EventKind, Recorder, Rng, SystemRng, TenantId, Timestamp, UserId,
    event::{CallFacts, DecisionFacts, Outcome, OutcomeStatus, Source, Who},
};

const ORIGIN: &str = "example.com/audit/node-1";

fn event(task: usize, n: usize, rng: &dyn Rng) -> Result<AuditEvent, Box<dyn std::error::Error>> {
    let now = Timestamp::from_millis(1_800_000_000_000 + n as u64);
    let mut event = AuditEvent::new(EventKind::CallClosed, EventId::mint(now, rng), now);
    event.tenant = Some(TenantId::new(format!("tenant-{}", task % 8))?);
    event.who = Some(Who {
        subject: Actor::Human(UserId::new(format!("user-{task}"))?),
        on_behalf_of: Vec::new(),
        client: None,
        session: None,
        grant: None,
        token: None,
    });
    event.call = Some(CallFacts {
        id: CallId::mint(rng),
        upstream: "files".parse()?,
        method: "tools/call".into(),
        name: Some("read_file".into()),
        protocol_version: Some("2025-11-25".into()),
        arguments: Some(serde_json::json!({"path": "/reports/2026/q3/summary-of-everything.txt"})),
        arguments_sha256: Some("5f".repeat(32)),
        definition_sha256: Some("a0".repeat(32)),
        request_bytes: 312,
        traceparent: None,
    });
    event.decision = Some(DecisionFacts { allowed: true, code: "granted".into(), needed: None });
    event.outcome =
        Some(Outcome { status: OutcomeStatus::Succeeded, code: None, latency_us: 1234, response_bytes: 4096 });
    event.source = Some(Source { address: "192.0.2.7".into(), user_agent: Some("example/1.0".into()) });
    Ok(event)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let dir = Path::new(args.get(1).ok_or("usage: append DIR [TASKS] [EVENTS_PER_TASK]")?);
    let tasks: usize = args.get(2).map_or(Ok(64), |n| n.parse())?;
    let each: usize = args.get(3).map_or(Ok(1000), |n| n.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let signer = LogSigner::from_seed(ORIGIN, &[42; 32])?;
    let key = signer.verifier().clone();
    let (log, _) = Log::open(LogConfig::new(dir, signer))?;
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let keyring = Arc::new(MemoryKeyring::new(rng.clone()));
    let recorder = Arc::new(LogRecorder::new(log.clone(), keyring, rng));
    let begin = Instant::now();
    let run = |task: usize| {
        let recorder = recorder.clone();
        async move {
            let mut slowest = 0;
            for n in 0..each {
                let event = event(task, n, &SystemRng).map_err(|error| error.to_string())?;
                let begin = Instant::now();
                recorder.record(event).await.map_err(|error| error.to_string())?;
                slowest = slowest.max(begin.elapsed().as_micros());
            }
            Ok::<_, String>(slowest)
        }
    };
    let slowest = runtime.block_on(async {
        let handles: Vec<_> = (0..tasks).map(|task| tokio::spawn(run(task))).collect();
        let mut slowest = 0;
        for handle in handles {
            slowest = slowest.max(handle.await??);
        }
        Ok::<_, Box<dyn std::error::Error>>(slowest)
    })?;
    let took = begin.elapsed();
    log.close()?;
    let total = tasks * each;
    let rate = total as f64 / took.as_secs_f64();
    println!("{total} events from {tasks} tasks in {took:.2?}: {rate:.0}/s, slowest {slowest} µs");
    let begin = Instant::now();
    let verified = verify(dir, &key, ORIGIN, &VerifyOptions::default())?;
    println!("verified {} entries in {:.2?}", verified.checkpoint.size, begin.elapsed());
    Ok(())
}
