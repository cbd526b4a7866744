//! Evidence: files that convict a member by two statements that it signed itself.
//!
//! Whoever keeps such a file is not believed, and neither is whoever it accuses. It convicts if both signatures are the
//! accused member's in the network of the genesis that is in hand, and the statements contradict each other; so the one
//! thing to be sure of is the genesis. What was signed is shown as well, so that any program that knows Ed25519 can
//! check the signatures again.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bezant_pbft::evidence::{Clash, Evidence, NotEvidence, Pair};
use bezant_pbft::message::ViewChange;
use bezant_store::evidence::MAX_BYTES;
use bezant_store::home::Paths;
use bezant_types::codec::DecodeError;
use bezant_types::signed::signing_digest;
use bezant_types::{Digest, Genesis, ReplicaId, Signable, Signed};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::wire::EVIDENCE_FILE;

/// What a file of evidence holds.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EvidenceFile {
    /// The network, as whoever wrote it says. A signature is valid in one network only, so that nothing rests on this:
    /// it tells evidence of another network from evidence that was tampered with.
    pub genesis: Digest,
    /// The two statements.
    pub evidence: Evidence,
}

/// Why a file of evidence could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceFileError {
    /// The system refused.
    #[error("{}: {action} failed: {source}. Check the path, its owner and its mode", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It holds no evidence.
    #[error(
        "{}: this is no evidence: {source}. Evidence is kept in the folder `evidence` of a replica's home; if this came from \
         there, fetch it again", path.display()
    )]
    NotEvidence {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// Why nobody is convicted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConvicted {
    /// It is about members of another network.
    #[error(
        "it is about another network, {found}, than the genesis, which is that of {network:?}, {expected}. Give the genesis of the network that it \
         is about, with --genesis"
    )]
    OtherNetwork {
        /// What the file says.
        found: Digest,
        /// What people call the network of the genesis.
        network: String,
        /// Its identity.
        expected: Digest,
    },
    /// The statements prove nothing.
    #[error("{0}. Whoever made this file damaged it, or lied")]
    NotEvidence(#[from] NotEvidence),
}

impl EvidenceFile {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        EVIDENCE_FILE.seal(self)
    }

    /// What [`Self::encode`] gave.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        EVIDENCE_FILE.open(bytes, MAX_BYTES)
    }

    /// Reads a file, whoever made it.
    ///
    /// # Errors
    /// [`EvidenceFileError`] says which file and why.
    pub fn read(path: &Path) -> Result<Self, EvidenceFileError> {
        let failed = |source| EvidenceFileError::Disk { path: path.to_owned(), action: "reading", source };
        let mut bytes = Vec::new();
        File::open(path).map_err(failed)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::decode(&bytes).map_err(|source| EvidenceFileError::NotEvidence { path: path.to_owned(), source })
    }

    /// The files in the folder of a replica's home, in order of their names. The replica may be running.
    ///
    /// # Errors
    /// [`EvidenceFileError::Disk`].
    pub fn list(home: &Path) -> Result<Vec<PathBuf>, EvidenceFileError> {
        let folder = Paths::new(home).evidence();
        let failed = |source| EvidenceFileError::Disk { path: folder.clone(), action: "listing", source };
        let entries = match fs::read_dir(&folder) {
            // A replica that saw no contradiction has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let paths: Result<Vec<_>, _> = entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect();
        let mut paths: Vec<_> = paths?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "evidence"));
        paths.sort();
        Ok(paths)
    }

    /// Who is convicted.
    ///
    /// # Errors
    /// [`NotConvicted`] says why nobody is.
    pub fn convict(&self, genesis: &Genesis) -> Result<ReplicaId, NotConvicted> {
        if self.genesis != genesis.digest() {
            let (network, expected) = (genesis.name().to_owned(), genesis.digest());
            return Err(NotConvicted::OtherNetwork { found: self.genesis, network, expected });
        }
        Ok(self.evidence.verify(&genesis.keyring())?)
    }
}

/// A conviction in words and numbers, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConvictionFacts {
    /// What people call the network.
    pub network: String,
    /// The network's identity.
    pub genesis: String,
    /// Who is convicted.
    pub replica: u16,
    /// Its public key, which verifies both signatures.
    pub key: String,
    /// Of what, for programs.
    pub offence: Offence,
    /// Of what, for people.
    pub what: String,
    /// What it said.
    pub first: StatementFacts,
    /// What it said as well.
    pub second: StatementFacts,
}

/// What a member is convicted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Offence {
    /// As primary it proposed two batches for one slot of one view.
    TwoProposals,
    /// It prepared two batches for one slot of one view.
    TwoPrepares,
    /// It committed to two batches for one slot of one view.
    TwoCommits,
    /// It vouched for two states at one height.
    TwoCheckpoints,
    /// It asked for one view with two stories.
    TwoViewChanges,
    /// It opened one view twice, differently.
    TwoNewViews,
    /// As primary it proposed one batch and committed to another, for one slot of one view.
    ProposedAndCommittedOtherwise,
    /// It prepared one batch and committed to another, for one slot of one view.
    PreparedAndCommittedOtherwise,
    /// It asked for a view without a word of what it had committed to.
    Forgot,
}

/// A statement and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatementFacts {
    /// What it says.
    pub says: String,
    /// The 32 bytes that were signed, in hexadecimal digits: a digest of statement, signer and network.
    pub signed: String,
    /// The Ed25519 signature under them, in hexadecimal digits.
    pub signature: String,
}

impl ConvictionFacts {
    /// What `evidence` shows of the member that it convicts in the network of `genesis`.
    pub fn new(genesis: &Genesis, convicted: ReplicaId, evidence: &Evidence) -> Self {
        let batch = |digest: Digest| format!("the batch {digest}");
        let (offence, what, [first, second]) = match evidence {
            Evidence::PrePrepares(pair) => {
                let vote = pair.first.message;
                let what =
                    format!("as primary of view {} it proposed two batches as number {}", vote.view, vote.sequence);
                (Offence::TwoProposals, what, sides(genesis, pair, |vote| batch(vote.digest)))
            }
            Evidence::Prepares(pair) => {
                let vote = pair.first.message;
                let what = format!("in view {} it prepared two batches as number {}", vote.view, vote.sequence);
                (Offence::TwoPrepares, what, sides(genesis, pair, |vote| batch(vote.digest)))
            }
            Evidence::Commits(pair) => {
                let vote = pair.first.message;
                let what = format!("in view {} it committed to two batches as number {}", vote.view, vote.sequence);
                (Offence::TwoCommits, what, sides(genesis, pair, |vote| batch(vote.digest)))
            }
            Evidence::Checkpoints(pair) => {
                let what = format!("it vouched for two states at number {}", pair.first.message.sequence);
                (Offence::TwoCheckpoints, what, sides(genesis, pair, |vote| format!("the state root {}", vote.root)))
            }
            Evidence::ViewChanges(pair) => {
                let what = format!("it asked for view {} with two stories", pair.first.message.view);
                (Offence::TwoViewChanges, what, sides(genesis, pair, story))
            }
            Evidence::NewViews(pair) => {
                let what = format!("as its primary it opened view {} twice, differently", pair.first.message.view);
                let sides = sides(genesis, pair, |new_view| {
                    let of: Vec<_> = new_view.view_changes.iter().map(|one| one.signer.to_string()).collect();
                    let proposals = new_view.proposals.len();
                    format!("on the view changes of replicas {}, proposing {proposals} batches again", of.join(", "))
                });
                (Offence::TwoNewViews, what, sides)
            }
            Evidence::PrePrepareAndCommit(Clash { first, second }) => {
                let vote = first.message;
                let what = format!(
                    "as primary of view {} it proposed one batch as number {} and committed to another",
                    vote.view, vote.sequence
                );
                let proposed = statement(genesis, first, batch(vote.digest));
                let committed = statement(genesis, second, batch(second.message.digest));
                (Offence::ProposedAndCommittedOtherwise, what, [proposed, committed])
            }
            Evidence::PrepareAndCommit(Clash { first, second }) => {
                let vote = first.message;
                let what = format!(
                    "in view {} it prepared one batch as number {} and committed to another",
                    vote.view, vote.sequence
                );
                let prepared = statement(genesis, first, batch(vote.digest));
                let committed = statement(genesis, second, batch(second.message.digest));
                (Offence::PreparedAndCommittedOtherwise, what, [prepared, committed])
            }
            Evidence::Amnesia(Clash { first, second }) => {
                let (vote, asked) = (first.message, second.message.view);
                let what = format!(
                    "in view {} it committed to a batch as number {}, and forgot that when it asked for view {asked}",
                    vote.view, vote.sequence
                );
                let committed = statement(genesis, first, batch(vote.digest));
                (Offence::Forgot, what, [committed, statement(genesis, second, story(&second.message))])
            }
        };
        Self {
            network: genesis.name().to_owned(),
            genesis: genesis.digest().to_string(),
            replica: convicted.get(),
            key: genesis.replicas().get(convicted.index()).map_or_else(String::new, |entry| entry.key.to_string()),
            offence,
            what,
            first,
            second,
        }
    }
}

/// What a view change tells of the past.
fn story(message: &ViewChange) -> String {
    let from = message.checkpoint.as_ref().map_or_else(
        || "from the genesis".to_owned(),
        |stable| format!("from the checkpoint at {}", stable.vote.sequence),
    );
    let prepared: Vec<_> = message.prepared.iter().map(|proof| proof.sequence.to_string()).collect();
    if prepared.is_empty() {
        format!("{from}, with nothing prepared")
    } else {
        format!("{from}, with {} prepared", prepared.join(", "))
    }
}

fn sides<M: Signable<Signer = ReplicaId>>(
    genesis: &Genesis,
    pair: &Pair<M>,
    says: impl Fn(&M) -> String,
) -> [StatementFacts; 2] {
    [&pair.first, &pair.second].map(|one| statement(genesis, one, says(&one.message)))
}

fn statement<M: Signable<Signer = ReplicaId>>(genesis: &Genesis, signed: &Signed<M>, says: String) -> StatementFacts {
    StatementFacts {
        says,
        signed: signing_digest(genesis.digest(), signed.signer, &signed.message).to_string(),
        signature: hex::encode(signed.signature.as_bytes()),
    }
}

impl fmt::Display for ConvictionFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, genesis, replica, key, what, first, second, offence: _ } = self;
        writeln!(f, "convicted: replica {replica} of {network:?}: {what}")?;
        writeln!(f, "  genesis    {genesis}\n  key        {key}")?;
        for (which, StatementFacts { says, signed, signature }) in [("it signed", first), ("and also", second)] {
            write!(f, "\n  {which:<10} {says}\n    digest     {signed}\n    signature  {signature}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bezant_pbft::message::{Commit, Prepare};
    use bezant_types::{SequenceNumber, Signature, Verified, View};

    use super::*;
    use crate::verify::fixture::{genesis, key, replica};

    fn commit(genesis: &Genesis, signer: u16, batch: u8) -> Signed<Commit> {
        let vote = Commit { view: View::ZERO, sequence: SequenceNumber::new(5), digest: Digest::new([batch; 32]) };
        Verified::sign(vote, replica(signer), &key(signer as u8), genesis.digest()).into_signed()
    }

    fn file(genesis: &Genesis, first: Signed<Commit>, second: Signed<Commit>) -> EvidenceFile {
        EvidenceFile { genesis: genesis.digest(), evidence: Evidence::Commits(Pair { first, second }) }
    }

    #[test]
    fn two_contradictory_statements_convict_their_signer_and_are_shown() {
        let genesis = genesis();
        let file = file(&genesis, commit(&genesis, 2, 1), commit(&genesis, 2, 7));
        let read = EvidenceFile::decode(&file.encode()).unwrap();
        let convicted = read.convict(&genesis).unwrap();
        assert_eq!((&read, convicted), (&file, replica(2)));
        let facts = ConvictionFacts::new(&genesis, convicted, &read.evidence);
        assert_eq!((facts.replica, facts.offence), (2, Offence::TwoCommits));
        let text = facts.to_string();
        let signed = signing_digest(genesis.digest(), replica(2), &commit(&genesis, 2, 7).message).to_string();
        for words in ["replica 2 of", "in view 0 it committed to two batches as number 5", &"07".repeat(32), &signed] {
            assert!(text.contains(words), "{words} is missing in\n{text}");
        }
    }

    #[test]
    fn what_proves_nothing_convicts_nobody() {
        let genesis = genesis();
        let (one, other) = (commit(&genesis, 2, 1), commit(&genesis, 2, 7));
        let judge = |first: &Signed<Commit>, second: &Signed<Commit>| {
            file(&genesis, first.clone(), second.clone()).convict(&genesis).unwrap_err().to_string()
        };
        assert!(judge(&one, &one).contains("do not contradict"));
        assert!(judge(&one, &commit(&genesis, 1, 7)).contains("different signers"));
        let forged = Signed { signature: Signature::new([3; 64]), ..other.clone() };
        assert!(judge(&one, &forged).contains("not valid"));
        // Another kind of vote under the same signatures.
        let prepare = |signed: &Signed<Commit>| {
            let Commit { view, sequence, digest } = signed.message;
            Signed { signer: signed.signer, message: Prepare { view, sequence, digest }, signature: signed.signature }
        };
        let relabelled = Evidence::Prepares(Pair { first: prepare(&one), second: prepare(&other) });
        let file = EvidenceFile { genesis: genesis.digest(), evidence: relabelled };
        assert!(file.convict(&genesis).unwrap_err().to_string().contains("not valid"));
    }

    #[test]
    fn evidence_of_another_network_is_told_from_a_forgery() {
        let genesis = genesis();
        let file = file(&genesis, commit(&genesis, 2, 1), commit(&genesis, 2, 7));
        let elsewhere = EvidenceFile { genesis: Digest::new([9; 32]), ..file };
        let words = elsewhere.convict(&genesis).unwrap_err().to_string();
        assert!(words.contains("Give the genesis of the network"), "{words}");
    }

    #[test]
    fn bytes_that_are_no_evidence_are_refused_by_name() {
        let genesis = genesis();
        let bytes = file(&genesis, commit(&genesis, 2, 1), commit(&genesis, 2, 7)).encode();
        assert!(matches!(EvidenceFile::decode(b"BZPF\x01\0 a proof"), Err(DecodeError::WrongMagic { .. })));
        assert_eq!(EvidenceFile::decode(&bytes[..bytes.len() - 1]), Err(DecodeError::Malformed));
        assert!(matches!(EvidenceFile::decode(&vec![0; MAX_BYTES + 1]), Err(DecodeError::TooLarge { .. })));
    }
}
