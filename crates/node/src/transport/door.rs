//! The greeting: who may come in, decided inside the channel and before the first frame.
//!
//! **The adversary** holds some key, perhaps a member's of another network, and wants to be taken for a member of this
//! one; or it redirects an honest node's connection to another honest node; or it replays and reflects.
//!
//! Each side sends a hello (magic, version, genesis digest, who it is) and then a verdict on the other's hello:
//! welcome, or a refusal in words. Only when both are welcome does the connection carry frames.
//!
//! # What is bound to what (hazard 91)
//!
//! The hello travels inside a TLS 1.3 channel whose keys are derived from a transcript that both sides signed with the
//! keys that [`super::tls`] reports. So the channel binds both keys; the hello, under the channel's encryption, binds
//! version, genesis and role to them; and the genesis says whose the keys are. A separate exporter value would repeat
//! what the record protection already says. In detail:
//!
//! * *Redirection*: a dialer knows which replica it wants and refuses every other key, its own included.
//! * *Reflection*: the two directions of a channel have different keys, and a node refuses its own key.
//! * *Replay across connections*: each has fresh keys; there is no resumption and no early data.
//! * *Downgrade*: there is one version of TLS, and the first refused hello ends the connection. No plaintext is
//!   accepted.
//! * *Impersonation by claim*: the claim in the hello decides nothing. It is compared with the key to give a clear
//!   error; what counts from here on is the key (hazard 7).
//!
//! # Stability
//!
//! The first six bytes of a hello and the whole verdict stay as they are in all versions, so that two versions can tell
//! each other that they do not fit.

use std::fmt;

use bezant_types::codec::{DecodeError, Format};
use bezant_types::{AccountId, Digest, Keyring, ReplicaId};
use borsh::{BorshDeserialize, BorshSerialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::event::{Reason, Refusal, short};

/// Raised with each change of anything that nodes say to each other.
const HELLO: Format = Format { magic: *b"BZHI", version: 1 };
const MAX_HELLO: usize = 256;
const MAX_VERDICT: usize = 512;

/// What a node says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Hello {
    /// Its network.
    pub(super) genesis: Digest,
    /// Who it says it is.
    pub(super) who: Party,
}

/// A role in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Party {
    /// A member.
    Replica(ReplicaId),
    /// A client, whoever's key it is.
    Client,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(id) => write!(f, "replica {id}"),
            Self::Client => f.write_str("a client"),
        }
    }
}

/// Whom the genesis knows by the key that the channel authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Replica(ReplicaId),
    Client(AccountId),
}

/// What a node judges a hello by.
#[derive(Clone, Debug)]
pub(super) struct Doorkeeper {
    pub(super) keyring: Keyring,
    pub(super) me: Party,
    pub(super) my_key: AccountId,
}

impl Doorkeeper {
    /// The hello of this node.
    pub(super) fn hello(&self) -> Vec<u8> {
        HELLO.seal(&Hello { genesis: self.keyring.genesis(), who: self.me })
    }

    /// Says who a peer is that accepted connections are offered to: any other member, any known client.
    pub(super) fn judge_any(&self, key: AccountId, hello: &[u8]) -> Result<Identity, Refusal> {
        let hello = self.open(hello)?;
        if key == self.my_key {
            return Err(Refusal::Oneself);
        }
        let identity = self.identity(key).ok_or(Refusal::Stranger(key))?;
        check_claim(hello.who, identity)?;
        Ok(identity)
    }

    /// Checks that the peer is the replica that was dialled.
    pub(super) fn judge_replica(&self, expected: ReplicaId, key: AccountId, hello: &[u8]) -> Result<(), Refusal> {
        let hello = self.open(hello)?;
        let found = match self.identity(key) {
            Some(Identity::Replica(id)) if id == expected => return check_claim(hello.who, Identity::Replica(id)),
            Some(Identity::Replica(id)) if key == self.my_key => format!("replica {id}, which is the caller itself,"),
            Some(Identity::Replica(id)) => format!("replica {id}"),
            Some(Identity::Client(account)) => format!("client {}", short(&account)),
            None => format!("the unknown key {}", short(&key)),
        };
        Err(Refusal::OtherReplica { expected: format!("replica {expected}"), found })
    }

    fn open(&self, bytes: &[u8]) -> Result<Hello, Refusal> {
        let hello: Hello = HELLO.open(bytes, MAX_HELLO).map_err(|error| match error {
            DecodeError::WrongVersion { found, expected } => Refusal::OtherVersion { theirs: found, ours: expected },
            DecodeError::TooLarge { .. } | DecodeError::Malformed | DecodeError::WrongMagic { .. } => {
                Refusal::Malformed
            }
        })?;
        let ours = self.keyring.genesis();
        if hello.genesis != ours {
            return Err(Refusal::OtherGenesis { theirs: hello.genesis, ours });
        }
        Ok(hello)
    }

    fn identity(&self, key: AccountId) -> Option<Identity> {
        match self.keyring.replica_of(key) {
            Some(id) => Some(Identity::Replica(id)),
            None => self.keyring.role(key).map(|_| Identity::Client(key)),
        }
    }
}

fn check_claim(claim: Party, identity: Identity) -> Result<(), Refusal> {
    let holder = match identity {
        Identity::Replica(id) => Party::Replica(id),
        Identity::Client(_) => Party::Client,
    };
    if claim == holder {
        return Ok(());
    }
    Err(Refusal::OtherIdentity { claim: claim.to_string(), holder: holder.to_string() })
}

/// Greets: sends `hello`, judges the peer's, exchanges verdicts. The same code on both sides.
///
/// A refused peer's own verdict is awaited before the connection is dropped: closing a socket with unread input resets
/// it, and the reset could overtake the words of the refusal.
pub(super) async fn greet<S, T>(
    stream: &mut S,
    hello: &[u8],
    judge: impl FnOnce(&[u8]) -> Result<T, Refusal>,
) -> Result<T, Reason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send(stream, hello).await?;
    let judged = judge(&receive(stream, MAX_HELLO).await?);
    send(stream, &verdict(judged.as_ref().err())).await?;
    let theirs = receive(stream, MAX_VERDICT).await;
    let admitted = judged.map_err(Reason::Unwelcome);
    match theirs.as_deref() {
        Ok([WELCOME]) => admitted,
        // If both refuse, the peer's words are the ones that are not yet known here.
        Ok([REFUSED, words @ ..]) => Err(Reason::Refused(readable(words))),
        Ok(_) => admitted.and(Err(Reason::Unwelcome(Refusal::Malformed))),
        Err(reason) => admitted.and(Err(reason.clone())),
    }
}

fn verdict(refusal: Option<&Refusal>) -> Vec<u8> {
    let Some(refusal) = refusal else { return vec![WELCOME] };
    let mut bytes = vec![REFUSED];
    bytes.extend(refusal.to_string().bytes().take(MAX_VERDICT - 1));
    bytes
}

/// A peer's words, fit for a log: bounded by the frame they came in, and of printable characters only. Anything else
/// could rewrite a terminal, or turn the line around.
fn readable(words: &[u8]) -> String {
    let harmless = |char: char| char == ' ' || char == '…' || char.is_ascii_graphic();
    String::from_utf8_lossy(words).chars().map(|char| if harmless(char) { char } else { '\u{fffd}' }).collect()
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), Reason> {
    let length = u32::try_from(bytes.len()).expect("greetings are short");
    let frame = [&length.to_le_bytes(), bytes].concat();
    stream.write_all(&frame).await.map_err(|error| Reason::io(&error))?;
    stream.flush().await.map_err(|error| Reason::io(&error))
}

async fn receive<S: AsyncRead + Unpin>(stream: &mut S, limit: usize) -> Result<Vec<u8>, Reason> {
    let found = stream.read_u32_le().await.map_err(|error| Reason::io(&error))? as usize;
    if found > limit {
        return Err(Reason::TooLarge { found, limit });
    }
    let mut bytes = vec![0; found];
    stream.read_exact(&mut bytes).await.map_err(|error| Reason::io(&error))?;
    Ok(bytes)
}

const WELCOME: u8 = 0;
const REFUSED: u8 = 1;

#[cfg(test)]
mod tests {
    use bezant_types::SecretKey;
    use bezant_types::keys::Role;
    use tokio::io::duplex;

    use super::*;

    fn key(seed: u8) -> AccountId {
        SecretKey::from_seed([seed; 32]).account()
    }

    fn keeper(genesis: u8, me: u8) -> Doorkeeper {
        let replicas = (0..4).map(key);
        let keyring = Keyring::new(Digest::new([genesis; 32]), replicas, [(key(9), Role::Write)]).unwrap();
        let party = if me < 4 { Party::Replica(ReplicaId::new(me.into())) } else { Party::Client };
        Doorkeeper { keyring, me: party, my_key: key(me) }
    }

    #[test]
    fn members_and_known_clients_are_recognised_by_their_keys() {
        let door = keeper(1, 0);
        assert_eq!(door.judge_any(key(2), &keeper(1, 2).hello()), Ok(Identity::Replica(ReplicaId::new(2))));
        assert_eq!(door.judge_any(key(9), &keeper(1, 9).hello()), Ok(Identity::Client(key(9))));
        assert_eq!(keeper(1, 9).judge_replica(ReplicaId::new(0), key(0), &door.hello()), Ok(()));
    }

    #[test]
    fn everybody_else_is_refused_by_name() {
        let door = keeper(1, 0);
        let refusal = |holder: u8, hello: Vec<u8>| door.judge_any(key(holder), &hello).unwrap_err().to_string();
        let mut newer = keeper(1, 2).hello();
        newer[4] = 2;
        let mut foreign = keeper(1, 2).hello();
        foreign[0] = b'X';
        let mut longer = keeper(1, 2).hello();
        longer.push(0);
        let cases = [
            (refusal(7, keeper(1, 9).hello()), "neither a replica's nor a client's"),
            (refusal(2, keeper(2, 2).hello()), "other genesis (theirs 02020202…, ours 01010101…)"),
            (refusal(2, newer), "other protocol version (theirs 2, ours 1)"),
            (refusal(2, foreign), "malformed"),
            (refusal(2, longer), "malformed"),
            (refusal(2, Vec::new()), "malformed"),
            (refusal(2, keeper(1, 1).hello()), "claims to be replica 1, but holds the key of replica 2"),
            (refusal(9, keeper(1, 1).hello()), "claims to be replica 1, but holds the key of a client"),
            (refusal(2, keeper(1, 9).hello()), "claims to be a client, but holds the key of replica 2"),
            (refusal(0, keeper(1, 0).hello()), "no two processes may use one key"),
        ];
        for (found, words) in cases {
            assert!(found.contains(words), "{found:?} is without {words:?}");
        }
    }

    #[test]
    fn a_dialer_refuses_every_key_but_the_one_it_wants() {
        let dialer = keeper(1, 0);
        let refusal = |holder: u8, hello: &Doorkeeper| {
            dialer.judge_replica(ReplicaId::new(1), key(holder), &hello.hello()).unwrap_err().to_string()
        };
        let cases = [
            (refusal(2, &keeper(1, 2)), "replica 1 was expected at this address, and replica 2 answers"),
            // The hello claims what is wanted, the key says otherwise.
            (refusal(2, &keeper(1, 1)), "replica 2 answers"),
            (refusal(0, &keeper(1, 0)), "the caller itself"),
            (refusal(9, &keeper(1, 9)), "client"),
            (refusal(7, &keeper(1, 1)), "the unknown key"),
            (refusal(1, &keeper(1, 2)), "claims to be replica 2, but holds the key of replica 1"),
            (refusal(1, &keeper(2, 1)), "other genesis"),
        ];
        for (found, words) in cases {
            assert!(found.contains(words), "{found:?} is without {words:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_travels_to_the_refused() {
        let (mut left, mut right) = duplex(4096);
        let (ours, theirs) = (keeper(1, 0), keeper(2, 1));
        let (our_hello, their_hello) = (ours.hello(), theirs.hello());
        let (at_door, outside) = tokio::join!(
            greet(&mut left, &our_hello, |hello| ours.judge_any(key(1), hello)),
            greet(&mut right, &their_hello, |_| Ok(())),
        );
        assert!(matches!(at_door, Err(Reason::Unwelcome(Refusal::OtherGenesis { .. }))), "{at_door:?}");
        let words = outside.unwrap_err().to_string();
        assert_eq!(
            words,
            "refused: other genesis (theirs 02020202…, ours 01010101…): give all nodes the same genesis.toml"
        );
    }

    #[tokio::test]
    async fn a_greeting_of_an_unbounded_length_is_not_read() {
        let (mut left, mut right) = duplex(4096);
        right.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
        let greeted = greet(&mut left, b"hello", |_| Ok(())).await;
        assert_eq!(greeted, Err(Reason::TooLarge { found: u32::MAX as usize, limit: MAX_HELLO }));
    }

    #[tokio::test]
    async fn a_refusal_cannot_write_to_the_terminal() {
        let (mut left, mut right) = duplex(4096);
        let hostile = async {
            send(&mut right, b"hello").await.unwrap();
            send(&mut right, "\u{1}go\u{1b}[2Jaway\u{202e}\n".as_bytes()).await.unwrap();
        };
        let (greeted, ()) = tokio::join!(greet(&mut left, b"hello", |_| Ok(())), hostile);
        assert_eq!(greeted, Err(Reason::Refused("go\u{fffd}[2Jaway\u{fffd}\u{fffd}".into())));
    }

    proptest::proptest! {
        #[test]
        fn no_hello_makes_a_panic_and_only_the_right_one_is_let_in(
            position in 0usize..42,
            value: u8,
            length in 0usize..60,
        ) {
            let (door, good) = (keeper(1, 0), keeper(1, 2).hello());
            let mut hello = good.clone();
            hello.resize(length, value);
            if let Some(byte) = hello.get_mut(position) {
                *byte = value;
            }
            proptest::prop_assert_eq!(door.judge_any(key(2), &hello).is_ok(), hello == good);
        }
    }

    #[test]
    fn the_hello_has_the_bytes_that_version_1_has() {
        let bytes = keeper(1, 2).hello();
        let expected = format!("425a48490100{}000200", "01".repeat(32));
        assert_eq!(hex::encode(&bytes), expected, "a change of the hello is a new protocol version");
        assert!(bytes.len() < MAX_HELLO);
    }
}
