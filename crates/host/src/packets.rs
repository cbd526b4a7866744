//! How many requests are passed on together.

use bezant_pbft::packet::Message;

/// The most requests in one packet. What is more is sent as several packets, and what comes as more is refused.
pub const MAX_REQUESTS: usize = 1024;

/// A message as the packets that it travels in: requests are many, and no packet is larger than what is taken.
pub(crate) fn in_packets(message: Message) -> Vec<Message> {
    match message {
        Message::Requests(requests) if requests.len() > MAX_REQUESTS => {
            requests.chunks(MAX_REQUESTS).map(|some| Message::Requests(some.to_vec())).collect()
        }
        Message::Requests(_)
        | Message::PrePrepare(..)
        | Message::Prepare(_)
        | Message::Commit(_)
        | Message::Checkpoint(_)
        | Message::ViewChange(_)
        | Message::NewView(_)
        | Message::Status(_)
        | Message::Fetch(_)
        | Message::Batch(..)
        | Message::Decided(_)
        | Message::Stable(_) => vec![message],
    }
}

#[cfg(test)]
mod tests {
    use bezant_pbft::packet::Message;
    use bezant_types::{Bundle, Request, RequestNumber, Verified};

    use super::*;
    use crate::fixture::{ALICE, account, genesis, key, set};

    #[test]
    fn many_requests_travel_in_packets_that_are_taken() {
        let genesis = genesis();
        let request = |number| {
            let bundle = Bundle { number: RequestNumber::new(number), transactions: vec![set("key", "value")] };
            let verified = Verified::sign(bundle, account(ALICE), &key(ALICE), genesis.digest());
            Request::new(verified, genesis.parameters()).unwrap()
        };
        let requests: Vec<_> = (0..MAX_REQUESTS as u64 + 1).map(request).collect();
        let sizes = |count: usize| -> Vec<usize> {
            let packets = in_packets(Message::Requests(requests[..count].to_vec())).into_iter();
            packets.filter_map(|one| if let Message::Requests(some) = one { Some(some.len()) } else { None }).collect()
        };
        assert_eq!(sizes(MAX_REQUESTS), [MAX_REQUESTS]);
        assert_eq!(sizes(MAX_REQUESTS + 1), [MAX_REQUESTS, 1]);
    }
}
