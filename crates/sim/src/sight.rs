//! What an observer sees who stands beside every machine: the only thing that oracles judge by.

use bezant_ledger::Execution;
use bezant_pbft::evidence::Evidence;
use bezant_pbft::packet::Message;
use bezant_pbft::record::Record;
use bezant_pbft::{Block, Fault};
use bezant_types::{Bundle, Digest, Moment, Outcome, ReplicaId, RequestNumber, SequenceNumber, Verified, View};

/// A client of the simulated network, by its place in the genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientIndex(pub usize);

/// Something that happened. What corrupted machines do inside is not shown: nothing is promised about it.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// An honest replica started. `records` is what its log holds, decoded by the simulator from its disk.
    Booted {
        /// Who.
        replica: ReplicaId,
        /// What its log holds.
        records: &'a [Record],
        /// As of which stable checkpoint its saved state is, zero for the genesis: its low water mark. It executes the
        /// blocks after it again.
        stable: SequenceNumber,
        /// Whether it was started without its log (`--recover`): what it said before binds it no less.
        without_log: bool,
    },
    /// An honest replica's process ended: a crash, or the machine's.
    Crashed {
        /// Who.
        replica: ReplicaId,
    },
    /// A message left an honest replica, signed by itself or passed on. Once for each other replica that it is meant
    /// for.
    Said {
        /// Who.
        replica: ReplicaId,
        /// To whom.
        to: ReplicaId,
        /// What.
        message: &'a Message,
    },
    /// An honest replica handed a committed block to its executor. Blocks that it read back after a restart, to execute
    /// them again, may be shown or not.
    Delivered {
        /// Who.
        replica: ReplicaId,
        /// What.
        block: &'a Block,
    },
    /// An honest replica's executor is done with a block. After a restart blocks are executed again.
    Executed {
        /// Who.
        replica: ReplicaId,
        /// Which.
        sequence: SequenceNumber,
        /// What each request came to.
        executions: &'a [Execution],
        /// The state root after it, at a checkpoint.
        root: Option<Digest>,
    },
    /// An honest replica installed a state that it fetched.
    Installed {
        /// Who.
        replica: ReplicaId,
        /// As of which sequence number.
        sequence: SequenceNumber,
        /// Its root, as the simulator computed it from the state.
        root: Digest,
    },
    /// An honest replica's low water mark moved.
    Stable {
        /// Who.
        replica: ReplicaId,
        /// Where to.
        sequence: SequenceNumber,
        /// The root that a quorum signed.
        root: Digest,
    },
    /// An honest replica entered a view.
    Entered {
        /// Who.
        replica: ReplicaId,
        /// Which.
        view: View,
    },
    /// An honest replica accused a member.
    Accused {
        /// Who.
        replica: ReplicaId,
        /// Whom.
        member: ReplicaId,
        /// By what.
        evidence: &'a Evidence,
    },
    /// An honest replica stopped because something happened that cannot happen.
    Halted {
        /// Who.
        replica: ReplicaId,
        /// Why.
        fault: Fault,
    },
    /// An honest replica, looked at now and then: how much it holds in memory.
    Weighed {
        /// Who.
        replica: ReplicaId,
        /// How many slots, waiting requests and remembered blocks it holds, as its report says.
        items: usize,
        /// Bytes of its log on disk.
        log_bytes: u64,
    },
    /// A message from a corrupted replica reached an honest one, signatures checked.
    Heard {
        /// Who heard it.
        replica: ReplicaId,
        /// Who brought it.
        from: ReplicaId,
        /// What.
        message: &'a Message,
    },
    /// An honest client asked for something. Once for each request, however often it sends it.
    Asked {
        /// Who.
        client: ClientIndex,
        /// What.
        bundle: &'a Verified<Bundle>,
    },
    /// An honest client believes an answer: `f + 1` replicas gave it alike.
    Answered {
        /// Who.
        client: ClientIndex,
        /// Which request.
        number: RequestNumber,
        /// What it came to.
        outcome: &'a Outcome,
    },
    /// From now on the network keeps its bound, all honest replicas are up, and no more faults happen.
    Stabilised,
}

/// When something happened, in milliseconds of world time.
pub type When = Moment;
