//! One honest replica of a small world: its core, its alarms, its log, and what an observer wrote down about it.
//!
//! What a replica does depends on nothing but its own state and what it is told, so a step of it is taken once and
//! remembered by [`Small`](super::small::Small).

use std::collections::{BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use bezant_engine::{Engine as _, Log, Now};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::packet::Message;
use bezant_pbft::record::{FORMAT, Record};
use bezant_pbft::{Block, Config, Effect, Executed, Input, Recipients, Replica, StoredBlock, Timer};
use bezant_types::{Digest, Genesis, Moment, ReplicaId, Request, SecretKey, SequenceNumber, Timestamp};

use super::judge::{Commitment, statement, vote_view};

/// What every clock shows, always.
pub(super) const NOON: Timestamp = Timestamp::new(1_000_000);
const NOW: Now = Now { wall: NOON, moment: Moment::ZERO };

/// Who a replica of a small world is.
pub(super) struct Role {
    pub(super) id: ReplicaId,
    pub(super) key: SecretKey,
    pub(super) config: Config,
}

/// What all replicas of a small world share.
pub(super) struct Group {
    pub(super) genesis: Genesis,
    pub(super) traitor: Option<ReplicaId>,
    pub(super) traitor_key: Option<SecretKey>,
    pub(super) requests: Vec<Request>,
    /// How often any replica may crash. If never, logs are not kept.
    pub(super) crashes: u8,
}

/// One replica's past.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Local {
    replica: Replica,
    pub(super) timers: BTreeSet<Timer>,
    paper: Paper,
    /// The last stable checkpoint, as its disk has it.
    saved: Option<CheckpointCertificate>,
    blocks: Vec<Stored>,
    pub(super) crashes: u8,
    /// Everything that it ever said, by digest, and to whom if not to all.
    posted: BTreeSet<(Digest, Option<ReplicaId>)>,
    /// What of it binds it.
    said: BTreeSet<Said>,
    /// What it ever committed to.
    pub(super) commits: BTreeSet<Commitment>,
    /// What it ever delivered, by sequence number from 1 on.
    pub(super) delivered: Vec<Digest>,
    roots: Vec<Digest>,
}

/// A statement by kind, view and sequence number, and what it says.
type Said = ((&'static str, u64, u64), Digest);

/// A log in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Paper {
    kept: bool,
    records: Vec<Record>,
    digest: Option<Digest>,
}

impl Hash for Paper {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl Log<Record> for Paper {
    type Error = std::convert::Infallible;

    fn append(&mut self, records: &[Record]) -> Result<(), Self::Error> {
        if self.kept {
            for record in records {
                self.digest = Some(Digest::of("bezant/sim/record", &(self.digest, FORMAT.seal(record))));
            }
            self.records.extend_from_slice(records);
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored(StoredBlock);

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.commits.hash(state);
    }
}

/// Something said in a step: to one replica, or to all others.
pub(super) type Utterance = (Message, Option<ReplicaId>);

/// What one step brings about.
pub(super) struct Step {
    pub(super) after: Local,
    pub(super) said: Vec<Utterance>,
}

impl Local {
    /// A replica at the start of its network that holds all requests.
    pub(super) fn begin(role: &Role, group: &Group) -> Result<Step, String> {
        let local = Self {
            replica: Replica::new(role.config.clone()),
            timers: BTreeSet::new(),
            paper: Paper { kept: group.crashes > 0, ..Paper::default() },
            saved: None,
            blocks: Vec::new(),
            crashes: 0,
            posted: BTreeSet::new(),
            said: BTreeSet::new(),
            commits: BTreeSet::new(),
            delivered: Vec::new(),
            roots: vec![Digest::of("bezant/sim/root", &0u8)],
        };
        local.run(role, group, [Input::Start, Input::Submit(group.requests.clone())])
    }

    /// A message arrives.
    pub(super) fn hear(&self, role: &Role, group: &Group, message: &Message) -> Result<Step, String> {
        self.clone().run(role, group, [Input::Message(message.clone())])
    }

    /// A timer runs out.
    pub(super) fn ring(&self, role: &Role, group: &Group, timer: Timer) -> Result<Step, String> {
        let mut local = self.clone();
        local.timers.remove(&timer);
        local.run(role, group, [Input::Timeout(timer)])
    }

    /// A crash, and a start from what the disk holds. Clients bring again what was not executed.
    pub(super) fn restart(&self, role: &Role, group: &Group) -> Result<Step, String> {
        let mut local = Self { crashes: self.crashes + 1, ..self.clone() };
        local.timers.clear();
        let mut replica = Replica::new(role.config.clone());
        let saved = local.saved.as_ref().map(|certificate| certificate.vote().sequence.get()).unwrap_or_default();
        if let Some(certificate) = &local.saved {
            replica.resume(certificate.clone());
        }
        let unreadable = |error| format!("replica {} cannot start from its own log: {error}", role.id);
        for record in &local.paper.records {
            replica.replay(record.clone()).map_err(unreadable)?;
        }
        let mut again = Vec::new();
        for Stored(block) in local.blocks.iter().skip(usize::try_from(saved).unwrap_or(usize::MAX)) {
            again.push(replica.replay_block(block.clone()).map_err(unreadable)?);
        }
        local.replica = replica;
        local.roots.truncate(usize::try_from(saved + 1).unwrap_or(usize::MAX));
        let mut inputs = vec![Input::Start];
        for block in again {
            inputs.push(local.execute(&block));
        }
        let executed = |request: &Request| {
            local.blocks.iter().any(|Stored(block)| block.batch.requests().contains(&request.digest()))
        };
        inputs.push(Input::Submit(group.requests.iter().filter(|one| !executed(one)).cloned().collect()));
        local.run(role, group, inputs)
    }

    /// The state after a block is a chain of what was executed.
    fn execute(&mut self, block: &Block) -> Input {
        let last = self.roots.last().expect("there is a root before the first block");
        let root = Digest::of("bezant/sim/root", &(last, block.batch.digest()));
        self.roots.push(root);
        let fate = |one: &Request| Executed { client: one.client(), number: one.number(), fresh: true };
        let executed = block.requests.iter().map(fate).collect();
        Input::Applied { sequence: block.sequence(), executed, root: block.checkpoint.then_some(root) }
    }

    fn run(mut self, role: &Role, group: &Group, inputs: impl IntoIterator<Item = Input>) -> Result<Step, String> {
        let mut inputs: VecDeque<Input> = inputs.into_iter().collect();
        let mut said = Vec::new();
        while let Some(input) = inputs.pop_front() {
            let Ok(effects) = bezant_engine::turn(&mut self.replica, &mut self.paper, NOW, [input]);
            for effect in effects {
                self.perform(role, group, effect, &mut inputs, &mut said)?;
            }
        }
        Ok(Step { after: self, said })
    }

    fn perform(
        &mut self,
        role: &Role,
        group: &Group,
        effect: Effect,
        inputs: &mut VecDeque<Input>,
        said: &mut Vec<Utterance>,
    ) -> Result<(), String> {
        match effect {
            Effect::Send(to, outgoing) => {
                let message = outgoing.sign(role.id, &role.key, group.genesis.digest());
                self.bind(role, &message)?;
                if to == Recipients::All {
                    inputs.push_back(Input::Message(message.clone()));
                }
                // Nothing is ever out of reach here, and everybody holds all requests.
                if !matches!(message, Message::Status(_) | Message::Fetch(_) | Message::Requests(_)) {
                    let whom = if let Recipients::One(one) = to { Some(one) } else { None };
                    if self.posted.insert((identity(&message), whom)) {
                        said.push((message, whom));
                    }
                }
            }
            Effect::Deliver(block) => {
                let place = SequenceNumber::new(self.delivered.len() as u64 + 1);
                if block.sequence() != place {
                    return Err(format!("replica {} delivers {} where {place} is due", role.id, block.sequence()));
                }
                self.delivered.push(block.batch.digest());
                if self.paper.kept {
                    self.blocks.push(Stored(block.to_stored()));
                }
                inputs.push_back(self.execute(&block));
            }
            Effect::SetTimer(timer, _) => {
                if matches!(timer, Timer::Progress(_) | Timer::NewView(_)) {
                    self.timers.insert(timer);
                }
            }
            Effect::CancelTimer(timer) => {
                self.timers.remove(&timer);
            }
            Effect::Stable(certificate) => {
                if self.paper.kept {
                    self.saved = Some(certificate);
                }
            }
            Effect::Accuse(member, evidence) => {
                let convicted = evidence.verify(&group.genesis.keyring());
                if Some(member) != group.traitor || convicted != Ok(member) {
                    return Err(format!("replica {} accuses {member}, and the evidence says {convicted:?}", role.id));
                }
            }
            Effect::Halt(fault) => return Err(format!("replica {} halts: {fault}", role.id)),
            Effect::FetchState(_) | Effect::Ignored(..) | Effect::Busy { .. } | Effect::Entered(_) => {}
        }
        Ok(())
    }

    /// An honest member says one thing about one matter, and nothing in a view that it has left.
    fn bind(&mut self, role: &Role, message: &Message) -> Result<(), String> {
        let Some((matter, says)) = statement(message) else { return Ok(()) };
        // What a replica passes on of others binds those.
        if signer(message) != Some(role.id) {
            return Ok(());
        }
        let left = self.said.iter().filter(|((kind, ..), _)| *kind == "view change").map(|((_, view, _), _)| *view);
        if let (Some(view), Some(left)) = (vote_view(message), left.max())
            && view < left
        {
            return Err(format!("replica {} votes in view {view} after it has asked for view {left}", role.id));
        }
        let (kind, view, sequence) = matter;
        if self.said.iter().any(|(known, said)| *known == matter && *said != says) {
            return Err(format!("replica {} contradicts its {kind} of view {view}, slot {sequence}", role.id));
        }
        self.said.insert((matter, says));
        if let Message::Commit(vote) = message {
            let m = vote.message();
            self.commits.insert((m.view.get(), m.sequence.get(), m.digest));
        }
        Ok(())
    }
}

/// What tells a message from all others.
pub(super) fn identity(message: &Message) -> Digest {
    Digest::of_bytes(&message.to_packet().encode())
}

/// The replica that signed a message, if one did.
pub(super) fn signer(message: &Message) -> Option<ReplicaId> {
    crate::adversary::signer(message)
}
