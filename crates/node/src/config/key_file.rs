//! The file that holds a private key: two lines of text, readable by its owner alone.
//!
//! ```text
//! # Bezant private key. Its public key: 03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8
//! 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
//! ```
//!
//! The second line is the 32-byte seed (RFC 8032, section 5.1.5). The first names the public key, so that a person can
//! tell key files apart, and so that a damaged file is refused instead of turning its owner into somebody else.
//!
//! **The adversary** is another user of the machine: a key that others may read is refused, loudly, and before it is
//! used. The mode is asked of the opened file, not of its name, so that nobody can swap the file in between.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use bezant_types::{AccountId, SecretKey};
use zeroize::Zeroizing;

use super::error::Error;

const HEAD: &str = "# Bezant private key. Its public key: ";
/// Longer than any key file.
const MOST: u64 = 1024;

/// Makes a new key from the system's randomness.
///
/// # Errors
/// [`Error::NoRandomness`].
pub fn generate_key() -> Result<SecretKey, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|error| Error::NoRandomness(error.to_string()))?;
    Ok(SecretKey::from_seed(*seed))
}

/// Writes a key to a new file of mode 0600, durably. Never over another.
///
/// # Errors
/// [`Error::KeyExists`], [`Error::Disk`].
pub fn write_key(path: &Path, key: &SecretKey) -> Result<(), Error> {
    let failed = |source| Error::disk(path, "writing the key", source);
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::KeyExists { path: path.to_owned() });
        }
        opened => opened.map_err(failed)?,
    };
    let seed = Zeroizing::new(hex::encode(key.seed().as_slice()));
    let text = Zeroizing::new(format!("{HEAD}{}\n{}\n", key.account(), seed.as_str()));
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Reads a key that [`write_key`] wrote, unless others may read or change it.
///
/// # Errors
/// [`Error::Missing`], [`Error::KeyExposed`], [`Error::KeyDamaged`], [`Error::Disk`].
pub fn read_key(path: &Path) -> Result<SecretKey, Error> {
    let failed = |source| Error::disk(path, "reading the key", source);
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let remedy = "Restore the key from a copy, or make a new network with `init`";
            return Err(Error::Missing { path: path.to_owned(), remedy });
        }
        opened => opened.map_err(failed)?,
    };
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & !0o600 != 0 {
        return Err(Error::KeyExposed { path: path.display().to_string(), mode });
    }
    let mut text = Zeroizing::new(String::with_capacity(MOST as usize));
    file.take(MOST).read_to_string(&mut text).map_err(failed)?;
    parse(&text).map_err(|what| Error::KeyDamaged { path: path.to_owned(), what })
}

fn parse(text: &str) -> Result<SecretKey, String> {
    let mut lines = text.lines();
    let named = lines.next().and_then(|line| line.strip_prefix(HEAD)).ok_or("this is not a Bezant key file")?;
    let named: AccountId = named.trim().parse().map_err(|error| format!("the public key in line 1: {error}"))?;
    let mut seed = Zeroizing::new([0; 32]);
    let digits = lines.next().unwrap_or_default().trim();
    // The error of the hex decoder would repeat a part of the secret.
    hex::decode_to_slice(digits, seed.as_mut_slice())
        .map_err(|_| format!("line 2 must have 64 hexadecimal digits, and has {} characters", digits.len()))?;
    if lines.any(|line| !line.trim().is_empty()) {
        return Err("there is something after line 2".into());
    }
    let key = SecretKey::from_seed(*seed);
    if key.account() != named {
        return Err(format!("line 1 names the public key {named}, but line 2 belongs to {}", key.account()));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn written() -> (TempDir, PathBuf, SecretKey) {
        let directory = tempfile::tempdir().unwrap();
        let (path, key) = (directory.path().join("key"), generate_key().unwrap());
        write_key(&path, &key).unwrap();
        (directory, path, key)
    }

    #[test]
    fn what_was_written_is_read_and_belongs_to_its_owner_alone() {
        let (_directory, path, key) = written();
        assert_eq!(read_key(&path).unwrap().account(), key.account());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let first = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert!(first.ends_with(&key.account().to_string()), "{first}");
    }

    #[test]
    fn two_keys_are_never_the_same() {
        assert_ne!(generate_key().unwrap().account(), generate_key().unwrap().account());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let (_directory, path, _) = written();
        for mode in [0o640, 0o604, 0o644, 0o660, 0o700, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let words = read_key(&path).unwrap_err().to_string();
            assert!(words.contains(&format!("chmod 600 {}", path.display())), "{mode:o}: {words}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read_key(&path).is_ok(), "narrower than 0600 is fine");
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let (_directory, path, key) = written();
        assert!(matches!(write_key(&path, &generate_key().unwrap()), Err(Error::KeyExists { .. })));
        assert_eq!(read_key(&path).unwrap().account(), key.account());
    }

    #[test]
    fn a_damaged_key_is_refused_and_its_seed_is_not_repeated() {
        let (_directory, path, key) = written();
        let good = fs::read_to_string(&path).unwrap();
        let other = generate_key().unwrap().account().to_string();
        let seed = hex::encode(key.seed().as_slice());
        let cases = [
            (String::new(), "not a Bezant key file"),
            (good.replace(HEAD, "# "), "not a Bezant key file"),
            (good.replace(&key.account().to_string(), &other), "but line 2 belongs to"),
            (good.replace(&key.account().to_string(), "abc"), "the public key in line 1"),
            (good[..good.len() - 10].to_owned(), "must have 64 hexadecimal digits, and has 55"),
            (format!("{good}more\n"), "something after line 2"),
        ];
        for (text, expected) in cases {
            fs::write(&path, text).unwrap();
            let words = read_key(&path).unwrap_err().to_string();
            assert!(words.contains(expected), "{words}");
            assert!(!words.contains(&seed[..16]), "the secret is in the message");
        }
    }

    #[test]
    fn a_missing_key_is_named() {
        let words = read_key(Path::new("/nowhere/key")).unwrap_err().to_string();
        assert!(words.starts_with("/nowhere/key: there is no such file"), "{words}");
    }
}
