//! What the register's commands take, what they refuse and with which remedy, and that a running gate learns of it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use sallyport_model::{Timestamp, UpstreamName, assessment::Assessment};
use sallyport_storage::{Admission, Assessments as _, Catalogue as _, Definition, DefinitionKind, SqliteStore};

use super::{change, stand::Register};
use crate::{End, cli::Decided, config::Config, register::testing::document};

/// 2026-09-21T14:13:20Z
const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
const URL: &str = "https://up.example/mcp";

struct Bench {
    dir: tempfile::TempDir,
    store: Arc<SqliteStore>,
    now: Timestamp,
    section: &'static str,
}

fn name() -> UpstreamName {
    "up".parse().unwrap()
}

fn decided(by: &str, reason: &str) -> Decided {
    Decided { by: by.into(), reason: reason.into(), owner: None }
}

impl Bench {
    async fn new(section: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private/store.db");
        let store = Arc::new(SqliteStore::open(path, zeroize::Zeroizing::new([7; 32])).unwrap());
        let bench = Self { dir, store, now: NOW, section };
        bench.pin("echo", NOW.minus(Duration::from_secs(3600))).await;
        bench
    }

    async fn pin(&self, tool: &str, at: Timestamp) {
        let (name_, raw) = (tool.to_owned(), "{}".to_owned());
        let pin = Definition {
            kind: DefinitionKind::Tool,
            name: name_,
            sha256: [1; 32],
            raw,
            first_seen_at: at,
            pinned_at: at,
        };
        self.store.pin(&name(), DefinitionKind::Tool, &[pin]).await.unwrap();
    }

    fn config(&self) -> Config {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:8080\"\npublic_url = \"https://gate.example\"\n[data]\ndirectory = \"/tmp/x\"\n\
             [[tenants]]\nid = \"acme\"\nname = \"Acme\"\n[[upstreams]]\nname = \"up\"\nurl = \"{URL}\"\nowner = \"platform\"\n\
             [admission]\n{}\n",
            self.section
        );
        Config::parse(&text, std::path::Path::new("sallyport.toml"), &[]).unwrap()
    }

    fn register(&self) -> Register {
        Register::of(self.config(), self.store.clone(), self.now)
    }

    fn file(&self, document: &Assessment) -> PathBuf {
        let path = self.dir.path().join("result.json");
        std::fs::write(&path, serde_json::to_string(document).unwrap()).unwrap();
        path
    }

    async fn record(&self, document: &Assessment) -> anyhow::Result<End> {
        change::record(&self.register(), "up", &self.file(document), None).await
    }

    async fn served(&self) -> String {
        let register = self.register();
        register.row(register.upstream("up").unwrap()).await.unwrap().served()
    }

    async fn due(&self) -> Vec<String> {
        let register = self.register();
        let row = register.row(register.upstream("up").unwrap()).await.unwrap();
        register.due(&row)
    }

    async fn entries(&self) -> usize {
        self.store.history(&name(), 100).await.unwrap().len()
    }
}

fn assessed(points: u8, at: Timestamp) -> Assessment {
    document(URL, [[points, points]; 10], at)
}

fn refused(done: anyhow::Result<End>, remedy: &str) {
    let error = done.unwrap_err();
    assert!(error.is::<crate::config::ConfigError>(), "exit code 2: {error:#}");
    assert!(error.to_string().contains(remedy), "{error:#}");
}

#[tokio::test]
async fn a_result_decides_by_its_score() {
    let bench = Bench::new("minimum_score = 12").await;
    assert_eq!(bench.served().await, "no, upstream_not_assessed");
    bench.record(&assessed(1, NOW)).await.unwrap();
    assert_eq!(bench.served().await, "no, upstream_below_minimum");
    bench.record(&assessed(2, NOW)).await.unwrap();
    assert_eq!(bench.served().await, "yes");
    let mut open = [[2, 2]; 10];
    open[0] = [0, 2];
    bench.record(&document(URL, open, NOW)).await.unwrap();
    assert_eq!(bench.served().await, "yes", "its low end is enough");
    assert_eq!(bench.entries().await, 3, "the history keeps all of them");
    bench.pin("another", NOW).await;
    assert_eq!(bench.served().await, "no, upstream_drifted");
    let nothing = Bench::new("").await;
    assert_eq!(nothing.served().await, "yes", "nothing is demanded");
}

#[tokio::test]
async fn a_result_of_another_server_needs_a_reason() {
    let bench = Bench::new("minimum_score = 12").await;
    let other = document("https://staging.example/mcp", [[2, 2]; 10], NOW);
    refused(bench.record(&other).await, "--target-differs");
    let file = bench.file(&other);
    for empty in ["", "  ", "a\nb"] {
        let done = change::record(&bench.register(), "up", &file, Some(empty.to_owned())).await;
        refused(done, "--target-differs");
    }
    assert_eq!(bench.entries().await, 0);
    change::record(&bench.register(), "up", &file, Some("the same build".to_owned())).await.unwrap();
    let kept = bench.store.standing(&name()).await.unwrap().assessed.unwrap();
    assert_eq!(
        (kept.target.as_str(), kept.target_differs.as_deref()),
        ("https://staging.example/mcp", Some("the same build"))
    );
    bench.record(&document("https://gate.example/mcp/up", [[2, 2]; 10], NOW)).await.unwrap();
    let kept = bench.store.standing(&name()).await.unwrap().assessed.unwrap();
    assert_eq!(kept.target_differs, None, "the gate's own endpoint for it is the upstream");
}

#[tokio::test]
async fn a_result_that_is_none_or_old_or_of_the_future_is_refused() {
    let bench = Bench::new("minimum_score = 12").await;
    let path = bench.dir.path().join("x.json");
    let try_text = async |text: &str| {
        std::fs::write(&path, text).unwrap();
        change::record(&bench.register(), "up", &path, None).await
    };
    refused(try_text("").await, "sallyport assess --json");
    refused(try_text("[]").await, "sallyport assess --json");
    refused(try_text("{\"total\": 20}").await, "sallyport assess --json");
    refused(change::record(&bench.register(), "up", &bench.dir.path().join("none"), None).await, "none");
    refused(change::record(&bench.register(), "nobody", &path, None).await, "the configuration names: up");
    let mut lie = assessed(0, NOW);
    lie.total = Some(20);
    refused(bench.record(&lie).await, "sum");
    refused(bench.record(&assessed(2, NOW.plus(Duration::from_secs(301)))).await, "clocks");
    bench.record(&assessed(1, NOW)).await.unwrap();
    refused(bench.record(&assessed(2, NOW.minus(Duration::from_secs(1)))).await, "newer");
    assert_eq!(bench.entries().await, 1);
}

#[tokio::test]
async fn an_assessment_from_before_the_gate_knew_the_catalogue_covers_nothing() {
    let bench = Bench::new("minimum_score = 12").await;
    bench.pin("later", NOW.plus(Duration::from_secs(1))).await;
    bench.record(&assessed(2, NOW)).await.unwrap();
    assert_eq!(bench.served().await, "no, upstream_drifted");
}

#[tokio::test]
async fn an_acceptance_is_for_what_is_there_until_the_end_of_its_day() {
    let mut bench = Bench::new("minimum_score = 12").await;
    let accept = async |bench: &Bench, until: &str| {
        change::accept(&bench.register(), "up", decided("ann", "a pilot with two people"), until).await
    };
    refused(accept(&bench, "2026-09-20").await, "name today or a later day");
    for wrong in ["", "tomorrow", "2026-02-30", "2026-9-21", "21.09.2026", "2026-09-21T00:00:00Z"] {
        refused(accept(&bench, wrong).await, "YYYY-MM-DD");
    }
    assert_eq!(bench.entries().await, 0);
    accept(&bench, "2026-09-21").await.unwrap();
    assert_eq!(bench.served().await, "yes, accepted");
    bench.now = Timestamp::from_secs(1_790_035_199);
    assert_eq!(bench.served().await, "yes, accepted", "23:59:59");
    bench.now = Timestamp::from_secs(1_790_035_200);
    assert_eq!(bench.served().await, "no, upstream_not_assessed", "midnight");
    accept(&bench, "2027-01-31").await.unwrap();
    bench.pin("another", bench.now).await;
    assert_eq!(bench.served().await, "no, upstream_drifted", "nobody accepted that");
}

#[tokio::test]
async fn a_hold_stands_until_a_person_ends_it() {
    for section in ["minimum_score = 12", ""] {
        let bench = Bench::new(section).await;
        bench.record(&assessed(2, NOW)).await.unwrap();
        change::hold(&bench.register(), "up", decided("ann", "an incident")).await.unwrap();
        assert_eq!(bench.served().await, "no, upstream_held");
        bench.record(&assessed(2, NOW)).await.unwrap();
        assert_eq!(bench.served().await, "no, upstream_held", "no score ends it");
        change::admit(&bench.register(), "up", decided("bob", "it is over")).await.unwrap();
        assert_eq!(bench.served().await, "yes");
    }
}

#[tokio::test]
async fn a_decision_needs_a_known_upstream_a_person_and_a_reason() {
    let bench = Bench::new("minimum_score = 12").await;
    for (by, reason, option) in [
        ("", "because", "--by"),
        ("  ", "because", "--by"),
        ("ann\u{1b}[2J", "because", "--by"),
        ("ann", "", "--reason"),
        ("ann", "\t", "--reason"),
    ] {
        refused(change::hold(&bench.register(), "up", decided(by, reason)).await, option);
        refused(change::accept(&bench.register(), "up", decided(by, reason), "2027-01-31").await, option);
        refused(change::admit(&bench.register(), "up", decided(by, reason)).await, option);
    }
    refused(change::hold(&bench.register(), "up", decided(&"x".repeat(201), "because")).await, "200");
    let nobody = Decided { owner: Some(" ".into()), ..decided("ann", "because") };
    refused(change::hold(&bench.register(), "up", nobody).await, "--owner");
    refused(change::hold(&bench.register(), "down", decided("ann", "because")).await, "the configuration names: up");
    assert_eq!(bench.entries().await, 0);
}

#[tokio::test]
async fn an_owner_is_the_latest_who_was_named() {
    let bench = Bench::new("minimum_score = 12").await;
    let owner = async || bench.register().rows().await.unwrap().remove(0).owner;
    assert_eq!(owner().await.as_deref(), Some("platform"), "of the configuration");
    let named = Decided { owner: Some("cy".into()), ..decided("ann", "because") };
    change::accept(&bench.register(), "up", named, "2027-01-31").await.unwrap();
    assert_eq!(owner().await.as_deref(), Some("cy"));
    change::hold(&bench.register(), "up", decided("bob", "an incident")).await.unwrap();
    assert_eq!(owner().await.as_deref(), Some("cy"), "a later decision leaves it");
}

#[tokio::test]
async fn what_is_due_says_why() {
    let mut bench = Bench::new("minimum_score = 12\nreassess_every = \"7d\"").await;
    assert_eq!(bench.due().await, ["not served: it has not been assessed"]);
    bench.record(&assessed(2, NOW)).await.unwrap();
    assert!(bench.due().await.is_empty());
    change::accept(&bench.register(), "up", decided("ann", "because"), "2026-10-30").await.unwrap();
    assert!(bench.due().await.is_empty(), "that is far away");
    bench.now = NOW.plus(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(bench.due().await, ["last assessed on 2026-09-21, due every 7d"]);
    bench.now = NOW.plus(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(bench.due().await[1..], ["the acceptance ends on 2026-10-30"]);
    bench.now = NOW.plus(Duration::from_secs(50 * 24 * 3600));
    assert_eq!(bench.due().await[1..], ["the acceptance ended on 2026-10-30"]);
    let mut unscheduled = Bench::new("").await;
    assert_eq!(unscheduled.due().await, ["never assessed"]);
    unscheduled.record(&assessed(2, NOW)).await.unwrap();
    unscheduled.now = NOW.plus(Duration::from_secs(500 * 24 * 3600));
    assert!(unscheduled.due().await.is_empty(), "no period is set");
}

#[tokio::test]
async fn strings_of_others_do_not_write_on_the_terminal() {
    let bench = Bench::new("minimum_score = 12").await;
    let hostile = "https://up.example/\u{1b}[2J\u{202e}mcp";
    let file = bench.file(&document(hostile, [[2, 2]; 10], NOW));
    change::record(&bench.register(), "up", &file, Some("it is a test".to_owned())).await.unwrap();
    let register = bench.register();
    let row = register.row(register.upstream("up").unwrap()).await.unwrap();
    let history = bench.store.history(&name(), 10).await.unwrap();
    let lines = row.lines(Some(12)).into_iter().chain(history.iter().map(super::entry_line));
    for line in lines.chain(row.cells()) {
        assert!(!line.contains(['\u{1b}', '\u{202e}', '\n']), "{line:?}");
    }
    assert_eq!(super::entry_json(&history[0])["target"], hostile, "a program gets it as it is");
}

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["longer".to_owned(), "-".to_owned()]];
    assert_eq!(super::table(&["name", "x"], &rows), "name    x\na       b\nlonger  -\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gate_learns_of_a_decision_within_a_second_and_records_it() {
    use sallyport_ledger::{Keyring, LogReader};
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:8080\"\npublic_url = \"http://127.0.0.1:8080\"\n[data]\ndirectory = \"{}\"\n\
         [[tenants]]\nid = \"acme\"\nname = \"Acme\"\n[[upstreams]]\nname = \"up\"\nurl = \"http://127.0.0.1:9/mcp\"\n\
         [admission]\nminimum_score = 12\n",
        data.display()
    );
    let config = Config::parse(&text, std::path::Path::new("sallyport.toml"), &[]).unwrap();
    let settings = crate::commands::serve::settings(&config).unwrap();
    let master_key = crate::secrets::MasterKey::read(&config.data.master_key()).unwrap();
    let mut deployment = crate::deployment::Deployment::open(settings).await.unwrap();
    deployment.start().await.unwrap();

    let beside = crate::deployment::Vault::open(&config.data.database(), &master_key).await.unwrap();
    let register = Register::of(config.clone(), beside.store.clone(), deployment.clock.now());
    let began = std::time::Instant::now();
    change::hold(&register, "up", decided("ann", "an incident")).await.unwrap();
    let events = || {
        let log = &deployment.log;
        let reader = LogReader::open(log.dir(), log.verifier(), log.verifier().name()).unwrap();
        let keyring: &dyn Keyring = beside.keyring.as_ref();
        let opened = reader.entries(0).map(|entry| entry.unwrap().open(keyring).unwrap());
        opened.filter_map(|opened| opened.event(0).unwrap()).collect::<Vec<_>>()
    };
    let event = loop {
        let found =
            events().into_iter().find(|event| event.facts.get("action").is_some_and(|a| a == "admission_changed"));
        if let Some(event) = found {
            break event;
        }
        assert!(began.elapsed() < Duration::from_secs(3), "it is not recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert_eq!((&event.facts["by"], &event.facts["reason"]), (&"ann".into(), &"an incident".into()));
    assert_eq!((&event.facts["decision"], &event.facts["upstream"]), (&"held".into(), &"up".into()));
    let standing = beside.store.standing(&name()).await.unwrap();
    assert_eq!(standing.decided.unwrap().decided, Admission::Held);
    deployment.stop(std::future::ready(()), std::future::pending()).await.unwrap();
}
