//! Forensics: with more than f traitors, who is to blame; and that nobody else ever is.
//!
//! Replicas 0 and 1 are honest, 2 and 3 are not, of four. Batch `OURS` is what replica 0 delivered, `THEIRS` what
//! replica 1 did.

use std::collections::BTreeSet;

use bezant_pbft::StoredBlock;
use bezant_pbft::certificate::{Endorsed, PreparedProof};
use bezant_pbft::evidence::{Clash, Evidence, NotEvidence, Pair};
use bezant_pbft::forensics::{Disagreement, Findings, Inquiry, first_difference};
use bezant_pbft::message::{Batch, Checkpoint, Commit, NewView, PrePrepare, Prepare, ViewChange};
use bezant_pbft::record::Record;
use bezant_types::signed::Unverified;
use bezant_types::{Digest, Signed, Timestamp, View};

use crate::network::{Members, at, id, small};

fn members() -> Members {
    Members::new(4, small())
}

fn batch(seed: u64) -> Batch {
    Batch::Seal { timestamp: Timestamp::new(seed) }
}

fn ours() -> Digest {
    batch(1).digest()
}

fn theirs() -> Digest {
    batch(2).digest()
}

/// What a home holds of slot 5: that `signers` committed to this batch in this view.
fn block(m: &Members, view: u64, seed: u64, signers: &[u16]) -> StoredBlock {
    let commits = m.commits(view, 5, batch(seed).digest(), signers);
    StoredBlock { commits, batch: batch(seed), requests: vec![] }
}

/// A view change of `by` that proves these things, from a checkpoint at 4 on.
fn change(m: &Members, by: u16, view: u64, prepared: Vec<PreparedProof>) -> Signed<ViewChange> {
    m.view_change(by, view, Some(m.stable(4, ours(), &[0, 1, 2])), prepared)
}

/// How somebody entered a view.
fn entered(m: &Members, view: u64, changes: Vec<Signed<ViewChange>>) -> Record {
    let message = NewView { view: View::new(view), view_changes: changes, proposals: vec![] };
    Record::Entered(m.sign(m.primary(view), message))
}

fn inquire(m: &Members, blocks: &[StoredBlock], records: &[Record]) -> Findings {
    let mut inquiry = Inquiry::new(&m.genesis);
    blocks.iter().for_each(|block| inquiry.examine_block(block));
    records.iter().for_each(|record| inquiry.examine_record(record));
    let findings = inquiry.conclude();
    // Whatever is found convinces somebody who was not there.
    for (culprit, evidence) in &findings.culprits {
        assert!(!evidence.is_empty());
        for one in evidence {
            assert_eq!(one.verify(&m.keyring), Ok(*culprit));
        }
    }
    findings
}

fn culprits(findings: &Findings) -> Vec<u16> {
    findings.culprits.keys().map(|one| one.get()).collect()
}

#[test]
fn two_certificates_in_one_view_convict_those_who_signed_both() {
    let m = members();
    let findings = inquire(&m, &[block(&m, 0, 1, &[0, 2, 3]), block(&m, 0, 2, &[1, 2, 3])], &[]);
    assert_eq!(culprits(&findings), [2, 3]);
    let vote = |digest| Commit { view: View::ZERO, sequence: at(5), digest };
    let disagreement = match findings.disagreements.as_slice() {
        [Disagreement::Blocks { earlier, later }] => [*earlier, *later],
        other => panic!("{other:?}"),
    };
    assert_eq!(BTreeSet::from(disagreement), BTreeSet::from([vote(ours()), vote(theirs())]));
    assert!(findings.wanted.is_empty());
}

#[test]
fn a_new_view_that_forgot_a_decision_convicts_those_who_forgot_it() {
    let m = members();
    let blocks = [block(&m, 0, 1, &[0, 2, 3]), block(&m, 1, 2, &[1, 2, 3])];
    let changes = [1, 2, 3].map(|by| change(&m, by, 1, vec![])).to_vec();
    let findings = inquire(&m, &blocks, &[entered(&m, 1, changes)]);
    assert_eq!(culprits(&findings), [2, 3], "replica 1 did not commit in view 0");
    let amnesia = |evidence: &Vec<Evidence>| matches!(evidence.as_slice(), [Evidence::Amnesia(_)]);
    assert!(findings.culprits.values().all(amnesia));
}

/// The decision was forgotten two views before the other one was made.
#[test]
fn what_was_forgotten_in_between_convicts_as_well() {
    let m = members();
    let blocks = [block(&m, 0, 1, &[0, 2, 3]), block(&m, 2, 2, &[1, 2, 3])];
    let strayed = m.prepared(1, 5, theirs(), &[2, 3]);
    let first = entered(&m, 1, [1, 2, 3].map(|by| change(&m, by, 1, vec![])).to_vec());
    let second = entered(&m, 2, [1, 2, 3].map(|by| change(&m, by, 2, vec![strayed.clone()])).to_vec());
    let findings = inquire(&m, &blocks, &[first, second.clone()]);
    assert_eq!(culprits(&findings), [2, 3]);

    // Without the new view of view 1 nobody can be convicted: any of them may have been misled there.
    let findings = inquire(&m, &blocks, &[second]);
    assert_eq!(culprits(&findings), []);
    let wanted = findings.wanted.first().expect("something is wanted");
    assert_eq!((wanted.sequence, wanted.view), (at(5), View::new(1)));
    assert_eq!(wanted.holders, BTreeSet::from([1, 2, 3].map(id)));
}

/// A proof for the other batch from the very view of the decision: whoever made it committed to something else.
#[test]
fn who_accepts_one_batch_and_commits_to_another_is_convicted() {
    let m = members();
    // Replica 3 is the primary of view 3.
    let blocks = [block(&m, 3, 1, &[0, 2, 3]), block(&m, 4, 2, &[1, 2, 3])];
    let other = m.prepared(3, 5, theirs(), &[1, 2]);
    let changes = [1, 2, 3].map(|by| change(&m, by, 4, vec![other.clone()])).to_vec();
    let findings = inquire(&m, &blocks, &[entered(&m, 4, changes)]);
    assert_eq!(culprits(&findings), [2, 3]);
    let kinds: Vec<_> = findings.culprits.values().flatten().collect();
    assert!(matches!(kinds[..], [Evidence::PrepareAndCommit(_), Evidence::PrePrepareAndCommit(_)]), "{kinds:?}");
}

#[test]
fn two_states_at_one_height_convict_those_who_vouched_for_both() {
    let m = members();
    let records = [m.stable(8, ours(), &[0, 2, 3]), m.stable(8, theirs(), &[1, 2, 3])].map(Record::Stable);
    let findings = inquire(&m, &[], &records);
    assert_eq!(culprits(&findings), [2, 3]);
    assert!(matches!(findings.disagreements[..], [Disagreement::States { .. }]));
}

#[test]
fn a_primary_that_opened_a_view_twice_is_convicted() {
    let m = members();
    let [one, other] = [[0, 1, 2], [1, 2, 3]].map(|by| entered(&m, 3, by.map(|by| change(&m, by, 3, vec![])).to_vec()));
    assert_eq!(culprits(&inquire(&m, &[], &[one, other])), [3]);
}

/// Of every kind; and what is in it is held against the rest.
#[test]
fn evidence_that_was_kept_counts() {
    let m = members();
    let (zero, third) = (View::ZERO, View::new(3));
    let commit = |by, view, digest| m.sign(by, Commit { view, sequence: at(5), digest });
    let prepare = |digest| m.sign(2, Prepare { view: zero, sequence: at(5), digest });
    let propose = |digest| m.sign(3, PrePrepare { view: third, sequence: at(5), digest });
    let vouch = |root| m.sign(2, Checkpoint { sequence: at(8), root });
    let open = |by: [u16; 3]| {
        let view_changes = by.map(|by| change(&m, by, 3, vec![])).to_vec();
        m.sign(3, NewView { view: third, view_changes, proposals: vec![] })
    };
    let kept = [
        (3, Evidence::PrePrepares(Pair { first: propose(ours()), second: propose(theirs()) })),
        (2, Evidence::Prepares(Pair { first: prepare(ours()), second: prepare(theirs()) })),
        (2, Evidence::Commits(Pair { first: commit(2, zero, ours()), second: commit(2, zero, theirs()) })),
        (2, Evidence::Checkpoints(Pair { first: vouch(ours()), second: vouch(theirs()) })),
        (2, Evidence::ViewChanges(Pair { first: change(&m, 2, 3, vec![]), second: m.view_change(2, 3, None, vec![]) })),
        (3, Evidence::NewViews(Pair { first: open([0, 1, 2]), second: open([1, 2, 3]) })),
        (3, Evidence::PrePrepareAndCommit(Clash { first: propose(ours()), second: commit(3, third, theirs()) })),
        (2, Evidence::PrepareAndCommit(Clash { first: prepare(ours()), second: commit(2, zero, theirs()) })),
        (2, Evidence::Amnesia(Clash { first: commit(2, zero, ours()), second: change(&m, 2, 1, vec![]) })),
    ];
    for (culprit, evidence) in kept {
        assert_eq!(evidence.verify(&m.keyring), Ok(id(culprit)));
        let mut inquiry = Inquiry::new(&m.genesis);
        inquiry.examine_evidence(&evidence);
        let found = inquiry.conclude().culprits;
        assert!(found.get(&id(culprit)).is_some_and(|found| found.contains(&evidence)), "{evidence:?} {found:?}");
        assert_eq!(found.len(), 1);
    }
}

/// Whoever strayed first is asked for, and nobody who did not: what agrees with the decision, or came before it or
/// after the other one, explains nothing.
#[test]
fn the_first_view_that_went_astray_is_wanted() {
    let m = members();
    let blocks = [block(&m, 2, 1, &[0, 2, 3]), block(&m, 6, 2, &[1, 2, 3])];
    let proofs = [(1, theirs(), [2, 3]), (3, ours(), [1, 2]), (4, theirs(), [1, 3]), (7, batch(3).digest(), [0, 1])];
    let shown = proofs.map(|(view, digest, by)| m.prepared(view, 5, digest, &by));
    let mut forged = m.prepared(2, 5, theirs(), &[0, 1]);
    forged.pre_prepare = shown[0].pre_prepare;
    forged.prepares.iter_mut().for_each(|(_, signature)| *signature = shown[0].pre_prepare);
    let records: Vec<_> = shown.into_iter().chain([forged]).map(Record::Prepared).collect();
    let findings = inquire(&m, &blocks, &records);
    let wanted = findings.wanted.first().expect("something is wanted");
    assert_eq!((wanted.sequence, wanted.view), (at(5), View::new(4)));
    assert_eq!(wanted.holders, BTreeSet::from([0, 1, 3].map(id)), "the primary and those who prepared it");
    let only_the_last = inquire(&m, &blocks, &[]);
    let wanted = only_the_last.wanted.first().expect("something is wanted");
    assert_eq!((wanted.view, &wanted.holders), (View::new(6), &BTreeSet::from([1, 2, 3].map(id))));
}

#[test]
fn nobody_is_convicted_by_what_honest_members_do() {
    let m = members();
    let decided = block(&m, 1, 1, &[0, 2, 3]);
    let proof = |view| m.prepared(view, 5, ours(), &[2, 3]);
    let stable = |sequence| Some(m.stable(sequence, ours(), &[0, 1, 2]));
    let innocent = [
        ("it asks for the view of its commit", change(&m, 2, 1, vec![])),
        ("it shows the proof", change(&m, 2, 2, vec![proof(1)])),
        ("it shows a later proof", change(&m, 2, 5, vec![m.prepared(4, 5, ours(), &[1, 2])])),
        ("a later proof of something else: it was misled", change(&m, 2, 5, vec![m.prepared(4, 5, theirs(), &[1, 2])])),
        ("a checkpoint covers the slot", m.view_change(2, 2, stable(5), vec![])),
        ("a later checkpoint does", m.view_change(2, 2, stable(8), vec![])),
        ("it did not commit", change(&m, 1, 2, vec![])),
    ];
    for (why, change) in innocent {
        let findings =
            inquire(&m, std::slice::from_ref(&decided), &[entered(&m, change.message.view.get(), vec![change])]);
        assert_eq!(culprits(&findings), [], "{why}");
        assert!(findings.disagreements.is_empty() && findings.wanted.is_empty());
    }
    let guilty = [change(&m, 2, 2, vec![]), change(&m, 2, 2, vec![m.prepared(0, 5, ours(), &[2, 3])])];
    for change in guilty {
        let findings = inquire(&m, std::slice::from_ref(&decided), &[entered(&m, 2, vec![change])]);
        assert_eq!(culprits(&findings), [2]);
    }
    // The same batch in two views, and different batches in different slots.
    let again = block(&m, 2, 1, &[1, 2, 3]);
    let mut elsewhere = block(&m, 0, 2, &[1, 2, 3]);
    elsewhere.commits = m.commits(1, 6, theirs(), &[1, 2, 3]);
    let findings = inquire(&m, &[decided, again, elsewhere], &[]);
    assert_eq!((culprits(&findings), findings.disagreements.len()), (vec![], 0));
}

/// Whoever hands over a forged home achieves nothing, and hides nothing.
#[test]
fn one_signature_altered_convicts_nobody() {
    let m = members();
    let honest = block(&m, 0, 1, &[0, 2, 3]);
    let forged = |seed, signers| {
        let mut forged = block(&m, 0, seed, signers);
        forged.commits.signatures[1].1 = forged.commits.signatures[2].1;
        forged
    };
    let other = forged(2, &[1, 2, 3]);
    let findings = inquire(&m, &[honest.clone(), other.clone()], &[]);
    assert_eq!(culprits(&findings), [3], "the other signature holds");
    assert!(findings.disagreements.is_empty(), "it is no certificate");
    let hidden = inquire(&m, &[other, forged(1, &[0, 2, 3]), honest, block(&m, 0, 2, &[1, 2, 3])], &[]);
    assert_eq!(culprits(&hidden), [2, 3]);
    assert_eq!(hidden.disagreements.len(), 1);
}

#[test]
fn each_new_kind_of_evidence_convicts_and_refuses() {
    let m = members();
    let view = View::new(3);
    let commit = |by, sequence, digest| m.sign(by, Commit { view, sequence: at(sequence), digest });
    let proposal = m.sign(3, PrePrepare { view, sequence: at(5), digest: ours() });
    let prepare = m.sign(2, Prepare { view, sequence: at(5), digest: ours() });
    let proposed = |second| Evidence::PrePrepareAndCommit(Clash { first: proposal.clone(), second }).verify(&m.keyring);
    let prepared = |second| Evidence::PrepareAndCommit(Clash { first: prepare.clone(), second }).verify(&m.keyring);
    assert_eq!(proposed(commit(3, 5, theirs())), Ok(id(3)));
    assert_eq!(prepared(commit(2, 5, theirs())), Ok(id(2)));
    let none = Err(NotEvidence::NoContradiction);
    assert_eq!(proposed(commit(3, 5, ours())), none, "it commits to what it proposed");
    assert_eq!(prepared(commit(2, 5, ours())), none, "it commits to what it prepared");
    assert_eq!(proposed(commit(3, 6, theirs())), none, "another slot");
    assert_eq!(prepared(commit(2, 6, theirs())), none, "another slot");
    assert_eq!(
        prepared(m.sign(2, Commit { view: view.next(), ..commit(2, 5, theirs()).message })),
        none,
        "another view"
    );
    assert_eq!(proposed(commit(2, 5, theirs())), Err(NotEvidence::TwoSigners));
    let mut forged = commit(2, 5, theirs());
    forged.signature = prepare.signature;
    assert_eq!(prepared(forged), Err(NotEvidence::Unverified(Unverified::BadSignature)));

    let amnesia = |first: Signed<Commit>, second| Evidence::Amnesia(Clash { first, second }).verify(&m.keyring);
    assert_eq!(amnesia(commit(2, 5, ours()), change(&m, 2, 4, vec![])), Ok(id(2)));
    assert_eq!(amnesia(commit(2, 5, ours()), m.view_change(2, 4, None, vec![])), Ok(id(2)));
    assert_eq!(amnesia(commit(2, 5, ours()), change(&m, 2, 3, vec![])), none, "not a later view");
    assert_eq!(amnesia(commit(2, 4, ours()), change(&m, 2, 4, vec![])), none, "a checkpoint covers it");
    assert_eq!(amnesia(commit(2, 5, ours()), change(&m, 2, 4, vec![m.prepared(3, 5, ours(), &[1, 2])])), none);
    assert_eq!(amnesia(commit(2, 5, ours()), change(&m, 1, 4, vec![])), Err(NotEvidence::TwoSigners));
    let mut altered = change(&m, 2, 4, vec![m.prepared(3, 5, ours(), &[1, 2])]);
    altered.message.prepared.clear();
    assert_eq!(amnesia(commit(2, 5, ours()), altered), Err(NotEvidence::Unverified(Unverified::BadSignature)));
}

#[test]
fn the_first_difference_is_found_wherever_histories_begin() {
    let history = |from: u64, digests: &[u64]| -> Vec<_> {
        digests.iter().zip(from..).map(|(seed, sequence)| (at(sequence), batch(*seed).digest())).collect()
    };
    assert_eq!(first_difference(history(1, &[1, 2, 3]), history(1, &[1, 2, 3, 4])), None);
    assert_eq!(first_difference(history(1, &[1, 2, 3]), history(2, &[2, 9])), Some(at(3)));
    assert_eq!(first_difference(history(3, &[3, 4]), history(1, &[8, 9, 3, 5])), Some(at(4)));
    assert_eq!(first_difference(history(1, &[1]), history(5, &[5])), None);
    assert_eq!(first_difference([], history(1, &[1])), None);
}

/// What a certificate says of itself does not matter: this one has no quorum.
#[test]
fn too_few_signatures_are_no_disagreement() {
    let m = members();
    let mut few = block(&m, 0, 2, &[1, 2]);
    let findings = inquire(&m, &[block(&m, 0, 1, &[0, 2, 3]), few.clone()], &[]);
    assert_eq!((culprits(&findings), findings.disagreements.len()), (vec![2], 0));
    few.commits = Endorsed { vote: few.commits.vote, signatures: vec![] };
    assert_eq!(culprits(&inquire(&m, &[few], &[])), []);
}
