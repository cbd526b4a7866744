//! The words of a scenario file: what `bezant sim list` shows, each with an example that is read as it stands.

/// Something that can be written in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// An example.
    pub example: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn phrase(example: &'static str, meaning: &'static str) -> Phrase {
    Phrase { example, meaning }
}

/// Lines about the world. Those that are left out have the simulator's usual value.
pub const LINES: [Phrase; 14] = [
    phrase("# Why this matters. Rule V-2.", "a comment; `# Hazards: 29, 30` names the hazards that it plays"),
    phrase("seed 7", "where all that is left open comes from: delays, losses, what clients ask [0]"),
    phrase("replicas 7", "how many replicas [4]"),
    phrase("clients 3", "how many honest clients [1]"),
    phrase("pause 400ms", "clients keep asking, and rest so long in the mean; without it they ask when a step says so"),
    phrase("values 4000", "how many bytes what they write has at least"),
    phrase("traitor 2 silent", "this replica is corrupted, by this adversary"),
    phrase("twin 0", "this replica has a second machine with the same key, whose number comes after all others"),
    phrase("corrupted-client lying", "a corrupted client"),
    phrase("rest 9s", "how long the corrupted rest after each second in which they act of their own"),
    phrase("parameter window 8", "a parameter of the genesis"),
    phrase(
        "network 200us 800us loss 10 duplicates 10 bandwidth 4194304",
        "the least and the usual delay; how many of a thousand are lost, come twice; bytes a second of each line",
    ),
    phrase("round 3 parts 1 from 0 2 3", "what goes wrong in a protocol round (see `--byzzfuzz --print`)"),
    phrase("run 20s", "how long the world lasts [10s]; times are 250us, 10ms, 3s, 2m"),
];

/// What can happen, after `at TIME`.
pub const STEPS: [Phrase; 20] = [
    phrase(
        "ask 0 set k v",
        "client 0 asks: set K V, get K, add K N, append K V, delete K, transfer CLIENT N, balance CLIENT",
    ),
    phrase("cut 0 1 from 2 3", "nothing passes between these and those; clients reach those"),
    phrase("cut 1 from 0 2 3 4", "a twin is named by its machine's number, 4 where there are four replicas"),
    phrase(
        "lose prepare commit from 0 to 1 2",
        "messages of these kinds, senders and receivers are lost; what is left out is all",
    ),
    phrase("delay pre-prepare from 0 by 300ms", "such messages come later"),
    phrase("heal", "cuts, losses and delays end"),
    phrase("crash 1 loses", "its process ends, and its disk loses, keeps or tears what was not synced"),
    phrase("crash-at-write 1 2 tears", "its machine stops in the middle of its next disk operation but two"),
    phrase(
        "crash-after-sync 1 500",
        "its process ends after its next sync, when so many of a thousand messages have left",
    ),
    phrase("power-failure loses", "all machines stop at once"),
    phrase("restart 1", "it starts again from its disk"),
    phrase("recover 1", "it starts again without its log, and says so (`--recover`)"),
    phrase("replace-disk 1", "its disk is replaced by an empty one, and it recovers"),
    phrase("fill-disk 1 4096", "its disk takes so many bytes more"),
    phrase("fail-sync 1 0", "its next sync but so many fails"),
    phrase("slow-sync 1 20ms", "its syncs take so long from now on"),
    phrase("slow-execution 1 20ms", "its execution of a block takes so long from now on"),
    phrase("jump 1 -5000", "its wall clock jumps so many milliseconds"),
    phrase("drift 1 200", "its clocks run so many millionths too fast"),
    phrase(
        "stabilise",
        "the network keeps its bound from now on, whoever is down starts, and nothing goes wrong any more",
    ),
];

/// What its author expects, after `expect`, beside what the oracles say.
pub const EXPECTATIONS: [Phrase; 12] = [
    phrase("answered", "everything that honest clients asked was answered"),
    phrase("served-within 1s", "and nothing later than this"),
    phrase("view 0", "all honest replicas end in this view"),
    phrase("later-than 0", "all honest replicas end in a later one"),
    phrase("height 40", "all honest replicas have executed so far"),
    phrase("accused 2", "an honest replica holds evidence against it"),
    phrase("nobody-accused", "no honest replica holds evidence"),
    phrase("halted 3", "this replica stops, and says why"),
    phrase("sent-at-most 10000000", "so many bytes is the most that an honest machine gave to its line, in the mean"),
    phrase("seen r2 says new-view v2 * of 0 2 3", "a line of the trace has these words in a row; `*` is any one word"),
    phrase("unseen r1 says commit", "no line has them"),
    phrase("violated agreement", "this oracle complains: more lie than may, or a defence is off"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::{FIRST_LINE, Scenario};

    /// The line of each, as it stands in a file.
    fn lines() -> Vec<String> {
        let lines = LINES.iter().map(|one| one.example.to_owned());
        let steps = STEPS.iter().map(|one| format!("at 1s {}", one.example));
        let expectations = EXPECTATIONS.iter().map(|one| format!("expect {}", one.example));
        lines.chain(steps).chain(expectations).collect()
    }

    #[test]
    fn every_example_is_read_and_printed_as_it_stands() {
        let text = format!("{FIRST_LINE}\n{}\n", lines().join("\n"));
        let scenario: Scenario = text.parse().unwrap();
        let printed = scenario.to_string();
        for line in lines() {
            assert!(printed.lines().any(|one| one == line), "{line:?} is not in\n{printed}");
        }
    }

    /// The word that decides what a line is.
    fn head(line: &str) -> Option<&str> {
        let mut words = line.split_whitespace();
        match words.next()? {
            "at" => words.nth(1),
            "expect" => words.next(),
            first => Some(first),
        }
    }

    #[test]
    fn every_word_of_a_scenario_that_exists_is_explained() {
        let lines = lines();
        let explained: BTreeSet<&str> = lines.iter().filter_map(|line| head(line)).collect();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let files =
            std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let texts: Vec<String> = files.collect();
        let unexplained: BTreeSet<&str> = texts
            .iter()
            .flat_map(|text| text.lines().skip(1))
            .filter_map(head)
            .filter(|word| !word.starts_with('#') && !explained.contains(word))
            .collect();
        assert!(texts.len() > 50 && unexplained.is_empty(), "{unexplained:?}");
    }
}
