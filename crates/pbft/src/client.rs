//! The client's side: sends a request to every replica, and believes what f + 1 of them say alike (rules P-7 and P-8).
//!
//! Sans-IO like the replica: the host brings the clock, signs, sends and receives. Up to f replicas may lie, so an
//! outcome counts once f + 1 *distinct* replicas have signed it; replies are compared by request number and outcome and
//! by nothing else, for views and sequence numbers may honestly differ (hazards 77 and 78). A request that is not
//! answered is sent again to all, later each time and with jitter, so that clients do not storm a new primary in step
//! (hazard 80). After a bounded time the caller is told that there was no quorum: the request may or may not have been
//! executed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bezant_types::{AccountId, Bundle, Committee, Digest, Moment, Outcome, ReplicaId, RequestNumber, Signed, Verified};

use crate::message::Reply;

/// How often the pause between repetitions is doubled. After a long outage the group has forgotten what waited before
/// it, so a client that is never answered must not fall silent.
const DOUBLINGS: u32 = 4;

/// How patient a client is, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Patience {
    /// How long it waits for an answer before it asks again. Doubled each time, up to sixteen-fold.
    pub retry_ms: u64,
    /// How long it waits in all.
    pub give_up_ms: u64,
}

/// What a client wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEffect {
    /// Send this to every replica.
    Send(Signed<Bundle>),
    /// f + 1 replicas say that this is what the request came to.
    Done(RequestNumber, Outcome),
    /// Not enough replicas answered alike in time. Whether the request was executed is not known.
    NoQuorum {
        /// Which request.
        number: RequestNumber,
        /// How many replicas answered at all.
        answered: usize,
        /// How many different answers they gave: more than one means that somebody lies or has diverged.
        versions: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Outstanding {
    request: Signed<Bundle>,
    replies: BTreeMap<ReplicaId, Digest>,
    outcomes: BTreeMap<Digest, Outcome>,
    attempts: u32,
    retry_at: Moment,
    give_up_at: Moment,
}

/// A client of the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    account: AccountId,
    committee: Committee,
    patience: Patience,
    next: RequestNumber,
    outstanding: BTreeMap<RequestNumber, Outstanding>,
}

impl Client {
    /// A client that has used no number at or above `first`.
    pub fn new(account: AccountId, committee: Committee, patience: Patience, first: RequestNumber) -> Self {
        Self { account, committee, patience, next: first, outstanding: BTreeMap::new() }
    }

    /// A number that was not used before.
    pub fn take_number(&mut self) -> RequestNumber {
        let number = self.next;
        self.next = number.next();
        number
    }

    /// How many requests wait for an answer.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Starts a request of this client's.
    pub fn submit(&mut self, now: Moment, request: Verified<Bundle>) -> ClientEffect {
        assert!(request.signer() == self.account, "a client sends its own requests");
        let request = request.into_signed();
        let number = request.message.number;
        let outstanding = Outstanding {
            request: request.clone(),
            replies: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            attempts: 0,
            retry_at: now.saturating_add(self.patience.retry_ms),
            give_up_at: now.saturating_add(self.patience.give_up_ms),
        };
        let before = self.outstanding.insert(number, outstanding);
        assert!(before.is_none(), "a number is used once");
        ClientEffect::Send(request)
    }

    /// A replica says what a request came to. Of each replica the first answer counts.
    pub fn on_reply(&mut self, reply: &Verified<Reply>) -> Option<ClientEffect> {
        let Reply { client, number, outcome, .. } = reply.message();
        let weak_quorum = self.committee.weak_quorum();
        let outstanding = self.outstanding.get_mut(number).filter(|_| *client == self.account)?;
        let digest = outcome.digest();
        if outstanding.replies.contains_key(&reply.signer()) {
            return None;
        }
        outstanding.replies.insert(reply.signer(), digest);
        outstanding.outcomes.entry(digest).or_insert_with(|| outcome.clone());
        let alike = outstanding.replies.values().filter(|one| **one == digest).count();
        if alike < weak_quorum {
            return None;
        }
        self.outstanding.remove(number);
        Some(ClientEffect::Done(*number, outcome.clone()))
    }

    /// When [`Self::on_time`] is next worth calling.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.outstanding.values().map(|one| one.retry_at.min(one.give_up_at)).min()
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Moment) -> Vec<ClientEffect> {
        let mut effects = Vec::new();
        let late: Vec<_> = self.outstanding.iter().filter(|(_, one)| one.give_up_at <= now).map(|(n, _)| *n).collect();
        for number in late {
            let Some(one) = self.outstanding.remove(&number) else { continue };
            let (answered, versions) = (one.replies.len(), one.outcomes.len());
            effects.push(ClientEffect::NoQuorum { number, answered, versions });
        }
        for (number, one) in &mut self.outstanding {
            if one.retry_at <= now {
                one.attempts = one.attempts.saturating_add(1);
                let pause = self.patience.retry_ms.saturating_mul(1 << one.attempts.min(DOUBLINGS));
                one.retry_at = now.saturating_add(pause + jitter(*number, one.attempts, pause / 4));
                effects.push(ClientEffect::Send(one.request.clone()));
            }
        }
        effects
    }
}

/// A pause below `bound` that differs from request to request.
fn jitter(number: RequestNumber, attempt: u32, bound: u64) -> u64 {
    let [a, b, c, d, ..] = *Digest::of("bezant/client-jitter", &(number, attempt)).as_bytes();
    u64::from(u32::from_le_bytes([a, b, c, d])).checked_rem(bound).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bezant_types::{SecretKey, Transaction, View};

    use super::*;

    const PATIENCE: Patience = Patience { retry_ms: 100, give_up_ms: 1_000 };

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    fn genesis() -> Digest {
        Digest::new([0; 32])
    }

    fn client() -> (Client, RequestNumber) {
        client_with(PATIENCE)
    }

    fn client_with(patience: Patience) -> (Client, RequestNumber) {
        let account = key(9).account();
        let mut client = Client::new(account, Committee::new(4).unwrap(), patience, RequestNumber::new(7));
        let number = client.take_number();
        let bundle = Bundle { number, transactions: vec![Transaction::single(bezant_types::Operation::Size)] };
        client.submit(Moment::ZERO, Verified::sign(bundle, account, &key(9), genesis()));
        (client, number)
    }

    fn reply(replica: u16, number: RequestNumber, view: u64, outcome: Outcome) -> Verified<Reply> {
        let reply = Reply { client: key(9).account(), number, view: View::new(view), outcome };
        Verified::sign(reply, ReplicaId::new(replica), &key(replica as u8), genesis())
    }

    fn done(number: RequestNumber) -> Option<ClientEffect> {
        Some(ClientEffect::Done(number, Outcome::Executed(vec![])))
    }

    fn good() -> Outcome {
        Outcome::Executed(vec![])
    }

    /// Rule P-7.
    #[test]
    fn two_equal_replies_of_four_replicas_are_believed_whatever_their_view() {
        let (mut client, number) = client();
        assert_eq!(client.on_reply(&reply(0, number, 1, good())), None);
        assert_eq!(client.on_reply(&reply(3, number, 2, good())), done(number));
        assert_eq!(client.outstanding(), 0);
    }

    #[test]
    fn one_liar_convinces_nobody_however_often_it_speaks() {
        let (mut client, number) = client();
        for _ in 0..10 {
            assert_eq!(client.on_reply(&reply(2, number, 0, Outcome::Expired)), None);
        }
        assert_eq!(client.on_reply(&reply(2, number, 0, good())), None, "nor by changing its mind");
        assert_eq!(client.on_reply(&reply(0, number, 0, good())), None);
        assert_eq!(client.on_reply(&reply(1, number, 0, good())), done(number));
    }

    #[test]
    fn a_reply_to_another_client_or_number_counts_for_nothing() {
        let (mut client, number) = client();
        assert_eq!(client.on_reply(&reply(0, number.next(), 0, good())), None);
        let other = Reply { client: key(8).account(), ..reply(1, number, 0, good()).message().clone() };
        let other = Verified::sign(other, ReplicaId::new(1), &key(1), genesis());
        assert_eq!(client.on_reply(&other), None);
        assert_eq!(client.on_reply(&reply(2, number, 0, good())), None);
    }

    /// The pause doubles, and what is late together is not sent again together for ever.
    #[test]
    fn pauses_are_longer_by_up_to_a_quarter_and_not_the_same() {
        let (mut client, first) = client_with(Patience { retry_ms: 1_000, give_up_ms: 1_000_000 });
        let second = client.take_number();
        let bundle = Bundle { number: second, transactions: vec![Transaction::single(bezant_types::Operation::Size)] };
        client.submit(Moment::ZERO, Verified::sign(bundle, key(9).account(), &key(9), genesis()));
        let due = |client: &Client| [first, second].map(|number| client.outstanding[&number].retry_at);
        for attempt in 1..=3 {
            let now = due(&client).into_iter().max().expect("there are two");
            assert_eq!(client.on_time(now).len(), 2, "both are sent again");
            let pauses = due(&client).map(|at| at.since(now));
            let least = 1_000 << attempt;
            assert!(pauses.iter().all(|pause| (least..least + least / 4).contains(pause)), "{pauses:?}");
            assert!(pauses[0].abs_diff(pauses[1]) > 10, "{pauses:?}");
        }
    }

    #[test]
    fn an_unanswered_request_is_sent_again_later_each_time_and_then_given_up() {
        let (mut client, number) = client();
        let (mut sent, mut pauses, mut last) = (0, vec![], 0);
        let mut given_up = None;
        while let Some(at) = client.next_deadline() {
            for effect in client.on_time(at) {
                match effect {
                    ClientEffect::Send(_) => {
                        sent += 1;
                        pauses.push(at.get() - last);
                        last = at.get();
                    }
                    ClientEffect::NoQuorum { .. } => given_up = Some((at, effect)),
                    ClientEffect::Done(..) => panic!("nobody answered"),
                }
            }
        }
        assert!((2..=3).contains(&sent), "sent again {sent} times");
        assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
        let expected = ClientEffect::NoQuorum { number, answered: 0, versions: 0 };
        assert_eq!(given_up, Some((Moment::new(1_000), expected)));
    }

    /// Hazard 80 has another side: who waits twice as long each time is hardly ever heard again.
    #[test]
    fn a_client_that_does_not_give_up_never_falls_silent() {
        let (mut client, _) = client_with(Patience { give_up_ms: u64::MAX, ..PATIENCE });
        let mut last = 0;
        for _ in 0..100 {
            let at = client.next_deadline().expect("it does not give up");
            assert!(matches!(client.on_time(at)[..], [ClientEffect::Send(_)]));
            assert!(at.get() - last <= 16 * 125, "a pause of {} ms", at.get() - last);
            last = at.get();
        }
    }

    #[test]
    fn no_number_is_given_twice() {
        let (mut client, number) = client();
        assert_eq!(client.take_number(), number.next());
        assert_eq!(client.take_number(), number.next().next());
    }
}
