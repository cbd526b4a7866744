//! Practical Byzantine fault tolerance, as a deterministic participant without sockets, disk, clock or key.
//!
//! The protocol is that of Castro and Liskov, *Practical Byzantine Fault Tolerance*, OSDI 1999, section 4: the form
//! with signatures, whose certificates anybody can check, pipelined, with batches. Sections below without another
//! source are of that paper. This page is the specification: rules by number, then every deviation. Code and tests cite
//! the rules.
//!
//! # Model
//!
//! * `n >= 4` replicas, of which at most `f = floor((n - 1) / 3)` are malicious: they say anything, together, at the
//!   worst moment, with their own keys. The others follow the rules, may crash and come back with their log, and may be
//!   slow.
//! * The network loses, delays, repeats and reorders. For *progress* it must at some time deliver within a bound that
//!   the doubling timeouts reach (partial synchrony). For *safety* it owes nothing.
//! * Any number of clients is malicious.
//! * Signatures cannot be forged, SHA-256 has no collisions.
//! * The ledger is deterministic: the same blocks give the same state root.
//!
//! A **quorum** is `ceil((n + f + 1) / 2)` distinct replicas (`2f + 1` if `n = 3f + 1`): two of them share an honest
//! one. A **weak quorum** is `f + 1`: one of them is honest. Arithmetic: [`bezant_types::quorum`], nowhere else.
//!
//! # Who says what to whom, and why
//!
//! | message | from → to | why |
//! |---|---|---|
//! | request | client → all | everybody knows what the primary owes, and holds the body |
//! | [`PrePrepare`](message::PrePrepare) | primary → all | this batch, by digest, has this place |
//! | the same, shown by a backup | one → one or all | this is what the primary told here |
//! | [`Prepare`](message::Prepare) | backup → all | I accept that, and hold the bodies |
//! | [`Commit`](message::Commit) | all → all | I saw a quorum accept it |
//! | [`Reply`](message::Reply) | all → client | this is what your request came to |
//! | [`Checkpoint`](message::Checkpoint) | all → all | after this place my state has this root |
//! | [`ViewChange`](message::ViewChange) | all → all | I leave this view; here is all that I saw prepared |
//! | [`NewView`](message::NewView) | new primary → all | a quorum left; this is what follows |
//! | [`Status`](message::Status) | all → all, now and then | where I stand: help me with what I lack |
//! | [`Fetch`](message::Fetch) | one → one | I know these only by digest |
//! | [`Decided`](packet::Decided), stable checkpoint, bodies | one → one | help; each proves itself |
//!
//! # Rules
//!
//! **Normal case** (section 4.2; `normal.rs`, `slot.rs`)
//!
//! * **P-1** A request is a client's signed bundle with a number. Its outcome is kept in the replicated state; a number
//!   that comes again gets the kept outcome and is never executed again.
//! * **P-2** A pre-prepare for `(v, n, d)` is accepted if and only if: it is signed by the primary of `v`; `v` is the
//!   view and the replica works in it; `low < n <= high`; no other digest was accepted for `(v, n)`; `d` is the digest
//!   of the batch; the batch is well formed, and all its requests are here and authentic (one that was ordered before
//!   is allowed and changes nothing); its timestamp is near the replica's clock. What a new view prescribes is accepted
//!   as prescribed, and its timestamp is not judged again.
//! * **P-3** A prepare is a backup's; the primary's is refused. One per replica, view and slot. It may come before the
//!   pre-prepare.
//! * **P-4** A batch is *prepared* with the pre-prepare and `quorum - 1` matching prepares of distinct backups.
//! * **P-5** A replica commits to what has prepared with it, once per slot and view. A quorum of matching commits of
//!   distinct replicas decides the slot, whether or not it prepared here.
//! * **P-6** Slots commit in any order and are delivered in sequence order, without a gap, each once.
//! * **P-7** A client accepts an outcome on `f + 1` equal replies of distinct replicas, compared by number and outcome
//!   only.
//! * **P-8** A client that waits too long sends again to all. A backup watches the lowest request of the client at the
//!   head of the line; who is served in order goes to its end. After half of its time it passes the request on to the
//!   primary, after all of it, it asks for another.
//! * **P-9** A backup watches the primary's pace: work that the primary could propose and lets lie for several times as
//!   long as the group takes to agree runs up a debt, which costs it its view (`pace.rs`).
//!
//! **Checkpoints and water marks** (section 4.3; `checkpoint.rs`)
//!
//! * **C-1** Every K sequence numbers, and at every seal batch, a replica signs the state root. A quorum of equal ones
//!   makes a stable checkpoint; a replica whose own root differs from a quorum's stops.
//! * **C-2** `low` is the last stable checkpoint, `high = low + L`, `L >= 2K` or the genesis is refused. What is at or
//!   below `low` is discarded, evidence and the last blocks for helping others aside.
//! * **C-3** `low` moves no further than what the replica itself has executed or fetched, as its executor reports it.
//! * **C-4** Above its window a replica remembers one checkpoint of each peer, the last. When a weak quorum is above,
//!   it asks for help; a stable checkpoint that it cannot reach by blocks makes it fetch the state.
//!
//! **View change** (section 4.4; `view_change.rs`, `new_view.rs`)
//!
//! * **V-1** A view change carries the last stable checkpoint with its certificate, and for each slot above it the
//!   prepared certificate with the highest view. After sending it a replica sends nothing of an earlier view, ever.
//! * **V-2** A new view carries a quorum of valid view changes of distinct replicas for exactly that view, and the
//!   digests that follow from them by a pure function: from the highest proven checkpoint to the highest prepared slot,
//!   for each the digest of the valid certificate with the highest view, else the null batch.
//! * **V-3** Every replica computes that itself and refuses a new view, or a pre-prepare in it, that differs. An
//!   invalid certificate makes the view change that carries it invalid, and never hides a valid one.
//! * **V-4** Prescribed slots are agreed on again in the new view and not executed again. Batches and bodies that are
//!   missing are fetched by digest.
//! * **V-5** The timer for a new view starts with a quorum of view changes for it. It doubles with each view in a row,
//!   up to a bound, and falls back when a request is executed.
//! * **V-6** A weak quorum of view changes beyond one's view: join the nearest of them. One replica alone moves nobody.
//! * **V-7** A replica in a view change goes on learning what others committed, by certificate.
//!
//! **Restart** (`record.rs`, `restart.rs`)
//!
//! * **R-1** What a replica is about to say is on its disk before anybody can hear it: [`Ready`].
//! * **R-2** After a crash at any point it says the same again, byte for byte, or nothing. Its own votes come back to
//!   it and are counted then. So if all crash after voting, all go on.
//! * **A-1** A replica that lost its log says nothing that it might contradict, until the group has moved past all that
//!   it can have voted on: until a stable checkpoint at `M + 2L`, where `M` is the highest that a quorum of others
//!   proved to it.
//!
//! # Deviations from the paper, and what it silently assumes
//!
//! 1. **Digests are ordered.** A pre-prepare names a batch by digest and carries the list of its requests' digests;
//!    bodies come from the clients, or by `Fetch` from who vouched for them. A backup prepares only with all bodies in
//!    hand and *on disk*, so a prepared batch can always be fetched from an honest member. It keeps the bodies of what
//!    it voted for until the checkpoint is stable, even if it never saw that prepared.
//! 2. **O is a list of digests**, and the pre-prepares follow as messages of their own. The paper's new view contains
//!    them signed; since every replica computes them, that proves nothing more, and the message is smaller by a
//!    signature a slot.
//! 3. **Certificates have one shape**: the vote once, then exactly a quorum of signatures by ascending replica. Votes
//!    for different things cannot be mixed in one.
//! 4. **General n**, with the quorum above. The paper has `n = 3f + 1`.
//! 5. **Votes for later views are kept**, of each replica the one for the highest view. The paper assumes that a
//!    replica hears of a view before it hears votes in it.
//! 6. **A checkpoint on request**: a primary seals an idle group's work with an empty batch, so that what was
//!    acknowledged is provable soon. A primary that seals all the time only makes K smaller; one that never does loses
//!    its view.
//! 7. **The timer follows one client after the other.** The paper restarts the timer whenever any request executes,
//!    which lets a primary starve one client for ever. Here it restarts when *the watched client* is served in the
//!    order of its numbers, and another is watched then. Were it the oldest request that counts, a client that floods
//!    the group faster than it executes would depose honest primaries. The primary itself watches nobody.
//! 8. **Half of the time is the client's.** A client that sends to some backups and not to the primary would make the
//!    group change views at will; so a backup first passes the request on, and only then asks for another primary.
//! 9. **A quorum of commits suffices.** The paper's committed-local asks for prepared as well. A quorum of commits
//!    holds an honest one, which saw a quorum prepare; so the batch is safe, and whoever takes no part in the view can
//!    learn from votes alone.
//! 10. **Retransmission by status.** The paper assumes it. A replica says where it stands; whoever is ahead sends what
//!     it lacks, rationed. Commit certificates are kept for that, and suffice to learn a block in any phase.
//! 11. **A vote that contradicts a vote is evidence**, kept with both signatures; a primary that proposes twice is left
//!     at once. A backup that prepares something else than was proposed here is shown the proposal, so that of two
//!     stories each side hears the other (`scrutiny.rs`).
//! 12. **No tentative execution, no read-only optimisation.** Reads are ordered.
//! 13. **Timestamps.** A batch is dated by its primary; backups judge the date once, when it is new, within a bound
//!     that must cover honest clocks' skew. The ledger's time never goes back, so a primary can at most hurry it by
//!     that bound.
//! 14. **A replica that lost its log** rejoins as A-1 says. What that cannot exclude is written at `restart.rs`.
//! 15. **A checkpoint that only some hold.** Replicas with different low water marks meet in one view change; slots at
//!     or below the highest proven checkpoint are not proposed again, and whoever has not executed them gets blocks or
//!     state (the S and S' of many implementations' endless view changes).

#![no_std]

extern crate alloc;

mod catch_up;
pub mod certificate;
mod checkpoint;
pub mod client;
mod config;
pub mod evidence;
pub mod forensics;
pub mod ignored;
mod line;
pub mod message;
mod new_view;
mod normal;
mod pace;
pub mod packet;
mod pool;
mod ready;
pub mod record;
mod replica;
mod restart;
mod scrutiny;
mod slot;
mod view_change;

pub use config::Config;
pub use ready::{Block, Effect, Executed, Fault, Input, Ready, Recipients, StoredBlock, Timer};
pub use replica::{Replica, Report};
pub use restart::BadRecord;
