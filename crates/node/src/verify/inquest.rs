//! Two homes that disagree, and whom they convict.
//!
//! While at most f members are malicious no two replicas hold different histories. If two do, what they hold convicts
//! at least f + 1 members, and never an honest one, whoever of the two is believed: see [`bezant_pbft::forensics`],
//! which does the thinking. Here the homes are read: blocks, logs, saved states, and the evidence that they keep.
//!
//! What cannot be read is left out and said. It may cost a conviction; it cannot make a false one.

use std::path::{Path, PathBuf};

use bezant_host::saved::{SavedState, open_block};
use bezant_pbft::evidence::Evidence;
use bezant_pbft::forensics::{Disagreement, Findings, Inquiry, Wanted, first_difference};
use bezant_pbft::record::{self, Record};
use bezant_store::{BlockStore, Home, HostDisk};
use bezant_types::{Digest, Genesis, ReplicaId, SequenceNumber};
use serde::Serialize;

use super::stores::{Owned, open_blocks, open_state, read_log};
use super::{ConvictionFacts, EvidenceFile, Span, VerifyError};

/// What came of an inquest.
#[derive(Clone, Debug)]
pub struct Inquest {
    /// For people and programs.
    pub facts: InquestFacts,
    /// What convicts the culprits, as files that anybody can judge.
    pub evidence: Vec<(ReplicaId, EvidenceFile)>,
}

/// What two homes show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InquestFacts {
    /// What people call the network.
    pub network: String,
    /// The network's identity.
    pub genesis: String,
    /// What it comes to.
    pub verdict: InquestVerdict,
    /// The two homes.
    pub homes: [HomeFacts; 2],
    /// The first sequence number at which they hold different blocks.
    pub first_difference: Option<u64>,
    /// What quorums contradict each other about.
    pub disagreements: Vec<DisagreementFacts>,
    /// How many culprits there must be if quorums contradict each other: f + 1.
    pub at_least: usize,
    /// Who is convicted.
    pub culprits: Vec<CulpritFacts>,
    /// What would convict more, if these are too few.
    pub wanted: Vec<WantedFacts>,
}

/// What two homes come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InquestVerdict {
    /// Nothing in them disagrees.
    Agree,
    /// Quorums contradict each other, and at least f + 1 members are convicted of it.
    Convicted,
    /// Quorums contradict each other, and these homes do not convict f + 1 members.
    MoreWanted,
    /// Blocks differ, and not both are what a quorum committed: somebody wrote into one of the homes.
    Altered,
}

/// What was found in a home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HomeFacts {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is; `None` if nothing is kept there.
    pub replica: Option<u16>,
    /// The blocks in it.
    pub blocks: Vec<Span>,
    /// Records of its log.
    pub records: u64,
    /// Pieces of evidence.
    pub evidence: u64,
    /// What could not be read, and was left out.
    pub problems: Vec<String>,
}

/// Two certificates that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DisagreementFacts {
    /// Where.
    pub sequence: u64,
    /// About what, for people.
    pub what: String,
}

/// A member that is convicted, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CulpritFacts {
    /// Who.
    pub replica: u16,
    /// Of what, once for each kind of offence.
    pub convictions: Vec<ConvictionFacts>,
}

/// What would convict more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WantedFacts {
    /// The slot that was decided twice.
    pub sequence: u64,
    /// The view of which it is to be shown how it was entered.
    pub view: u64,
    /// Whose homes may show it.
    pub holders: Vec<u16>,
}

/// Reads the homes of two replicas of the network of `genesis`, neither of which runs, and finds out whom they convict.
///
/// # Errors
/// [`VerifyError`] if one is no home, its replica runs, or it belongs to another network.
pub fn inquest(genesis: &Genesis, homes: [&Path; 2]) -> Result<Inquest, VerifyError> {
    let [one, other] = homes;
    let mut opened = [Opened::read(genesis, one)?, Opened::read(genesis, other)?];
    let difference = first_difference(opened[0].digests(), opened[1].digests());
    let mut inquiry = Inquiry::new(genesis);
    for home in &mut opened {
        home.testify(genesis, difference, &mut inquiry);
    }
    let findings = inquiry.conclude();
    Ok(conclude(genesis, opened.map(|home| home.facts), difference, findings))
}

/// A home, as far as it can be read.
struct Opened {
    facts: HomeFacts,
    blocks: Option<BlockStore<HostDisk>>,
    records: Vec<Record>,
    evidence: Vec<Evidence>,
    saved: Option<SavedState>,
    /// Held, so that no replica writes meanwhile.
    _home: Home,
}

impl Opened {
    fn read(genesis: &Genesis, path: &Path) -> Result<Self, VerifyError> {
        let home = Home::open(path)?;
        let mut problems = Vec::new();
        let (blocks, of_blocks) = owned(open_blocks(genesis, &home), &mut problems)?;
        let (log, of_log) = owned(read_log(genesis, &home), &mut problems)?;
        let (state, of_state) = owned(open_state(genesis, &home), &mut problems)?;
        let saved = state.and_then(|state| match state.load() {
            Ok(saved) => saved,
            Err(error) => note(&mut problems, error),
        });
        let saved = saved.and_then(|saved| match SavedState::decode(&saved.meta) {
            Ok(saved) => Some(saved),
            Err(error) => note(&mut problems, format!("the saved state: {error}")),
        });
        let records: Vec<Record> =
            log.unwrap_or_default().iter().filter_map(|bytes| open_record(bytes, &mut problems)).collect();
        let files = EvidenceFile::list(path).or_else(|error| note(&mut problems, error).ok_or(())).unwrap_or_default();
        let evidence: Vec<Evidence> = files
            .iter()
            .filter_map(|path| match EvidenceFile::read(path) {
                Ok(file) => Some(file.evidence),
                Err(error) => note(&mut problems, error),
            })
            .collect();
        let runs = blocks.iter().flat_map(BlockStore::runs);
        let facts = HomeFacts {
            path: path.to_owned(),
            replica: of_blocks.or(of_log).or(of_state).map(ReplicaId::get),
            blocks: runs.map(|run| Span { first: run.start().get(), last: run.end().get() }).collect(),
            records: records.len() as u64,
            evidence: evidence.len() as u64,
            problems,
        };
        Ok(Self { facts, blocks, records, evidence, saved, _home: home })
    }

    fn sequences(&self) -> impl Iterator<Item = SequenceNumber> + use<> {
        let runs: Vec<_> = self.facts.blocks.clone();
        runs.into_iter().flat_map(|run| run.first..=run.last).map(SequenceNumber::new)
    }

    /// What its blocks say that was committed.
    fn digests(&self) -> impl Iterator<Item = (SequenceNumber, Digest)> {
        let blocks = self.blocks.as_ref();
        self.sequences().filter_map(move |sequence| {
            let stored = open_block(&blocks?.read(sequence).ok()??).ok()?;
            Some((stored.commits.vote.sequence, stored.commits.vote.digest))
        })
    }

    /// Hands in everything that somebody signed.
    fn testify(&mut self, genesis: &Genesis, difference: Option<SequenceNumber>, inquiry: &mut Inquiry) {
        let end = self.facts.blocks.last().map_or(0, |run| run.last);
        // Blocks long before the first difference convict nobody, and of a long history they are many.
        let from = difference.map_or(end, SequenceNumber::get).saturating_sub(genesis.parameters().window);
        for sequence in self.sequences().filter(|sequence| from <= sequence.get()) {
            let Some(blocks) = &self.blocks else { break };
            match blocks.read(sequence).map(|bytes| bytes.map(|bytes| open_block(&bytes))) {
                Ok(Some(Ok(stored))) => inquiry.examine_block(&stored),
                Ok(Some(Err(error))) => _ = note::<()>(&mut self.facts.problems, format!("block {sequence}: {error}")),
                Ok(None) => {}
                Err(error) => {
                    // Finding out about each later block would read the same damaged file again.
                    note::<()>(&mut self.facts.problems, format!("block {sequence}: {error} (nor what follows)"));
                    break;
                }
            }
        }
        self.records.iter().for_each(|record| inquiry.examine_record(record));
        self.evidence.iter().for_each(|evidence| inquiry.examine_evidence(evidence));
        if let Some(SavedState { certificate, .. }) = self.saved.take() {
            inquiry.examine_record(&Record::Stable(certificate));
        }
    }
}

/// What a store holds and whose it is. A damaged one is noted; a home that cannot be entered, or that is another
/// network's, ends the inquest.
fn owned<T>(
    opened: Result<Owned<T>, VerifyError>,
    problems: &mut Vec<String>,
) -> Result<(Option<T>, Option<ReplicaId>), VerifyError> {
    match opened {
        Ok(Some((store, owner))) => Ok((Some(store), Some(owner))),
        Ok(None) => Ok((None, None)),
        Err(error @ (VerifyError::Blocks(_) | VerifyError::State(_) | VerifyError::Log(_))) => {
            note::<()>(problems, error);
            Ok((None, None))
        }
        Err(
            error @ (VerifyError::Home(_)
            | VerifyError::Genesis(_)
            | VerifyError::OtherNetwork { .. }
            | VerifyError::Mixed { .. }),
        ) => Err(error),
    }
}

fn open_record(bytes: &[u8], problems: &mut Vec<String>) -> Option<Record> {
    match record::FORMAT.open(bytes, usize::MAX) {
        Ok(record) => Some(record),
        Err(error) => note(problems, format!("a record of the log: {error}")),
    }
}

/// Says that something was left out.
fn note<T>(problems: &mut Vec<String>, what: impl ToString) -> Option<T> {
    if problems.len() < MOST_PROBLEMS {
        problems.push(what.to_string());
    }
    None
}

fn conclude(
    genesis: &Genesis,
    homes: [HomeFacts; 2],
    difference: Option<SequenceNumber>,
    findings: Findings,
) -> Inquest {
    let Findings { disagreements, culprits, wanted } = findings;
    let at_least = genesis.committee().weak_quorum();
    let verdict = match (disagreements.is_empty(), difference) {
        (false, _) if culprits.len() >= at_least => InquestVerdict::Convicted,
        (false, _) => InquestVerdict::MoreWanted,
        (true, Some(_)) => InquestVerdict::Altered,
        (true, None) => InquestVerdict::Agree,
    };
    let of = |(replica, evidence): (&ReplicaId, &Vec<Evidence>)| CulpritFacts {
        replica: replica.get(),
        convictions: evidence.iter().map(|one| ConvictionFacts::new(genesis, *replica, one)).collect(),
    };
    let facts = InquestFacts {
        network: genesis.name().to_owned(),
        genesis: genesis.digest().to_string(),
        verdict,
        homes,
        first_difference: difference.map(SequenceNumber::get),
        disagreements: disagreements.iter().map(DisagreementFacts::of).collect(),
        at_least,
        culprits: culprits.iter().map(of).collect(),
        wanted: wanted.iter().map(WantedFacts::of).collect(),
    };
    let file = |evidence| EvidenceFile { genesis: genesis.digest(), evidence };
    let files = |(replica, evidence): (ReplicaId, Vec<Evidence>)| {
        evidence.into_iter().map(move |evidence| (replica, file(evidence)))
    };
    Inquest { facts, evidence: culprits.into_iter().flat_map(files).collect() }
}

impl DisagreementFacts {
    fn of(disagreement: &Disagreement) -> Self {
        match disagreement {
            Disagreement::Blocks { earlier, later } => Self {
                sequence: earlier.sequence.get(),
                what: format!(
                    "a quorum committed to the batch {} in view {}, and a quorum to {} in view {}",
                    earlier.digest, earlier.view, later.digest, later.view
                ),
            },
            Disagreement::States { one, other } => Self {
                sequence: one.sequence.get(),
                what: format!("a quorum signed the state root {}, and a quorum {}", one.root, other.root),
            },
        }
    }
}

impl WantedFacts {
    fn of(Wanted { sequence, view, holders }: &Wanted) -> Self {
        let holders = holders.iter().map(|holder| holder.get()).collect();
        Self { sequence: sequence.get(), view: view.get(), holders }
    }
}

/// A home that is wrong from end to end is not worth a line for each block.
const MOST_PROBLEMS: usize = 20;
