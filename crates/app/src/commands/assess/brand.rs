//! Whose names and colours a report carries: a small TOML file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sallyport_report::{Brand, Logo, Party};
use serde::Deserialize;

use super::fault;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    vendor: Entry,
    customer: Option<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    /// `#rrggbb`.
    colour: Option<String>,
    /// Below the folder of the file.
    logo: Option<PathBuf>,
}

/// Reads the file; without one, this program's own name.
///
/// # Errors
/// What is wrong with which file.
pub fn read(path: Option<&Path>) -> Result<Brand> {
    let Some(path) = path else { return Ok(Brand::default()) };
    let text = std::fs::read_to_string(path).map_err(|error| fault(path, &error.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|error| fault(path, &error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let customer = file.customer.map(|entry| party(entry, path, folder)).transpose()?;
    Ok(Brand { vendor: party(file.vendor, path, folder)?, customer })
}

fn party(entry: Entry, path: &Path, folder: &Path) -> Result<Party> {
    let colour = match &entry.colour {
        Some(colour) => colour.parse().map_err(|error| fault(path, &format!("`colour`: {error}")))?,
        None => Brand::default().vendor.colour,
    };
    let mut party = Party::new(entry.name, colour);
    if let Some(logo) = entry.logo {
        let logo = folder.join(logo);
        let bytes = std::fs::read(&logo).map_err(|error| fault(&logo, &error.to_string()))?;
        party.logo = Some(Logo::new(bytes).map_err(|error| fault(&logo, &error.to_string()))?);
    }
    Ok(party)
}
