//! `sallyport audit`: verify, export, tail. Reads the log's files; needs no running gate.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result};
use sallyport_export::{ExportEntry, write_jsonl, write_ocsf};
use sallyport_ledger::{LogReader, VerifierKey, VerifyOptions, verify, vkey_path};
use sallyport_model::hex;
use serde_json::json;

use crate::{
    End,
    cli::{Audit, Configured, Export, Format, Place, Tail, Verify},
    commands::config::load,
    config::State,
    deployment::{Vault, log_signer},
    kept,
    secrets::MasterKey,
};

/// Runs it.
pub async fn run(command: Audit) -> Result<End> {
    match command {
        Audit::Verify(command) => check(&command),
        Audit::Export(command) => export(&command).await,
        Audit::Tail(command) => tail(&command).await,
    }
}

fn data_of(place: &Place) -> Result<State> {
    match (&place.data, &place.config) {
        (Some(directory), _) => Ok(State::in_directory(directory.clone())),
        (None, Some(path)) => Ok(load(&Configured { config: path.clone() })?.data),
        (None, None) => anyhow::bail!("which deployment? Give --data DIR or --config FILE"),
    }
}

fn key(log: &std::path::Path, file: Option<&PathBuf>) -> Result<VerifierKey> {
    let path = file.cloned().unwrap_or_else(|| vkey_path(log));
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("the log's public key {} does not read", path.display()))?;
    Ok(VerifierKey::parse(&text)?)
}

/// What a log is verified with.
struct Means {
    log: PathBuf,
    key: VerifierKey,
    against: Option<Vec<u8>>,
    /// What the verification cannot tell, if anything.
    weakness: Option<&'static str>,
}

/// A deployment's log is held against its own master key and the checkpoint kept beside the log; a bare
/// directory against what the caller brings.
fn means(command: &Verify) -> Result<Means> {
    let given = command.against.as_ref().map(std::fs::read).transpose().context("the kept checkpoint does not read")?;
    if let Some(log) = &command.log {
        let key = key(log, command.vkey.as_ref())?;
        let weakness = command.vkey.is_none().then_some(
            "the key came from the log's own directory, which proves nothing about who wrote it; give --vkey",
        );
        return Ok(Means { log: log.clone(), key, against: given, weakness });
    }
    let state = data_of(&command.place)?;
    let log = state.audit_log();
    let key = key(&log, command.vkey.as_ref())?;
    let kept = kept::read(&log)?;
    let weakness = match master_key(&state) {
        Ok(master) => {
            let own = log_signer(&master, key.name())?;
            anyhow::ensure!(
                own.verifier() == &key,
                "the log in {} was not written by this deployment: its key is another",
                log.display()
            );
            None
        }
        Err(_) => Some("the master key does not read, so it is not known that this deployment wrote the log"),
    };
    Ok(Means { log, key, against: given.or(kept), weakness })
}

fn check(command: &Verify) -> Result<End> {
    let Means { log, key, against, weakness } = match means(command) {
        Ok(means) => means,
        Err(error) if error.to_string().contains("was not written by this deployment") => {
            println!("NOT verified: {error}");
            return Ok(End::No);
        }
        Err(error) => return Err(error),
    };
    let options = VerifyOptions { against, entry: command.entry };
    weakness.iter().for_each(|weakness| anstream::eprintln!("note: {weakness}"));
    match verify(&log, &key, key.name(), &options) {
        Ok(verified) => {
            let checkpoint = &verified.checkpoint;
            if command.json {
                let chains: Vec<_> =
                    verified.chains.iter().map(|(name, count, _)| json!({"chain": name, "entries": count})).collect();
                let proof = verified.entry.as_ref().map(|proof| {
                    let path: Vec<String> = proof.path.iter().map(|hash| hex(hash)).collect();
                    json!({"index": proof.index, "leaf_hash": hex(&proof.leaf_hash), "path": path})
                });
                println!(
                    "{}",
                    json!({"verified": true, "origin": checkpoint.origin, "size": checkpoint.size,
                           "continues": verified.continues, "chains": chains, "entry": proof})
                );
            } else {
                println!("verified: {} entries of {}, signed by {}", checkpoint.size, checkpoint.origin, key);
                if let Some(size) = verified.continues {
                    println!("it continues the kept checkpoint of {size} entries");
                }
                if let Some(proof) = &verified.entry {
                    println!("entry {} is in it, by a path of {} hashes", proof.index, proof.path.len());
                }
            }
            Ok(End::Done)
        }
        Err(error) => {
            if command.json {
                println!("{}", json!({"verified": false, "why": error.to_string()}));
            } else {
                println!("NOT verified: {error}");
            }
            Ok(End::No)
        }
    }
}

/// From the environment, else from the file; never made here.
fn master_key(state: &State) -> Result<MasterKey> {
    Ok(match std::env::var_os(crate::secrets::MASTER_KEY) {
        Some(_) => MasterKey::load(&state.master_key(), &sallyport_model::SystemRng)?,
        None => MasterKey::read(&state.master_key())?,
    })
}

async fn open(place: &Place) -> Result<(LogReader, Vault)> {
    let data = data_of(place)?;
    let log = data.audit_log();
    let key = key(&log, None)?;
    let reader = LogReader::open(&log, &key, key.name())?;
    Ok((reader, Vault::open(&data.database(), &master_key(&data)?).await?))
}

async fn export(command: &Export) -> Result<End> {
    let (reader, vault) = open(&command.place).await?;
    let mut out: Box<dyn Write> = match &command.out {
        Some(path) => Box::new(BufWriter::new(File::create(path).with_context(|| path.display().to_string())?)),
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let wanted = |entry: &ExportEntry| {
        command.tenant.as_ref().is_none_or(|tenant| entry.tenant.as_ref().is_some_and(|id| id.as_str() == tenant))
    };
    let entries = reader
        .entries(command.from)
        .map(|entry| entry.and_then(|entry| ExportEntry::open(&entry, vault.keyring.as_ref())))
        .filter(|entry| entry.as_ref().map_or(true, wanted));
    let exported = match command.format {
        Format::Jsonl => write_jsonl(entries, &mut out)?,
        Format::Ocsf => write_ocsf(entries, &mut out)?,
    };
    out.flush()?;
    anstream::eprintln!("exported {} events, {} erased", exported.events, exported.erased);
    Ok(End::Done)
}

async fn tail(command: &Tail) -> Result<End> {
    let (mut reader, vault) = open(&command.place).await?;
    let mut next = reader.size().saturating_sub(command.lines);
    loop {
        let entries =
            reader.entries(next).map(|entry| entry.and_then(|entry| ExportEntry::open(&entry, vault.keyring.as_ref())));
        let mut out = io::stdout();
        write_jsonl(entries, &mut out)?;
        next = reader.size();
        if !command.follow {
            return Ok(End::Done);
        }
        while reader.refresh()? <= next {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
