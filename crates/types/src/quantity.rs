//! Numbers with a meaning, each a type of its own.
//!
//! None has `From<u64>`: whoever makes one says which kind it is. Arithmetic is checked or saturating and says so in
//! its name; nothing here can wrap.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::digest::parse_hex;

/// Declares a counter: a `u64` that only moves forward, one step at a time.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(u64);

        impl $name {
            /// The first value.
            pub const ZERO: Self = Self(0);
            /// The last value. There is nothing after it.
            pub const MAX: Self = Self(u64::MAX);

            /// Names `value` as a quantity of this kind.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The bare number, for printing and for arithmetic across kinds.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The one after this, or the last value if there is none.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The one `steps` after this, or the last value.
            #[must_use]
            pub const fn saturating_add(self, steps: u64) -> Self {
                Self(self.0.saturating_add(steps))
            }

            /// The one `steps` before this, or the first value.
            #[must_use]
            pub const fn saturating_sub(self, steps: u64) -> Self {
                Self(self.0.saturating_sub(steps))
            }

            /// How many steps lead from `earlier` to this; zero if `earlier` is not earlier.
            pub const fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter! {
    /// A view: a period in which one replica is the primary (Castro and Liskov 1999, section 4).
    View
}
counter! {
    /// A place in the order of batches. The first batch has sequence number 1; 0 is the genesis state.
    SequenceNumber
}
counter! {
    /// A client's number for one of its requests. Each number is executed at most once.
    RequestNumber
}
counter! {
    /// Milliseconds since the Unix epoch, by somebody's wall clock. Never used for timers.
    Timestamp
}
counter! {
    /// Milliseconds on some monotonic clock, whose zero means nothing. For timers; never signed, sent or stored.
    Moment
}

/// The place of a replica in the genesis list; replica `i` is the primary of every view `v` with `v mod n = i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct ReplicaId(u16);

impl ReplicaId {
    /// Names `index` as a replica.
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The bare number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The position in lists that are ordered by replica.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An account: the Ed25519 public key that signs for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct AccountId([u8; 32]);

impl AccountId {
    /// The account that fees are paid into. No private key is known for this encoding (it is not a point of the
    /// curve), so nobody can sign for it.
    pub const FEES: Self = {
        let mut not_a_point = [0; 32];
        not_a_point[0] = 2;
        Self(not_a_point)
    };

    /// The account of a public key.
    pub const fn new(public_key: [u8; 32]) -> Self {
        Self(public_key)
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = hex::encode(&self.0[..4]);
        write!(f, "AccountId({text}…)")
    }
}

impl FromStr for AccountId {
    type Err = crate::digest::NotHex;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text).map(Self)
    }
}

/// An amount of the ledger's one currency, in its smallest unit. No operation on it can wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Names `units` as an amount.
    pub const fn new(units: u64) -> Self {
        Self(units)
    }

    /// The number of smallest units.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The sum, or `None` if it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` if `other` is larger.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The sum of all, or `None` if it does not fit.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_amount_never_wraps() {
        assert_eq!(Amount::new(u64::MAX).checked_add(Amount::new(1)), None);
        assert_eq!(Amount::ZERO.checked_sub(Amount::new(1)), None);
        assert_eq!(Amount::checked_sum([Amount::new(u64::MAX), Amount::new(1)]), None);
        assert_eq!(Amount::checked_sum([Amount::new(2), Amount::new(3)]), Some(Amount::new(5)));
    }

    #[test]
    fn a_counter_stops_at_its_last_value() {
        assert_eq!(View::MAX.next(), View::MAX);
        assert_eq!(SequenceNumber::ZERO.saturating_sub(1), SequenceNumber::ZERO);
        assert_eq!(SequenceNumber::new(3).since(SequenceNumber::new(5)), 0);
    }

    #[test]
    fn an_account_prints_as_what_it_parses_from() {
        let account = AccountId::new([7; 32]);
        assert_eq!(account.to_string().parse(), Ok(account));
        assert!("07".parse::<AccountId>().is_err());
        assert!("zz".repeat(32).parse::<AccountId>().is_err());
    }
}
