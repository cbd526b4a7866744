//! `bezant sim cost`: what adversaries cost.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::ensure;
use bezant_sim::cost::{Cost, Foe, Setting, measure};
use bezant_sim::scenario::Span;
use serde::Serialize;

use super::told;
use crate::print::StyleArguments;

/// What each adversary costs a group and its clients: answers, the longest wait, what the honest machines send
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant sim cost                              everybody that `bezant sim list` names, and twins
  bezant sim cost slow censoring --seeds 10    these two, in ten worlds each

Each is compared with the same worlds without it. A corrupted member is the one that can do most, and the group does what
gives it the opportunity. The exit status is 0 only if nothing happened that must not.")]
pub(super) struct Costs {
    /// Whom to let loose, each alone [default: everybody]
    #[arg(value_name = "ADVERSARY")]
    adversaries: Vec<String>,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How many worlds for each
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    seeds: u64,
    /// How long each world lasts, in virtual time
    #[arg(long = "for", value_name = "TIME", default_value = "30s")]
    duration: Span,
    #[command(flatten)]
    style: StyleArguments,
}

/// What one adversary costs.
#[derive(Serialize)]
struct Row {
    adversary: &'static str,
    /// What must hold, held.
    passed: bool,
    failure: Option<String>,
    answered: u64,
    /// What was answered in the same worlds without it.
    answered_without: u64,
    /// Of what was answered without it, in percent.
    kept_percent: u64,
    longest_wait_ms: u64,
    /// What an honest machine sent, in the mean, in KiB.
    sent_kib_per_second: u64,
    highest_view: u64,
    worlds: u64,
    worlds_with_accusations: u64,
}

impl Costs {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        ensure!(self.seeds > 0, "there is nothing to measure in no world: --seeds is at least 1");
        ensure!(self.duration >= Span::millis(1_000), "a world lasts at least 1s");
        let named: Result<Vec<_>, _> = self.adversaries.iter().map(|name| Foe::named(name)).collect();
        let mut foes = named.map_err(anyhow::Error::msg)?;
        if foes.is_empty() {
            foes = Foe::all();
        }
        let cost = |setting, foe| measure(setting, foe, self.seed..self.seed.saturating_add(self.seeds), self.duration);
        let settings: BTreeSet<_> = foes.iter().map(|foe| Setting::of(*foe)).collect();
        let without: BTreeMap<_, _> = settings.into_iter().map(|setting| (setting, cost(setting, None))).collect();
        let honest = without.iter().map(|(setting, cost)| self.row(setting.description(), cost, cost));
        let mut rows: Vec<_> = honest.collect();
        for foe in foes {
            let setting = Setting::of(foe);
            rows.push(self.row(foe.name(), &cost(setting, Some(foe)), &without[&setting]));
        }
        self.style.style().print(&rows, |rows| table(rows))?;
        Ok(if rows.iter().all(|row| row.passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn row(&self, adversary: &'static str, cost: &Cost, without: &Cost) -> Row {
        Row {
            adversary,
            passed: cost.failures.is_empty(),
            failure: cost.failures.first().map(|(seed, failure)| format!("seed {seed}: {}", told(failure))),
            answered: cost.answered,
            answered_without: without.answered,
            kept_percent: (cost.answered * 100).checked_div(without.answered).unwrap_or_default(),
            longest_wait_ms: cost.longest_wait_us / 1_000,
            sent_kib_per_second: cost.sent_per_second / 1_024,
            highest_view: cost.view,
            worlds: self.seeds,
            worlds_with_accusations: cost.accusing,
        }
    }
}

fn table(rows: &[Row]) -> String {
    let heads = ["adversary", "verdict", "answered", "kept", "longest wait", "sent", "view", "accused in"];
    let mut lines = vec![heads.map(String::from)];
    for row in rows {
        lines.push([
            row.adversary.to_owned(),
            if row.passed { "holds" } else { "FAILS" }.to_owned(),
            row.answered.to_string(),
            format!("{} %", row.kept_percent),
            format!("{} ms", row.longest_wait_ms),
            format!("{} KiB/s", row.sent_kib_per_second),
            row.highest_view.to_string(),
            format!("{} of {}", row.worlds_with_accusations, row.worlds),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    for row in rows {
        text += &row.failure.as_ref().map(|failure| format!("{}: {failure}\n", row.adversary)).unwrap_or_default();
    }
    text
}
