//! The files of the repository, as text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Paths relative to the root, with `/`, and what the files hold. Files that are not text are not here.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
    /// Files that exist and are not text: links may point at them.
    others: Vec<String>,
}

impl Tree {
    /// What git tracks or would track: a rule that new files escape until they are committed would be found out too
    /// late.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("git is needed to list the files of the tree")?;
        ensure!(listing.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listing.stderr));
        let mut tree = Self::default();
        for name in String::from_utf8(listing.stdout)?.split_terminator('\0') {
            let Ok(bytes) = std::fs::read(root.join(name)) else { continue }; // Deleted, and that is not committed yet.
            match String::from_utf8(bytes) {
                Ok(text) => drop(tree.files.insert(name.to_owned(), text)),
                Err(_) => tree.others.push(name.to_owned()),
            }
        }
        Ok(tree)
    }

    /// A made-up tree.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { files, others: Vec::new() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(crate) fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(move |(path, _)| Path::new(path).extension().is_some_and(|one| one == extension))
    }

    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether there is such a file, or a folder with files in it.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let known = || self.files.keys().chain(&self.others);
        path.is_empty() || known().any(|one| one == path || one.starts_with(&folder))
    }
}

/// The root of the repository: where the workspace's manifest is.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace").to_owned()
}
