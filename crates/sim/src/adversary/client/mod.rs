//! Clients that lie or push. Any number of clients may be malicious.
//!
//! A corrupted client has its own key, a connection to every replica and nothing else. It sends what it likes, signed
//! or not, to whom it likes. Its bandwidth is the world's to bound.

mod flooding_client;
mod lying_client;

use std::fmt;
use std::str::FromStr;

use bezant_pbft::message::Reply;
use bezant_types::{
    AccountId, Bundle, Digest, Genesis, Moment, Operation, ReplicaId, RequestNumber, SecretKey, Signed, Transaction,
    Verified,
};

pub use self::flooding_client::FloodingClient;
pub use self::lying_client::LyingClient;
use crate::dice::Dice;

/// A bundle on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// To whom.
    pub to: ReplicaId,
    /// What. Nothing about it need hold.
    pub bundle: Signed<Bundle>,
    /// When, in milliseconds from now.
    pub after_ms: u64,
}

/// What a corrupted client holds: its key, a clock, dice; and what it has decided to send.
#[derive(Clone, Debug)]
pub struct Schemer {
    key: SecretKey,
    genesis: Genesis,
    /// The digest of the genesis.
    network: Digest,
    /// What its clock shows.
    pub now: Moment,
    /// Its randomness.
    pub dice: Dice,
    sendings: Vec<Sending>,
}

impl Schemer {
    /// A client with this key.
    pub fn new(key: SecretKey, genesis: Genesis, dice: Dice) -> Self {
        Self { key, network: genesis.digest(), genesis, now: Moment::ZERO, dice, sendings: Vec::new() }
    }

    /// Who it is.
    pub fn account(&self) -> AccountId {
        self.key.account()
    }

    /// The network.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// All replicas.
    pub fn replicas(&self) -> Vec<ReplicaId> {
        self.genesis.committee().members().collect()
    }

    /// Signs as itself: the only key it holds.
    pub fn sign(&self, bundle: Bundle) -> Signed<Bundle> {
        Verified::sign(bundle, self.account(), &self.key, self.network).into_signed()
    }

    /// Sends something, now.
    pub fn send(&mut self, to: ReplicaId, bundle: Signed<Bundle>) {
        self.sendings.push(Sending { to, bundle, after_ms: 0 });
    }

    /// Sends something later.
    pub fn send_later(&mut self, after_ms: u64, to: ReplicaId, bundle: Signed<Bundle>) {
        self.sendings.push(Sending { to, bundle, after_ms });
    }

    /// What it has decided to send since this was last asked.
    pub fn take_sendings(&mut self) -> Vec<Sending> {
        std::mem::take(&mut self.sendings)
    }
}

/// A way for a client to misbehave.
pub trait CorruptedClient: Send {
    /// [`super::TICK_MS`] have passed.
    fn on_tick(&mut self, me: &mut Schemer);

    /// A replica has answered.
    fn on_reply(&mut self, me: &mut Schemer, from: ReplicaId, reply: &Reply) {
        let _ = (me, from, reply);
    }
}

/// One transaction that lengthens an entry of the client's own by this text.
fn append(number: RequestNumber, text: &[u8]) -> Bundle {
    let operation = Operation::Append { key: b"scheme".to_vec(), suffix: text.to_vec() };
    Bundle { number, transactions: vec![Transaction::single(operation)] }
}

/// A kind of corrupted client.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What people type.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// Which hazards it plays.
    pub hazards: &'static [u8],
    build: fn() -> Box<dyn CorruptedClient>,
}

impl Kind {
    /// One of this kind, with the usual parameters.
    pub fn build(&self) -> Box<dyn CorruptedClient> {
        (self.build)()
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({})", self.name)
    }
}

/// There is no corrupted client of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no corrupted client {name:?}: choose one of {}", names().join(", "))]
pub struct UnknownKind {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = ALL.iter().find(|kind| kind.name == name);
        found.copied().ok_or_else(|| UnknownKind { name: name.to_owned() })
    }
}

/// All kinds of corrupted clients.
pub fn all() -> &'static [Kind] {
    &ALL
}

/// What people may type.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|kind| kind.name).collect()
}

static ALL: [Kind; 2] = [
    Kind {
        name: "lying",
        description: "sends different requests under one number to different replicas, bad signatures, numbers out of \
                      season, and nothing to the primary",
        hazards: &[13, 72, 73, 74, 76],
        build: || Box::new(LyingClient::new()),
    },
    Kind {
        name: "flooding",
        description: "sends as much as it can to some of the replicas",
        hazards: &[75, 80, 81],
        build: || Box::new(FloodingClient::new(64, 4 << 10)),
    },
];

#[cfg(test)]
mod tests {
    use super::super::tests::{Stage, client_key};
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_those_that_there_are() {
        let error = "polite".parse::<Kind>().unwrap_err().to_string();
        assert_eq!(error, "there is no corrupted client \"polite\": choose one of lying, flooding");
        assert_eq!("lying".parse::<Kind>().unwrap().name, "lying");
    }

    #[test]
    fn the_same_seed_schemes_the_same() {
        let stage = Stage::new(4);
        for kind in all() {
            let play = || {
                let mut me = Schemer::new(client_key(0), stage.genesis().clone(), Dice::new(9));
                let mut client = kind.build();
                (0..20).for_each(|_| client.on_tick(&mut me));
                me.take_sendings()
            };
            assert!(!play().is_empty() && play() == play(), "{}", kind.name);
        }
    }
}
