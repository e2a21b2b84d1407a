//! The probes with hooks, against servers that keep their word and servers that do not.

mod fixture;

use sallyport_model::assessment::CheckResult::{self, Fail, NotApplicable, NotAssessable, Pass};

use self::fixture::Server;
use crate::{bench::Bench, probes};

const END: &str = "url = \"URL/control?do=end&who=${SUBJECT}\"";
const BACK: &str = "url = \"URL/control?do=back\"";
const EXPORT: &str = "[audit_export]\nurl = \"URL/trail\"\nmethod = \"GET\"\n";

fn result(bench: &Bench, check: &str) -> CheckResult {
    bench.findings.all().remove(check).unwrap_or_else(|| panic!("{check} has no outcome")).result
}

fn observed(bench: &Bench, check: &str) -> String {
    bench.findings.all().remove(check).unwrap().observed
}

async fn deprovisioned(off: &[&'static str], hook: &str) -> Bench {
    let server = Server::start(off).await;
    let bench = server.bench(&format!("[deprovision]\n{hook}\n[reprovision]\n{BACK}\n"));
    probes::deprovision::run(&bench).await;
    bench
}

#[tokio::test]
async fn access_that_ends_with_the_account_is_measured() {
    let bench = deprovisioned(&[], END).await;
    assert_eq!(result(&bench, "deprovision-ends-access"), Pass);
    assert_eq!(result(&bench, "deprovision-prompt"), Pass);
    assert_eq!(result(&bench, "other-person-unharmed"), Pass);
    assert_eq!(result(&bench, "deprovision-refresh"), NotApplicable);
    assert!(
        observed(&bench, "deprovision-prompt").contains(" ms after the hook"),
        "{}",
        observed(&bench, "deprovision-prompt")
    );
    // The account was given back.
    let person = bench.seen.person.get().unwrap();
    assert!(matches!(
        super::caller::Caller::new(&bench, "deprovision-sign-in", person).ask().await,
        super::caller::Served::Yes(_)
    ));
}

#[tokio::test]
async fn a_hook_that_says_done_while_the_token_lives_is_a_failure() {
    let bench = deprovisioned(&["end"], END).await;
    assert_eq!(result(&bench, "deprovision-ends-access"), Fail);
    assert_eq!(result(&bench, "deprovision-prompt"), Fail);
    assert!(observed(&bench, "deprovision-ends-access").contains("still served"));
}

#[tokio::test]
async fn ending_everybody_harms_others_and_a_hook_that_fails_shows_nothing() {
    let bench = deprovisioned(&[], "url = \"URL/control?do=end-all\"").await;
    assert_eq!(result(&bench, "deprovision-ends-access"), Pass);
    assert_eq!(result(&bench, "other-person-unharmed"), Fail);
    let bench = deprovisioned(&[], "url = \"URL/control?do=fail\"").await;
    assert_eq!(result(&bench, "deprovision-ends-access"), NotAssessable);
    assert!(observed(&bench, "deprovision-ends-access").contains("HTTP 500"));
}

async fn deprovisioned_signed_in(off: &[&'static str], back: &str) -> Bench {
    let server = Server::start(off).await;
    let bench = server.bench_signed_in(&format!("[deprovision]\n{END}\n[reprovision]\n{back}\n")).await;
    probes::deprovision::run(&bench).await;
    bench
}

#[tokio::test]
async fn refreshing_and_signing_in_end_with_the_account() {
    let bench = deprovisioned_signed_in(&[], BACK).await;
    for check in ["deprovision-ends-access", "deprovision-refresh", "deprovision-sign-in", "other-person-unharmed"] {
        assert_eq!(result(&bench, check), Pass, "{check}: {}", observed(&bench, check));
    }
    assert!(observed(&bench, "deprovision-sign-in").contains("after `reprovision` it worked"));
    let bench = deprovisioned_signed_in(&["refresh"], BACK).await;
    assert_eq!((result(&bench, "deprovision-refresh"), result(&bench, "deprovision-sign-in")), (Fail, Pass));
    let bench = deprovisioned_signed_in(&["sign-in"], BACK).await;
    assert_eq!((result(&bench, "deprovision-refresh"), result(&bench, "deprovision-sign-in")), (Pass, Fail));
    let bench = deprovisioned_signed_in(&[], "url = \"URL/control?do=fail\"").await;
    assert!(observed(&bench, "deprovision-sign-in").contains("restore it by hand"));
    let bench = deprovisioned_signed_in(&[], "url = \"URL/control?do=nothing\"").await;
    assert_eq!(result(&bench, "deprovision-sign-in"), NotAssessable, "it may have been refused for another reason");
}

#[tokio::test]
async fn an_agent_is_revoked_apart_from_its_person() {
    let judged = |off: &'static [&'static str], revoke: &'static str| async move {
        let server = Server::start(off).await;
        let hooks =
            format!("[revoke_agent]\nurl = \"URL/control?do={revoke}&who=${{AGENT}}\"\n[restore_agent]\n{BACK}\n");
        let bench = server.bench_signed_in(&hooks).await;
        probes::agent_hooks::run(&bench).await;
        (result(&bench, "agent-revoked-apart"), observed(&bench, "agent-revoked-apart"))
    };
    let (held, why) = judged(&[], "end").await;
    assert!(held == Pass && !why.contains("by hand"), "{why}");
    let (held, why) = judged(&["end"], "end").await;
    assert!(held == Fail && why.contains("still served"), "{why}");
    let (held, why) = judged(&["agent"], "end").await;
    assert!(held == Fail && why.contains("new token"), "{why}");
    let (held, why) = judged(&[], "end-all").await;
    assert!(held == Fail && why.contains("and so was the person"), "{why}");
    assert_eq!(judged(&[], "fail").await.0, NotAssessable);
}

#[tokio::test]
async fn containment_that_leaves_the_refresh_token_is_none() {
    let server = Server::start(&["refresh"]).await;
    let bench = server.bench_signed_in(&format!("[contain]\n{END}\n")).await;
    probes::contain::run(&bench).await;
    assert_eq!(result(&bench, "contain-ends-access"), Fail);
    assert!(observed(&bench, "contain-ends-access").contains("refresh token gave"));
}

#[tokio::test]
async fn an_agents_calls_are_told_from_a_persons() {
    for (off, expected) in [(&[] as &[&'static str], Pass), (&["marks"], Fail)] {
        let bench = Server::start(off).await.bench_signed_in(EXPORT).await;
        probes::audit::run(&bench).await;
        let check = "audit-human-agent";
        assert_eq!(result(&bench, check), expected, "{}", observed(&bench, check));
        assert_eq!(result(&bench, "audit-complete"), Pass, "{}", observed(&bench, "audit-complete"));
    }
}

async fn contained(off: &[&'static str], undo: &str) -> Bench {
    let server = Server::start(off).await;
    let bench = server.bench(&format!("[contain]\n{END}\n{undo}"));
    probes::contain::run(&bench).await;
    bench
}

#[tokio::test]
async fn containment_ends_tokens_and_streams_of_one() {
    let bench = contained(&[], "").await;
    for check in ["contain-ends-access", "contain-prompt", "contain-streams", "contain-others"] {
        assert_eq!(result(&bench, check), Pass, "{check}: {}", observed(&bench, check));
    }
    let bench = contained(&["streams"], "").await;
    assert_eq!(result(&bench, "contain-streams"), Fail);
    assert_eq!(result(&bench, "contain-ends-access"), Pass);
    let bench = contained(&["end"], "").await;
    assert_eq!(result(&bench, "contain-ends-access"), Fail);
}

#[tokio::test]
async fn a_tool_that_is_taken_away_is_gone_at_the_next_call() {
    let hooks = "[restrict]\nurl = \"URL/control?do=restrict\"\n[unrestrict]\nurl = \"URL/control?do=unrestrict\"\n";
    let bench = Server::start(&[]).await.bench(hooks);
    probes::restriction::run(&bench).await;
    assert_eq!(result(&bench, "tenant-restriction"), Pass, "{}", observed(&bench, "tenant-restriction"));
    assert!(observed(&bench, "tenant-restriction").contains("no longer listed"));
    let bench = Server::start(&["restrict"]).await.bench(hooks);
    probes::restriction::run(&bench).await;
    assert_eq!(result(&bench, "tenant-restriction"), Fail);
    let alone = "[restrict]\nurl = \"URL/control?do=restrict\"\n[unrestrict]\nurl = \"URL/control?do=nothing\"\n";
    let bench = Server::start(&[]).await.bench(alone);
    probes::restriction::run(&bench).await;
    assert_eq!(result(&bench, "tenant-restriction"), NotAssessable, "it never came back");
}

async fn audited(off: &[&'static str]) -> Bench {
    let bench = Server::start(off).await.bench(EXPORT);
    probes::audit::run(&bench).await;
    bench
}

#[tokio::test]
async fn a_whole_trail_passes_and_each_defect_is_seen_where_it_is() {
    let all =
        ["audit-calls", "audit-complete", "audit-refusals", "audit-fields", "audit-human-agent", "audit-sanitised"];
    let (sound, lying, silent, leaky, blind) = tokio::join!(
        audited(&[]),
        audited(&["complete"]),
        audited(&["refusals"]),
        audited(&["sanitised"]),
        audited(&["marks"])
    );
    for (bench, wrong) in [
        (&sound, ""),
        (&lying, "audit-complete"),
        (&silent, "audit-refusals"),
        (&leaky, "audit-sanitised"),
        (&blind, "audit-human-agent"),
    ] {
        for check in all {
            let expected = if check == wrong { Fail } else { Pass };
            assert_eq!(result(bench, check), expected, "{wrong}: {check}: {}", observed(bench, check));
        }
    }
    assert_eq!(result(&sound, "audit-immutable"), NotAssessable, "no hook");
}

#[tokio::test]
async fn a_trail_is_immutable_when_a_changed_copy_is_refused() {
    let judged = |hooks: &'static str| async move {
        let bench = Server::start(&[]).await.bench(hooks);
        probes::audit::run(&bench).await;
        result(&bench, "audit-immutable")
    };
    let verify = "[audit_verify]\ncommand = [\"true\"]\n";
    assert_eq!(judged("[audit_verify]\ncommand = [\"true\"]\n").await, NotAssessable);
    assert_eq!(judged("[audit_verify]\ncommand = [\"false\"]\n").await, Fail);
    assert_eq!(judged("[audit_verify]\ncommand = [\"no-such-verifier\"]\n").await, NotAssessable);
    let copy =
        "[audit_tamper]\ncommand = [\"sh\", \"-c\", \"echo x > $SALLYPORT_OUT/copy\"]\n[audit_verify_copy]\ncommand = ";
    let sound = format!("{verify}{copy}[\"sh\", \"-c\", \"test ! -s $SALLYPORT_OUT/copy\"]\n").leak();
    assert_eq!(judged(sound).await, Pass);
    let credulous = format!("{verify}{copy}[\"true\"]\n").leak();
    assert_eq!(judged(credulous).await, Fail);
}

#[tokio::test]
async fn a_bundle_verifies_holds_the_call_and_shows_a_change() {
    let write = "[bundle]\ncommand = [\"sh\", \"-c\", \"cd $SALLYPORT_OUT && echo $SALLYPORT_SUBJECT called $SALLYPORT_TOOL > calls && sha256sum calls > sums\"]\n";
    let verify = "[bundle_verify]\ncommand = [\"sh\", \"-c\", \"cd $SALLYPORT_OUT && sha256sum -c sums\"]\n";
    let judged = |hooks: String| async move {
        let bench = Server::start(&[]).await.bench(&hooks);
        probes::bundle::run(&bench).await;
        (result(&bench, "evidence-bundle"), observed(&bench, "evidence-bundle"))
    };
    let (held, why) = judged(format!("{write}{verify}")).await;
    assert_eq!(held, Pass, "{why}");
    let (held, why) = judged(format!("{write}[bundle_verify]\ncommand = [\"true\"]\n")).await;
    assert!(held == Fail && why.contains("one byte"), "{why}");
    let (held, why) = judged(format!("{}{verify}", write.replace(" called $SALLYPORT_TOOL", ""))).await;
    assert!(held == Fail && why.contains("nowhere"), "{why}");
    assert_eq!(judged(write.to_owned()).await.0, NotAssessable);
    assert_eq!(judged(format!("[bundle]\ncommand = [\"true\"]\n{verify}")).await.0, Fail);
}

#[tokio::test]
async fn a_token_that_is_passed_on_is_seen() {
    let hooks = "[upstream_requests]\nurl = \"URL/upstream\"\nmethod = \"GET\"\n";
    let bench = Server::start(&[]).await.bench(hooks);
    probes::upstream::run(&bench).await;
    assert_eq!(result(&bench, "no-passthrough"), Pass, "{}", observed(&bench, "no-passthrough"));
    let bench = Server::start(&["own-token"]).await.bench(hooks);
    probes::upstream::run(&bench).await;
    assert_eq!(result(&bench, "no-passthrough"), Fail);
    let none = "[upstream_requests]\ncommand = [\"echo\", \"[]\"]\n";
    let bench = Server::start(&[]).await.bench(none);
    probes::upstream::run(&bench).await;
    assert_eq!(result(&bench, "no-passthrough"), NotAssessable);
}

#[tokio::test]
async fn a_run_of_a_hook_is_on_record_without_its_secrets() {
    let server = Server::start(&[]).await;
    let hooks = super::Hooks::parse(
        "[contain]\ncommand = [\"sh\", \"-c\", \"echo $ADMIN_TOKEN $SALLYPORT_SUBJECT\"]\nenv = [\"ADMIN_TOKEN\"]\n",
        "hooks.toml",
        &|_| Some("an-admin-token-of-some-length".to_owned()),
    );
    let mut bench = server.bench("");
    bench.access.hooks = hooks.unwrap();
    let out = tempfile::tempdir().unwrap();
    let told = super::run::Told::of(&bench, "", bench.clock.now());
    let hook =
        super::run::run(&bench, "contain-ends-access", super::HookName::Contain, &told, out.path()).await.unwrap();
    assert!(hook.passed);
    let record = bench.wire.exchanges().remove(0);
    assert_eq!((record.request.as_str(), record.status), ("hook contain", Some(0)));
    assert!(record.response_body.contains("alice") && !format!("{record:?}").contains("an-admin-token-of-some-length"));
}

#[tokio::test]
async fn without_hooks_everything_says_what_it_needs() {
    let bench = Server::start(&[]).await.bench("");
    probes::deprovision::run(&bench).await;
    probes::agent_hooks::run(&bench).await;
    probes::restriction::run(&bench).await;
    probes::audit::run(&bench).await;
    probes::contain::run(&bench).await;
    probes::bundle::run(&bench).await;
    probes::upstream::run(&bench).await;
    let all = bench.findings.all();
    assert_eq!(all.len(), 5 + 1 + 1 + 7 + 4 + 1 + 1);
    assert!(all.values().all(|finding| finding.result == NotAssessable && finding.observed.contains("--hooks FILE")));
}
