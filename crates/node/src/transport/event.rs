//! What the transport tells the host, and the words for why something ended.

use std::fmt;
use std::time::Instant;

use bezant_types::{AccountId, Digest, ReplicaId};
use bytes::Bytes;

/// One connection, unique within one mesh for as long as its process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Who sent a frame: the owner of the key that the channel authenticated, never a field of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum From {
    /// A member.
    Replica(ReplicaId),
    /// A known client, on one of its connections. All connections of a client are one identity: they share one
    /// budget, and nothing may be counted by connection (hazard 77).
    Client(AccountId, ConnectionId),
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(id) => write!(f, "replica {id}"),
            Self::Client(account, connection) => write!(f, "client {} (connection {connection})", short(account)),
        }
    }
}

/// What arrives at the host.
#[derive(Debug)]
pub enum Event {
    /// A frame, whole, in the order in which this sender sent it on this connection.
    Frame {
        /// Who sent it.
        from: From,
        /// Its payload, never empty. The sender's budget is held until the last reference to these bytes is dropped.
        bytes: Bytes,
    },
    /// What is sent to this one from now on has a way. For a replica: the connection that we dialled is up.
    Connected(From),
    /// What is sent to this one waits in its queue (a replica), or is forgotten (a client).
    Disconnected(From, Reason),
}

/// Why a connection ended or never came to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The peer closed it.
    #[error("closed by the peer")]
    Closed,
    /// This side is shutting down.
    #[error("this node is shutting down")]
    ShutDown,
    /// The same member connected again.
    #[error("replaced by a newer connection of the same replica; if this goes on, two processes use one key")]
    Replaced,
    /// Nothing came for too long, not even an empty frame.
    #[error("no sign of life for {0} ms")]
    Silent(u128),
    /// The handshake took too long.
    #[error("the handshake took more than {0} ms")]
    SlowHandshake(u128),
    /// The frame's length prefix alone was reason enough.
    #[error("announced a frame of {found} bytes, at most {limit} are allowed")]
    TooLarge {
        /// What was announced.
        found: usize,
        /// What is allowed of this peer in this direction.
        limit: usize,
    },
    /// The peer closed in the middle of a frame or handshake.
    #[error("closed by the peer in the middle of a frame")]
    Truncated,
    /// We do not want this peer, and told it so.
    #[error("{0}")]
    Unwelcome(Refusal),
    /// The peer does not want us, in its own words, bounded and escaped.
    #[error("refused: {0}")]
    Refused(String),
    /// The peer does not speak our TLS.
    #[error("no Bezant channel: {0}")]
    Channel(String),
    /// The operating system failed us.
    #[error("{0}")]
    Io(String),
}

impl Reason {
    pub(super) fn io(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Self::Truncated
        } else if error.kind() == std::io::ErrorKind::InvalidData {
            Self::Channel(error.to_string())
        } else {
            Self::Io(error.to_string())
        }
    }
}

/// Why a peer that proved its key is turned away. These words travel to it: "theirs" is the reader's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not start with our magic.
    #[error("the greeting is malformed: this is not a Bezant node of a known version")]
    Malformed,
    /// Another version of the protocol.
    #[error("other protocol version (theirs {theirs}, ours {ours}): run the same release everywhere")]
    OtherVersion {
        /// The peer's.
        theirs: u16,
        /// Ours.
        ours: u16,
    },
    /// Another network, or other parameters.
    #[error(
        "other genesis (theirs {}, ours {}): give all nodes the same genesis.toml",
        prefix(theirs.as_bytes()),
        prefix(ours.as_bytes())
    )]
    OtherGenesis {
        /// The peer's.
        theirs: Digest,
        /// Ours.
        ours: Digest,
    },
    /// A key that the genesis does not name.
    #[error("the key {0} is neither a replica's nor a client's in this genesis")]
    Stranger(AccountId),
    /// It says that it is somebody, and holds somebody else's key.
    #[error("claims to be {claim}, but holds the key of {holder}")]
    OtherIdentity {
        /// Who it says it is.
        claim: String,
        /// Whose key it proved to hold.
        holder: String,
    },
    /// We dialled one replica and reached another node.
    #[error("{expected} was expected at this address, and {found} answers: compare the addresses with the genesis")]
    OtherReplica {
        /// Who was dialled.
        expected: String,
        /// Who answered.
        found: String,
    },
    /// Our own key, from outside.
    #[error("this is the key of the very node that it speaks to: no two processes may use one key")]
    Oneself,
    /// This client is here often enough.
    #[error("this client already has {0} connections, the most allowed: close one or share it")]
    TooManyConnections(usize),
    /// There are clients enough.
    #[error("this node already serves {0} client connections, the most allowed: try again later")]
    Crowded(usize),
    /// Client connections are not served by a client.
    #[error("this node serves no clients")]
    NoClients,
}

/// How the connection to one replica is doing.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Which replica.
    pub id: ReplicaId,
    /// Where it is dialled, `host:port`.
    pub address: String,
    /// Whether the connection that we dialled, on which we send, is up.
    pub connected: bool,
    /// Since when that has been so.
    pub since: Instant,
    /// Whether its connection to us, on which we hear it, is up. For a client, which hears on the connection that it
    /// dialled, the same as `connected`.
    pub heard: bool,
    /// Bytes that wait to be sent.
    pub queued_bytes: usize,
    /// Frames that were dropped because its queue was full, since the start.
    pub dropped_frames: u64,
    /// Why the last connection ended, or the last attempt failed.
    pub last_error: Option<String>,
}

/// The start of a key or digest, for a person.
pub(super) fn prefix(bytes: &[u8]) -> String {
    format!("{}…", hex::encode(bytes.get(..4).unwrap_or(bytes)))
}

pub(super) fn short(account: &AccountId) -> String {
    prefix(account.as_bytes())
}
