//! `sallyport register`: which upstreams were assessed, how they stand, and who decided what about them.
//!
//! It works on the store alone, beside a running gate, which learns of a change within a second and puts it into
//! the audit log with who and why.

mod change;
mod stand;

use anyhow::Result;
use sallyport_storage::{AssessmentOrigin, RegisterEntry, RegisterEvent};
use serde_json::{Value, json};

use crate::{End, cli::Register as Command, register::moments};
use stand::{Register, Row, shown};

/// Runs it.
pub async fn run(command: Command) -> Result<End> {
    match command {
        Command::List { configured, json } => list(&Register::open(&configured).await?, json).await,
        Command::Show { configured, name, limit, json } => {
            show(&Register::open(&configured).await?, &name, usize::from(limit), json).await
        }
        Command::Due { configured, json } => due(&Register::open(&configured).await?, json).await,
        Command::Record { configured, name, result, target_differs } => {
            change::record(&Register::open(&configured).await?, &name, &result, target_differs).await
        }
        Command::Accept { configured, name, decided, until } => {
            change::accept(&Register::open(&configured).await?, &name, decided, &until).await
        }
        Command::Hold { configured, name, decided } => {
            change::hold(&Register::open(&configured).await?, &name, decided).await
        }
        Command::Admit { configured, name, decided } => {
            change::admit(&Register::open(&configured).await?, &name, decided).await
        }
    }
}

async fn list(register: &Register, json: bool) -> Result<End> {
    let rows = register.rows().await?;
    if json {
        println!("{:#}", Value::Array(rows.iter().map(Row::json).collect()));
        return Ok(End::Done);
    }
    let cells = rows.iter().map(Row::cells).collect::<Vec<_>>();
    print!("{}", table(&["upstream", "served", "score", "assessed", "until", "owner"], &cells));
    if register.minimum().is_none() {
        anstream::eprintln!("no score is demanded: admission.minimum_score is not set");
    }
    Ok(End::Done)
}

async fn due(register: &Register, json: bool) -> Result<End> {
    let rows = register.rows().await?;
    let due: Vec<(&Row, Vec<String>)> =
        rows.iter().map(|row| (row, register.due(row))).filter(|(_, why)| !why.is_empty()).collect();
    if json {
        let due = due.iter().map(|(row, why)| json!({ "upstream": row.name, "owner": row.owner, "why": why }));
        println!("{:#}", Value::Array(due.collect()));
    } else {
        for (row, why) in &due {
            let owner = row.owner.as_deref().map(|owner| format!(" ({})", shown(owner))).unwrap_or_default();
            println!("{}{owner}: {}", row.name, why.join("; "));
        }
        if due.is_empty() {
            anstream::eprintln!("nothing is due");
        }
    }
    Ok(if due.is_empty() { End::Done } else { End::No })
}

async fn show(register: &Register, name: &str, limit: usize, json: bool) -> Result<End> {
    let upstream = register.upstream(name)?;
    let row = register.row(upstream).await?;
    let history = register.store().history(&upstream.name, limit).await?;
    if json {
        let mut value = row.json();
        value["history"] = history.iter().map(entry_json).collect();
        value["assessment"] = register.document(&row).await?;
        println!("{value:#}");
        return Ok(End::Done);
    }
    println!("{}: {}", row.name, row.served());
    row.lines(register.minimum()).iter().for_each(|line| println!("  {line}"));
    if !history.is_empty() {
        println!("history, newest first:");
    }
    history.iter().for_each(|entry| println!("  {}", entry_line(entry)));
    if history.len() == limit {
        anstream::eprintln!("there may be more: --limit shows up to 1000");
    }
    Ok(End::Done)
}

fn entry_json(entry: &RegisterEntry) -> Value {
    match &entry.event {
        RegisterEvent::Assessed(assessed) => {
            let mut value = stand::assessed_json(assessed);
            value["number"] = entry.number.into();
            value["event"] = "assessed".into();
            value
        }
        RegisterEvent::Decided(decision) => {
            let mut value = stand::decision_json(decision);
            value["number"] = entry.number.into();
            value["event"] = "decided".into();
            value
        }
    }
}

fn entry_line(entry: &RegisterEntry) -> String {
    match &entry.event {
        RegisterEvent::Assessed(assessed) => format!(
            "{:>4}  {}  assessed{}: {}{}{}",
            entry.number,
            moments::day_of(assessed.assessed_at),
            if assessed.origin == AssessmentOrigin::Scheduled { " by the gate" } else { "" },
            stand::score(assessed),
            if assessed.counts { "" } else { " (it saw less than the one before and does not count)" },
            assessed
                .target_differs
                .as_ref()
                .map(|why| format!(" of {}: {}", shown(&assessed.target), shown(why)))
                .unwrap_or_default(),
        ),
        RegisterEvent::Decided(decision) => {
            format!("{:>4}  {}  {}", entry.number, moments::day_of(decision.at), stand::decision_line(decision))
        }
    }
}

/// Columns as wide as their widest cell.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([heads[at].len()]).max().unwrap_or_default()
    };
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().enumerate().map(|(at, cell)| format!("{cell:<wide$}", wide = width(at))).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(heads.to_vec())).chain(body).collect()
}

#[cfg(test)]
mod tests;
