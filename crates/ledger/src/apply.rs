//! Applying one request's transactions, each wholly or not at all (rules L-4 to L-7).
//!
//! Nothing in here can fail but by a [`Refusal`]: whatever a client asks for, the answer is a function of the request
//! and the state, and no replica falls over it (hazard 86). Sizes are judged before authority, authority before money,
//! and all of it before anything is written.

use alloc::vec::Vec;

use bezant_types::codec::encoded_len;
use bezant_types::genesis::Parameters;
use bezant_types::keys::Role;
use bezant_types::transaction::{Answer, Condition, Receipt, Refusal, Refused, SetAnswer};
use bezant_types::{AccountId, Amount, Digest, Operation, SequenceNumber, Transaction};

use crate::authority::{MAX_GRANTS, may_write, must_own};
use crate::integer;
use crate::item::{Item, Key};
use crate::overlay::Overlay;

/// One request in execution.
pub(crate) struct Call<'a> {
    pub(crate) overlay: &'a mut Overlay,
    pub(crate) parameters: &'a Parameters,
    pub(crate) sender: AccountId,
    pub(crate) role: Role,
    pub(crate) height: SequenceNumber,
    /// How many bytes of answers the request may still be given.
    pub(crate) budget: u64,
}

/// An entry as it stands, for judging what may be done with it.
struct Entry<'a> {
    owner: AccountId,
    grants: &'a [AccountId],
    value: &'a [u8],
}

impl Call<'_> {
    /// Applies `transaction`, or leaves everything as it was and says why.
    pub(crate) fn apply(&mut self, transaction: &Transaction) -> Receipt {
        let budget = self.budget;
        let receipt = self.steps(transaction);
        match receipt {
            Ok(_) => self.overlay.commit(),
            Err(_) => {
                self.overlay.roll_back();
                self.budget = budget;
            }
        }
        receipt
    }

    fn steps(&mut self, transaction: &Transaction) -> Receipt {
        self.admit_role(transaction)?;
        let mut answers = Vec::new();
        for (index, operation) in transaction.operations.iter().enumerate() {
            let answer = self.step(operation).and_then(|answer| self.admit_answer(answer));
            answers.push(answer.map_err(|reason| refused(index, reason))?);
        }
        self.pay_fee(transaction.fee).map_err(|reason| refused(transaction.operations.len(), reason))?;
        Ok(answers)
    }

    /// A client that may only read is refused at the first operation that could write, before any is looked at. Paying
    /// a fee is a change, too.
    fn admit_role(&self, transaction: &Transaction) -> Result<(), Refused> {
        match self.role {
            Role::Write | Role::Admin => Ok(()),
            Role::Read => {
                let operations = &transaction.operations;
                let first = operations.iter().position(Operation::writes);
                match first.or((transaction.fee != Amount::ZERO).then_some(operations.len())) {
                    None => Ok(()),
                    Some(index) => Err(refused(index, Refusal::ReadOnly)),
                }
            }
        }
    }

    fn step(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        match operation {
            Operation::Get { key } => self.get(key),
            Operation::Set { key, value, condition, answer } => self.set(key, value, *condition, *answer),
            Operation::Delete { key } => self.delete(key),
            Operation::Take { key } => self.take(key),
            Operation::Exists { key } => Ok(Answer::Flag(self.entry(&self.locate(key)?).is_some())),
            Operation::Length { key } => {
                Ok(Answer::Integer(self.entry(&self.locate(key)?).map_or(0, |entry| as_integer(entry.value.len()))))
            }
            Operation::Append { key, suffix } => self.append(key, suffix),
            Operation::Add { key, delta } => self.add(key, *delta),
            Operation::Transfer { to, amount } => self.transfer(*to, *amount),
            Operation::Balance { account } => Ok(Answer::Balance(self.overlay.balance(*account))),
            Operation::Owner { key } => Ok(Answer::Owner(self.entry(&self.locate(key)?).map(|entry| entry.owner))),
            Operation::Grant { key, to } => self.grant(key, *to),
            Operation::Revoke { key, from } => self.revoke(key, *from),
            Operation::Size => Ok(Answer::Integer(as_integer(self.overlay.totals().entries))),
            Operation::Height => Ok(Answer::Height(self.height)),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Answer, Refusal> {
        let at = self.locate(key)?;
        self.value_of(self.entry(&at))
    }

    fn set(&mut self, key: &[u8], value: &[u8], when: Condition, what: SetAnswer) -> Result<Answer, Refusal> {
        let at = self.locate(key)?;
        self.admit_value(value.len())?;
        let old = self.entry(&at);
        let wanted = match when {
            Condition::Always => true,
            Condition::IfAbsent => old.is_none(),
            Condition::IfPresent => old.is_some(),
        };
        let answer = match (what, wanted) {
            (SetAnswer::Previous, true | false) => self.value_of(self.entry(&at))?,
            (SetAnswer::Written, true) => Answer::Done,
            (SetAnswer::Written, false) => Answer::NotDone,
        };
        if wanted {
            let (owner, grants) = match old {
                None => (self.sender, Vec::new()),
                Some(entry) => {
                    may_write(self.sender, entry.owner, entry.grants)?;
                    (entry.owner, entry.grants.to_vec())
                }
            };
            self.put(at, key, Some(Item::Entry { owner, grants, value: value.to_vec() }))?;
        }
        Ok(answer)
    }

    fn delete(&mut self, key: &[u8]) -> Result<Answer, Refusal> {
        let at = self.locate(key)?;
        let Some(entry) = self.entry(&at) else { return Ok(Answer::Flag(false)) };
        may_write(self.sender, entry.owner, entry.grants)?;
        self.put(at, key, None)?;
        Ok(Answer::Flag(true))
    }

    fn take(&mut self, key: &[u8]) -> Result<Answer, Refusal> {
        let at = self.locate(key)?;
        let Some(entry) = self.entry(&at) else { return Ok(Answer::Value(None)) };
        may_write(self.sender, entry.owner, entry.grants)?;
        let answer = self.value_of(Some(entry))?;
        self.put(at, key, None)?;
        Ok(answer)
    }

    fn append(&mut self, key: &[u8], suffix: &[u8]) -> Result<Answer, Refusal> {
        let at = self.locate(key)?;
        let Some(entry) = self.entry(&at) else {
            self.admit_value(suffix.len())?;
            let (owner, grants) = (self.sender, Vec::new());
            self.put(at, key, Some(Item::Entry { owner, grants, value: suffix.to_vec() }))?;
            return Ok(Answer::Integer(as_integer(suffix.len())));
        };
        self.admit_value(entry.value.len().saturating_add(suffix.len()))?;
        may_write(self.sender, entry.owner, entry.grants)?;
        self.admit_growth(suffix.len() as u64)?;
        Ok(Answer::Integer(as_integer(self.overlay.append(&at, suffix))))
    }

    fn add(&mut self, key: &[u8], delta: i64) -> Result<Answer, Refusal> {
        let at = self.locate(key)?;
        let (owner, grants, before) = match self.entry(&at) {
            None => (self.sender, Vec::new(), 0),
            Some(entry) => {
                may_write(self.sender, entry.owner, entry.grants)?;
                let number = integer::parse(entry.value).ok_or(Refusal::NotAnInteger)?;
                (entry.owner, entry.grants.to_vec(), number)
            }
        };
        let sum = before.checked_add(delta).ok_or(Refusal::IntegerOverflow)?;
        let value = integer::format(sum);
        self.admit_value(value.len())?;
        self.put(at, key, Some(Item::Entry { owner, grants, value }))?;
        Ok(Answer::Integer(sum))
    }

    fn transfer(&mut self, to: AccountId, amount: Amount) -> Result<Answer, Refusal> {
        if to == AccountId::FEES {
            return Err(Refusal::ReservedAccount);
        }
        self.pay(to, amount)?;
        Ok(Answer::Done)
    }

    fn pay_fee(&mut self, fee: Amount) -> Result<(), Refusal> {
        if fee == Amount::ZERO { Ok(()) } else { self.pay(AccountId::FEES, fee) }
    }

    /// Moves money. The sum of all balances stays what it is.
    fn pay(&mut self, to: AccountId, amount: Amount) -> Result<(), Refusal> {
        let balance = self.overlay.balance(self.sender);
        let rest = balance.checked_sub(amount).ok_or(Refusal::Overdraft { balance, needed: amount })?;
        if to == self.sender || amount == Amount::ZERO {
            return Ok(());
        }
        let sum = self.overlay.balance(to).checked_add(amount).ok_or(Refusal::AmountOverflow)?;
        let before = self.overlay.totals().bytes;
        self.overlay.set_balance(self.sender, rest);
        self.overlay.set_balance(to, sum);
        self.admit_size(before)
    }

    fn grant(&mut self, key: &[u8], to: AccountId) -> Result<Answer, Refusal> {
        let at = self.locate(key)?;
        if to == AccountId::FEES {
            return Err(Refusal::ReservedAccount);
        }
        let entry = self.entry(&at).ok_or(Refusal::NoSuchEntry)?;
        must_own(self.sender, entry.owner)?;
        if to == entry.owner || entry.grants.binary_search(&to).is_ok() {
            return Ok(Answer::Flag(false));
        }
        if entry.grants.len() >= MAX_GRANTS {
            return Err(Refusal::TooManyGrants { limit: MAX_GRANTS as u64 });
        }
        self.admit_growth(Overlay::GRANT_BYTES)?;
        self.overlay.grant(&at, to);
        Ok(Answer::Flag(true))
    }

    fn revoke(&mut self, key: &[u8], from: AccountId) -> Result<Answer, Refusal> {
        let at = self.locate(key)?;
        let entry = self.entry(&at).ok_or(Refusal::NoSuchEntry)?;
        must_own(self.sender, entry.owner)?;
        if entry.grants.binary_search(&from).is_err() {
            return Ok(Answer::Flag(false));
        }
        self.overlay.revoke(&at, from);
        Ok(Answer::Flag(true))
    }

    /// Where a key's leaf is, if the key is short enough to be one.
    fn locate(&self, key: &[u8]) -> Result<Digest, Refusal> {
        let (found, limit) = (key.len() as u64, u64::from(self.parameters.max_key_bytes));
        if found > limit { Err(Refusal::KeyTooLong { found, limit }) } else { Ok(Key::entry_digest(key)) }
    }

    fn entry(&self, at: &Digest) -> Option<Entry<'_>> {
        match self.overlay.read(at)? {
            Item::Entry { owner, grants, value } => Some(Entry { owner: *owner, grants, value }),
            Item::Balance(_) | Item::Window { .. } => unreachable!("an entry's leaf holds an entry"),
        }
    }

    fn put(&mut self, at: Digest, key: &[u8], item: Option<Item>) -> Result<(), Refusal> {
        let before = self.overlay.totals().bytes;
        self.overlay.write(at, Key::Entry(key.to_vec()), item);
        self.admit_size(before)
    }

    fn admit_value(&self, length: usize) -> Result<(), Refusal> {
        let (found, limit) = (length as u64, u64::from(self.parameters.max_value_bytes));
        if found > limit { Err(Refusal::ValueTooLong { found, limit }) } else { Ok(()) }
    }

    /// Refuses what made the state larger than it was, and larger than agreed; shrinking is always allowed.
    fn admit_size(&self, before: u64) -> Result<(), Refusal> {
        let (now, limit) = (self.overlay.totals().bytes, self.parameters.max_state_bytes);
        if now > before && now > limit { Err(Refusal::StateFull { limit }) } else { Ok(()) }
    }

    /// [`Self::admit_size`] ahead of a write that adds `growth` bytes.
    fn admit_growth(&self, growth: u64) -> Result<(), Refusal> {
        let limit = self.parameters.max_state_bytes;
        let full = self.overlay.totals().bytes.saturating_add(growth) > limit;
        if growth > 0 && full { Err(Refusal::StateFull { limit }) } else { Ok(()) }
    }

    /// A value as an answer. Its size is judged before it is copied, or a request of many small reads of one large
    /// value would fill the memory before it is refused.
    fn value_of(&self, entry: Option<Entry<'_>>) -> Result<Answer, Refusal> {
        let Some(entry) = entry else { return Ok(Answer::Value(None)) };
        self.admit_answer_bytes(6 + entry.value.len() as u64)?;
        Ok(Answer::Value(Some(entry.value.to_vec())))
    }

    fn admit_answer(&mut self, answer: Answer) -> Result<Answer, Refusal> {
        let bytes = encoded_len(&answer) as u64;
        self.admit_answer_bytes(bytes)?;
        self.budget -= bytes;
        Ok(answer)
    }

    fn admit_answer_bytes(&self, bytes: u64) -> Result<(), Refusal> {
        let limit = self.parameters.max_reply_bytes.into();
        if bytes > self.budget { Err(Refusal::AnswerTooLarge { limit }) } else { Ok(()) }
    }
}

fn refused(index: usize, reason: Refusal) -> Refused {
    Refused { operation: u32::try_from(index).unwrap_or(u32::MAX), reason }
}

/// A size as an answer. Sizes are of things in memory and far below the range's end.
fn as_integer<N: TryInto<i64>>(size: N) -> i64 {
    size.try_into().unwrap_or(i64::MAX)
}
