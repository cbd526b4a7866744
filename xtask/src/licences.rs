//! Licences and sources of every dependency, held against `deny.toml`.
//!
//! The same file is understood by cargo-deny, which also knows advisories. What is needed at every commit is done here,
//! from `cargo metadata`: it costs a second, and nothing has to be installed. Looked at are the packages that are built
//! on this platform, normal, build and development dependencies alike.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::spdx;
use crate::tree::root;

/// What `deny.toml` allows.
#[derive(Debug)]
struct Policy {
    licences: Vec<String>,
    registries: Vec<String>,
    banned: Vec<String>,
}

/// The sparse and the git form of the one public registry are one source; cargo names it by the second.
const PUBLIC_REGISTRY: &str = "https://github.com/rust-lang/crates.io-index";

pub(crate) fn run() -> Result<()> {
    let root = root();
    let text = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml cannot be read")?;
    let policy = Policy::parse(&text)?;
    let metadata = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &host()?])
        .current_dir(&root)
        .output()
        .context("cargo metadata cannot be run")?;
    ensure!(metadata.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
    let (checked, complaints) = policy.judge(&metadata)?;
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if complaints.is_empty() {
        println!("licences: {checked} packages, all allowed by deny.toml");
        return Ok(());
    }
    bail!("{} of {checked} packages are not allowed by deny.toml", complaints.len())
}

fn host() -> Result<String> {
    let version = Command::new("rustc").arg("-vV").output().context("rustc cannot be run")?;
    let version = String::from_utf8(version.stdout)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

impl Policy {
    fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse().context("deny.toml is not TOML")?;
        let list = |section: &str, key: &str| -> Result<Vec<String>> {
            let values = table.get(section).and_then(|section| section.get(key)).and_then(toml::Value::as_array);
            let values = values.with_context(|| format!("deny.toml has no list `{key}` in [{section}]"))?;
            let name = |value: &toml::Value| {
                let named = value.as_str().or_else(|| value.get("crate")?.as_str());
                named.map(str::to_owned).with_context(|| format!("{section}.{key} holds something without a name"))
            };
            values.iter().map(name).collect()
        };
        Ok(Self {
            licences: list("licenses", "allow")?,
            registries: list("sources", "allow-registry")?,
            banned: list("bans", "deny")?,
        })
    }

    /// How many packages were looked at, and what is wrong with them.
    fn judge(&self, metadata: &Value) -> Result<(usize, Vec<String>)> {
        let used: Vec<&str> = metadata["resolve"]["nodes"]
            .as_array()
            .context("cargo metadata names no dependencies")?
            .iter()
            .filter_map(|node| node["id"].as_str())
            .collect();
        let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
        let used = |package: &&Value| package["id"].as_str().is_some_and(|id| used.contains(&id));
        let packages: Vec<&Value> = packages.iter().filter(used).collect();
        let complaints = packages.iter().filter_map(|package| self.complaint(package)).collect();
        Ok((packages.len(), complaints))
    }

    fn complaint(&self, package: &Value) -> Option<String> {
        let name = package["name"].as_str().unwrap_or("?");
        let version = package["version"].as_str().unwrap_or("?");
        let what = self.what_is_wrong(name, package)?;
        Some(format!("{name} {version}: {what}"))
    }

    fn what_is_wrong(&self, name: &str, package: &Value) -> Option<String> {
        if self.banned.iter().any(|one| one == name) {
            return Some("deny.toml bans it: see the reason there, and use something else".to_owned());
        }
        // Without a source it lies in this repository.
        if let Some(source) = package["source"].as_str() {
            let registry = source.strip_prefix("registry+").or_else(|| source.strip_prefix("sparse+"));
            if !registry.is_some_and(|registry| self.registries.iter().any(|one| one == registry)) {
                return Some(format!("it comes from {source}: take a release from {PUBLIC_REGISTRY}"));
            }
        }
        match package["license"].as_str() {
            None => Some("it names no licence: use something else".to_owned()),
            Some(expression) => match spdx::permits(expression, &self.licences) {
                Ok(true) => None,
                Ok(false) => Some(format!("its licence is `{expression}`: use something else, or decide in deny.toml")),
                Err(error) => Some(format!("its licence is `{expression}`: {error}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy() -> Policy {
        let text = format!(
            "[licenses]\nallow = [\"MIT\"]\n[sources]\nallow-registry = [\"{PUBLIC_REGISTRY}\"]\n\
             [bans]\ndeny = [\"one\", {{ crate = \"two\", reason = \"r\" }}]\n"
        );
        Policy::parse(&text).unwrap()
    }

    fn package(name: &str, license: Option<&str>, source: Option<&str>) -> Value {
        json!({ "id": name, "name": name, "version": "1.0.0", "license": license, "source": source })
    }

    fn complaints(packages: &[Value]) -> Vec<String> {
        let nodes: Vec<_> = packages.iter().map(|one| json!({ "id": one["id"] })).collect();
        policy().judge(&json!({ "packages": packages, "resolve": { "nodes": nodes } })).unwrap().1
    }

    #[test]
    fn a_dependency_needs_an_allowed_licence_and_the_public_registry() {
        let registry = format!("registry+{PUBLIC_REGISTRY}");
        assert_eq!(
            complaints(&[package("a", Some("MIT"), Some(&registry)), package("ours", Some("MIT"), None)]),
            [""; 0]
        );
        let bad = [
            package("a", Some("GPL-3.0"), Some(&registry)),
            package("b", None, Some(&registry)),
            package("c", Some("MIT"), Some("git+https://example.org/c")),
            package("two", Some("MIT"), Some(&registry)),
        ];
        let found = complaints(&bad);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].starts_with("a 1.0.0: its licence is `GPL-3.0`"));
        assert!(found[1].contains("names no licence"));
        assert!(found[2].contains("git+https://example.org/c"));
        assert!(found[3].contains("bans it"));
    }

    #[test]
    fn what_is_not_built_here_is_not_judged() {
        let metadata = json!({ "packages": [package("elsewhere", None, None)], "resolve": { "nodes": [] } });
        assert_eq!(policy().judge(&metadata).unwrap(), (0, vec![]));
    }

    #[test]
    fn the_projects_own_policy_can_be_read() {
        let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
        let policy = Policy::parse(&text).unwrap();
        assert_eq!(policy.registries, [PUBLIC_REGISTRY]);
        assert!(policy.licences.iter().any(|one| one == "MIT"));
    }
}
