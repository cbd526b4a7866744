//! The ledger: a state, and the blocks that change it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bezant_types::genesis::Parameters;
use bezant_types::keys::Role;
use bezant_types::transaction::{Refusal, Refused};
use bezant_types::{AccountId, Amount, Digest, Genesis, Outcome, Request, RequestNumber, SequenceNumber, Timestamp};

use crate::apply::Call;
use crate::audit::{BadState, audit};
use crate::item::{Item, Kept, Key};
use crate::overlay::{Overlay, Totals};
use crate::state::{Header, State};
use crate::trie::Node;
use crate::window::{self, Recall};

/// The deterministic state machine. Replicas that start from one genesis and execute the same blocks are equal.
#[derive(Clone)]
pub struct Ledger {
    rules: Arc<Rules>,
    overlay: Overlay,
    height: SequenceNumber,
    timestamp: Timestamp,
}

/// What the genesis says and no block changes.
struct Rules {
    genesis: Digest,
    parameters: Parameters,
    roles: BTreeMap<AccountId, Role>,
    supply: Amount,
}

/// What became of one request of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Who asked.
    pub client: AccountId,
    /// The client's number for the request.
    pub number: RequestNumber,
    /// The request's digest.
    pub request: Digest,
    /// What it came to: what the client is told.
    pub outcome: Arc<Outcome>,
    /// Whether this block executed it. If not, the outcome is a remembered one, or says why it never will be executed.
    pub fresh: bool,
}

impl Ledger {
    /// The ledger before the first block: height 0, with the genesis balances.
    pub fn new(genesis: &Genesis) -> Self {
        let mut overlay = Overlay::new(Node::Empty, Totals::default());
        for grant in genesis.balances() {
            overlay.set_balance(grant.account, grant.amount);
        }
        overlay.commit();
        let rules = Arc::new(Rules::new(genesis));
        Self { rules, overlay, height: SequenceNumber::ZERO, timestamp: Timestamp::ZERO }
    }

    /// The ledger as it stands in `state`, which came from a disk or from other replicas. Its root is the caller's to
    /// compare; here it is checked that execution can rely on the content.
    ///
    /// # Errors
    /// [`BadState`] names what cannot be in a state of this network.
    pub fn from_state(genesis: &Genesis, state: State) -> Result<Self, BadState> {
        let totals = audit(genesis, &state)?;
        Ok(Self {
            rules: Arc::new(Rules::new(genesis)),
            overlay: Overlay::new(state.trie().clone(), totals),
            height: state.height(),
            timestamp: state.timestamp(),
        })
    }

    /// Executes the block at `sequence`, which must be the one after the last, and says what each request came to.
    ///
    /// # Panics
    /// If `sequence` is not the next one. The host executes blocks in order, without a gap (rule L-1).
    pub fn execute(&mut self, sequence: SequenceNumber, timestamp: Timestamp, requests: &[Request]) -> Vec<Execution> {
        assert!(
            self.height < sequence && sequence == self.height.next(),
            "block {sequence} was to be executed after block {}",
            self.height
        );
        self.height = sequence;
        self.timestamp = self.timestamp.max(timestamp);
        let executions = requests.iter().map(|request| self.execute_one(request)).collect();
        assert!(self.supply_holds(), "L-6: block {sequence} made or destroyed money");
        executions
    }

    fn execute_one(&mut self, request: &Request) -> Execution {
        let (client, number, digest) = (request.client(), request.number(), request.digest());
        let done = |outcome, fresh| Execution { client, number, request: digest, outcome: Arc::new(outcome), fresh };
        // The door admits known clients only. A block that names another was not made by this network's rules; its
        // answer is the same everywhere, and it leaves no trace that would grow the state (hazard 75).
        let Some(role) = self.rules.roles.get(&client).copied() else {
            return done(refuse_all(request), false);
        };
        match window::recall(&self.overlay, self.rules.parameters.client_window, client, number, digest) {
            Recall::Known(outcome) => done(outcome, false),
            Recall::New(place) => {
                let outcome = self.apply(request, role);
                window::remember(&mut self.overlay, place, number, digest, Kept::of(&outcome));
                done(outcome, true)
            }
        }
    }

    fn apply(&mut self, request: &Request, role: Role) -> Outcome {
        let mut call = Call {
            overlay: &mut self.overlay,
            parameters: &self.rules.parameters,
            sender: request.client(),
            role,
            height: self.height,
            budget: self.rules.parameters.max_reply_bytes.into(),
        };
        Outcome::Executed(request.transactions().iter().map(|one| call.apply(one)).collect())
    }

    /// The sequence number of the last block that was executed.
    pub fn height(&self) -> SequenceNumber {
        self.height
    }

    /// The ledger's time: the latest that any block carried.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// What a retransmission of `request` is answered with: what [`Self::execute`] would answer without executing.
    /// `None` if the request is new, or its client is unknown.
    pub fn kept(&self, request: &Request) -> Option<Arc<Outcome>> {
        let client = request.client();
        self.rules.roles.get(&client)?;
        let size = self.rules.parameters.client_window;
        match window::recall(&self.overlay, size, client, request.number(), request.digest()) {
            Recall::Known(outcome) => Some(Arc::new(outcome)),
            Recall::New(_) => None,
        }
    }

    /// What `key` holds at this height.
    pub fn get(&self, key: &Key) -> Option<&Item> {
        self.overlay.read(&key.digest())
    }

    /// The state at this height, as a value. Merges what was written since the last call into the trie; costs nothing
    /// if nothing was. When it is called leaves no trace in any root (rule L-8).
    pub fn checkpoint(&mut self) -> State {
        let header = self.header();
        State::new(header, self.overlay.merge().clone())
    }

    /// Whether all balances together are what the genesis said (rule L-6). Counted along with each write, so asking is
    /// free; [`Self::execute`] asserts it after every block.
    pub fn supply_holds(&self) -> bool {
        self.overlay.totals().held == u128::from(self.rules.supply.units())
    }

    fn header(&self) -> Header {
        let totals = self.overlay.totals();
        Header {
            height: self.height,
            timestamp: self.timestamp,
            supply: self.rules.supply,
            entries: totals.entries,
            bytes: totals.bytes,
        }
    }
}

impl Rules {
    fn new(genesis: &Genesis) -> Self {
        Self {
            genesis: genesis.digest(),
            parameters: genesis.parameters().clone(),
            roles: genesis.clients().iter().map(|client| (client.key, client.role)).collect(),
            supply: genesis.supply(),
        }
    }
}

fn refuse_all(request: &Request) -> Outcome {
    let refusal = || Err(Refused { operation: 0, reason: Refusal::ReadOnly });
    Outcome::Executed(request.transactions().iter().map(|_| refusal()).collect())
}

/// Two ledgers are equal if they hold the same in the same network, however their writes were batched. For tests: it
/// merges a copy of what was written since the last checkpoint.
impl PartialEq for Ledger {
    fn eq(&self, other: &Self) -> bool {
        self.rules.genesis == other.rules.genesis && self.clone().checkpoint() == other.clone().checkpoint()
    }
}

impl Eq for Ledger {}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("genesis", &self.rules.genesis)
            .field("header", &self.header())
            .finish_non_exhaustive()
    }
}
