//! The ledger as a client may imagine it: entries with owners, and balances. Written from the operations' description,
//! not from the ledger's code.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bezant_types::keys::Role;
use bezant_types::transaction::{Answer, Condition, Receipt, Refusal, Refused, SetAnswer};
use bezant_types::{AccountId, Amount, Operation, Transaction};

/// Something that operations can be about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    Entry(Vec<u8>),
    /// All balances: a transfer touches two, and a sum of them must hold.
    Money,
}

/// What transactions are about.
pub(super) fn touched(transactions: &[Transaction]) -> Vec<Thing> {
    let operations = transactions.iter().flat_map(|one| &one.operations).filter_map(touched_by);
    let fees = transactions.iter().filter(|one| one.fee != Amount::ZERO).map(|_| Thing::Money);
    let mut things: Vec<Thing> = operations.chain(fees).collect();
    things.sort();
    things.dedup();
    things
}

/// What an operation is about.
pub(super) fn touched_by(operation: &Operation) -> Option<Thing> {
    match operation {
        Operation::Get { key }
        | Operation::Set { key, .. }
        | Operation::Delete { key }
        | Operation::Take { key }
        | Operation::Exists { key }
        | Operation::Length { key }
        | Operation::Append { key, .. }
        | Operation::Add { key, .. }
        | Operation::Owner { key }
        | Operation::Grant { key, .. }
        | Operation::Revoke { key, .. } => Some(Thing::Entry(key.clone())),
        Operation::Transfer { .. } | Operation::Balance { .. } => Some(Thing::Money),
        // What they answer depends on everything, and is not judged.
        Operation::Size | Operation::Height => None,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    owner: AccountId,
    value: Vec<u8>,
}

/// A copy of the part of the ledger that a group of requests is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Model {
    entries: BTreeMap<Vec<u8>, Entry>,
    balances: BTreeMap<AccountId, u64>,
    /// If only one account's balance is known: whatever others pay, they have.
    only: Option<AccountId>,
    /// How many bytes a value has at most.
    longest: u64,
}

/// What the model knows of an answer.
enum Expected {
    Exactly(Answer),
    Anything,
}

impl Model {
    pub(super) fn new(balances: BTreeMap<AccountId, u64>, longest: u64) -> Self {
        Self { entries: BTreeMap::new(), balances, only: None, longest }
    }

    /// A copy that knows no balances and no entries.
    pub(super) fn of_nothing(&self) -> Self {
        Self::new(BTreeMap::new(), self.longest)
    }

    /// A copy that knows no other account's balance, and no entries.
    pub(super) fn of_one_balance(&self, account: AccountId) -> Self {
        let balances = BTreeMap::from([(account, self.balance(account).units())]);
        Self { only: Some(account), ..Self::new(balances, self.longest) }
    }

    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Executes a request, and says whether it comes to what the client was told, if it was told anything.
    pub(super) fn execute(
        &mut self,
        sender: AccountId,
        role: Role,
        transactions: &[Transaction],
        told: Option<&[Receipt]>,
    ) -> bool {
        let mut as_told = told.is_none_or(|told| told.len() == transactions.len());
        for (index, transaction) in transactions.iter().enumerate() {
            let receipt = self.apply(sender, role, transaction);
            as_told = as_told && told.is_none_or(|told| agrees(&receipt, &told[index]));
        }
        as_told
    }

    /// All of a transaction or nothing.
    fn apply(
        &mut self,
        sender: AccountId,
        role: Role,
        Transaction { fee, operations }: &Transaction,
    ) -> Result<Vec<Expected>, Refused> {
        let refused =
            |index: usize| move |reason| Refused { operation: u32::try_from(index).unwrap_or(u32::MAX), reason };
        if role == Role::Read {
            let first = operations.iter().position(Operation::writes);
            if let Some(index) = first.or((*fee != Amount::ZERO).then_some(operations.len())) {
                return Err(refused(index)(Refusal::ReadOnly));
            }
        }
        let before = (operations.len() > 1 || *fee != Amount::ZERO).then(|| self.clone());
        let mut answers = Vec::with_capacity(operations.len());
        let result = operations.iter().enumerate().try_for_each(|(index, operation)| {
            answers.push(self.step(sender, operation).map_err(refused(index))?);
            Ok(())
        });
        let paid = result.and_then(|()| match *fee {
            Amount::ZERO => Ok(()),
            fee => self.pay(sender, AccountId::FEES, fee).map_err(refused(operations.len())),
        });
        match (paid, before) {
            (Ok(()), _) => Ok(answers),
            (Err(refused), before) => {
                if let Some(before) = before {
                    *self = before;
                }
                Err(refused)
            }
        }
    }

    fn step(&mut self, sender: AccountId, operation: &Operation) -> Result<Expected, Refusal> {
        let value = |entry: Option<&Entry>| Answer::Value(entry.map(|entry| entry.value.clone()));
        let answer = match operation {
            Operation::Get { key } => value(self.entries.get(key)),
            Operation::Exists { key } => Answer::Flag(self.entries.contains_key(key)),
            Operation::Length { key } => Answer::Integer(self.entries.get(key).map_or(0, |one| length(&one.value))),
            Operation::Owner { key } => Answer::Owner(self.entries.get(key).map(|entry| entry.owner)),
            Operation::Set { key, value: new, condition, answer } => {
                self.admit(new.len())?;
                let old = self.entries.get(key);
                let writes = match condition {
                    Condition::Always => true,
                    Condition::IfAbsent => old.is_none(),
                    Condition::IfPresent => old.is_some(),
                };
                let told = match answer {
                    SetAnswer::Previous => value(old),
                    SetAnswer::Written if writes => Answer::Done,
                    SetAnswer::Written => Answer::NotDone,
                };
                if writes {
                    self.owned(sender, key)?.value.clone_from(new);
                }
                told
            }
            Operation::Delete { key } => Answer::Flag(self.remove(sender, key)?.is_some()),
            Operation::Take { key } => Answer::Value(self.remove(sender, key)?.map(|entry| entry.value)),
            Operation::Append { key, suffix } => {
                self.admit(self.entries.get(key).map_or(0, |one| one.value.len()) + suffix.len())?;
                let entry = self.owned(sender, key)?;
                entry.value.extend_from_slice(suffix);
                Answer::Integer(length(&entry.value))
            }
            Operation::Add { key, delta } => {
                let absent = !self.entries.contains_key(key);
                let before = if absent { 0 } else { number(&self.owned(sender, key)?.value)? };
                let sum = before.checked_add(*delta).ok_or(Refusal::IntegerOverflow)?;
                self.owned(sender, key)?.value = sum.to_string().into_bytes();
                Answer::Integer(sum)
            }
            Operation::Transfer { to, .. } if *to == AccountId::FEES => return Err(Refusal::ReservedAccount),
            Operation::Transfer { to, amount } => {
                self.pay(sender, *to, *amount)?;
                Answer::Done
            }
            Operation::Balance { account } => Answer::Balance(self.balance(*account)),
            // Grants are not modelled: no workload uses them.
            Operation::Grant { .. } | Operation::Revoke { .. } | Operation::Size | Operation::Height => {
                return Ok(Expected::Anything);
            }
        };
        Ok(Expected::Exactly(answer))
    }

    fn admit(&self, length: usize) -> Result<(), Refusal> {
        let (found, limit) = (length as u64, self.longest);
        if found > limit { Err(Refusal::ValueTooLong { found, limit }) } else { Ok(()) }
    }

    /// The entry to be written, made if there is none.
    fn owned(&mut self, sender: AccountId, key: &[u8]) -> Result<&mut Entry, Refusal> {
        let new = || Entry { owner: sender, value: Vec::new() };
        let entry = self.entries.entry(key.to_vec()).or_insert_with(new);
        if entry.owner == sender { Ok(entry) } else { Err(Refusal::NotYours { owner: entry.owner }) }
    }

    fn remove(&mut self, sender: AccountId, key: &[u8]) -> Result<Option<Entry>, Refusal> {
        if self.entries.contains_key(key) {
            self.owned(sender, key)?;
        }
        Ok(self.entries.remove(key))
    }

    fn balance(&self, account: AccountId) -> Amount {
        Amount::new(self.balances.get(&account).copied().unwrap_or(0))
    }

    fn pay(&mut self, from: AccountId, to: AccountId, amount: Amount) -> Result<(), Refusal> {
        let known = |account| self.only.is_none_or(|only| only == account);
        let (pays, gains) = (known(from), known(to));
        let balance = self.balance(from);
        let rest = balance.checked_sub(amount);
        if pays && rest.is_none() {
            return Err(Refusal::Overdraft { balance, needed: amount });
        }
        if from != to && amount != Amount::ZERO {
            let sum = self.balance(to).checked_add(amount);
            if gains && sum.is_none() {
                return Err(Refusal::AmountOverflow);
            }
            self.balances.extend(rest.filter(|_| pays).map(|rest| (from, rest.units())));
            self.balances.extend(sum.filter(|_| gains).map(|sum| (to, sum.units())));
        }
        Ok(())
    }
}

fn agrees(found: &Result<Vec<Expected>, Refused>, told: &Receipt) -> bool {
    match (found, told) {
        (Ok(found), Ok(told)) => {
            found.len() == told.len()
                && found.iter().zip(told).all(|(found, told)| match found {
                    Expected::Exactly(answer) => answer == told,
                    Expected::Anything => true,
                })
        }
        (Err(found), Err(told)) => found == told,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

fn length(value: &[u8]) -> i64 {
    i64::try_from(value.len()).unwrap_or(i64::MAX)
}

/// A number in the one way in which it is written.
fn number(value: &[u8]) -> Result<i64, Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| Refusal::NotAnInteger)?;
    let number: i64 = text.parse().map_err(|_| Refusal::NotAnInteger)?;
    if number.to_string() == text { Ok(number) } else { Err(Refusal::NotAnInteger) }
}
