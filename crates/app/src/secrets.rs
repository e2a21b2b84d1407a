//! The master key, and the keys that are derived from it.
//!
//! One secret has to be kept: the master key, from the environment or a file of mode 0600. What the
//! deployment signs and seals with is derived from it (HKDF-SHA-256), each for one purpose.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::hkdf;
use sallyport_model::{Rng, Secret, hex};
use zeroize::Zeroizing;

/// The variable that holds the master key.
pub const MASTER_KEY: &str = "SALLYPORT_MASTER_KEY";

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or made.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a key.
    #[error("{0} does not hold a master key: it must be 64 hexadecimal digits (`openssl rand -hex 32` makes one)")]
    NotAKey(String),
    /// Others can read it.
    #[error("{0} can be read by others; remedy: chmod 600 {0}")]
    Exposed(PathBuf),
}

/// A secret of 256 random bits, as 64 hexadecimal digits.
pub fn random(rng: &dyn Rng) -> Secret {
    let mut bytes = Zeroizing::new([0u8; 32]);
    rng.fill(bytes.as_mut());
    Secret::new(hex(bytes.as_ref()))
}

/// The master key.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// From the environment, else from the file, which is made if it is not there.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn load(path: &Path, rng: &dyn Rng) -> Result<Self, SecretError> {
        if let Ok(text) = std::env::var(MASTER_KEY) {
            return Self::parse(&Zeroizing::new(text))
                .ok_or_else(|| SecretError::NotAKey(format!("the variable {MASTER_KEY}")));
        }
        match Self::read(path) {
            Err(SecretError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Self::make(path, rng)?;
                Self::read(path)
            }
            other => other,
        }
    }

    /// From the file alone, which must be there.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::File { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(SecretError::Exposed(path.to_owned()));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
        Self::parse(&text).ok_or_else(|| SecretError::NotAKey(path.display().to_string()))
    }

    fn make(path: &Path, rng: &dyn Rng) -> Result<(), SecretError> {
        let failed = |source| SecretError::File { path: path.to_owned(), source };
        let text = random(rng);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(text.expose().as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .map_err(failed)
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits {
            return None;
        }
        let mut bytes = Zeroizing::new([0u8; 32]);
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The key itself, for the store.
    pub fn expose(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// A key for one purpose.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0u8; 32]);
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sallyport").extract(self.0.as_ref());
        let info = [purpose.as_bytes()];
        let okm = prk.expand(&info, hkdf::HKDF_SHA256).expect("32 bytes are within HKDF's limit");
        okm.fill(out.as_mut()).expect("the length is the hash's");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_model::SystemRng;

    #[test]
    fn a_key_is_made_once_and_read_again_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let first = MasterKey::load(&path, &SystemRng).unwrap();
        let second = MasterKey::load(&path, &SystemRng).unwrap();
        assert_eq!(*first.expose(), *second.expose());
        assert_ne!(*first.derive("a"), *first.derive("b"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(MasterKey::read(&path), Err(SecretError::Exposed(_))));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "0", &"0".repeat(63), &"g".repeat(64), &"0".repeat(65)] {
            assert!(MasterKey::parse(text).is_none(), "{text}");
        }
    }
}
