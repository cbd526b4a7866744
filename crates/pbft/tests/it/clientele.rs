//! The clients of a world: what they ask, what they are told, and how patient they are.

use std::collections::BTreeMap;

use bezant_pbft::Input;
use bezant_pbft::client::{Client, ClientEffect};
use bezant_pbft::message::Reply;
use bezant_types::{Bundle, Moment, Outcome, Request, RequestNumber, Signed, Verified, codec};

use crate::network::client_key;
use crate::world::{Event, LIMIT, World};

/// What a client knows.
pub(crate) struct ClientHost {
    pub(crate) client: Client,
    pub(crate) done: BTreeMap<RequestNumber, Outcome>,
    pub(crate) gave_up: Vec<RequestNumber>,
    pub(crate) texts: u64,
}

impl World {
    /// A client asks for something new.
    pub(crate) fn ask(&mut self, client: usize) -> RequestNumber {
        let host = &mut self.clients[client];
        host.texts += 1;
        let number = host.client.take_number();
        let text = format!("{client}/{}", host.texts);
        let signed = self.members.bundle(client, number.get(), &text);
        let verified = signed.verify(&self.members.keyring).expect("an honest client's bundle");
        let effect = self.clients[client].client.submit(Moment::new(self.now), verified);
        self.on_client_effect(client, effect);
        self.schedule(600, Event::ClientTime { client });
        number
    }

    pub(crate) fn on_client_effect(&mut self, client: usize, effect: ClientEffect) {
        match effect {
            ClientEffect::Send(bundle) => {
                for to in self.replicas() {
                    self.send_request(client, to, &bundle);
                }
            }
            ClientEffect::Done(number, outcome) => {
                self.note(|| format!("client {client}: {number} is done"));
                self.clients[client].done.insert(number, outcome);
            }
            ClientEffect::NoQuorum { number, .. } => self.clients[client].gave_up.push(number),
        }
    }

    pub(crate) fn send_request(&mut self, client: usize, to: u16, bundle: &Signed<Bundle>) {
        if self.links.client_cut.contains(&(client, to)) || self.dice.chance(self.links.loss) {
            return;
        }
        let (least, most) = self.links.delay;
        let delay = least + self.dice.below(most - least + 1);
        self.schedule(delay, Event::Request { client, to, bytes: codec::encode(bundle) });
    }

    pub(crate) fn on_client_request(&mut self, client: usize, to: u16, bytes: &[u8]) {
        if !self.node(to).up() {
            return;
        }
        let bundle: Signed<Bundle> = codec::decode(bytes, LIMIT).expect("what was encoded decodes");
        let verified = bundle.verify(&self.members.keyring).expect("an honest client's bundle");
        let request = Request::new(verified, self.members.genesis.parameters()).expect("within the limits");
        match self.node(to).ledger.outcome(request.client(), request.number()).cloned() {
            Some(outcome) => self.reply(to, client, request.number(), outcome),
            None => self.input(to, Input::Submit(vec![request])),
        }
    }

    pub(crate) fn reply(&mut self, node: u16, client: usize, number: RequestNumber, outcome: Outcome) {
        let Some(replica) = &self.node(node).replica else { return };
        let view = replica.report().view;
        let silent = self.node(node).traitor.is_some();
        if silent || self.links.client_cut.contains(&(client, node)) || self.dice.chance(self.links.loss) {
            return;
        }
        let reply = Reply { client: client_key(client).account(), number, view, outcome };
        let bytes = codec::encode(&self.members.sign(node, reply));
        let (least, most) = self.links.delay;
        let delay = least + self.dice.below(most - least + 1);
        self.schedule(delay, Event::Reply { client, bytes });
    }

    pub(crate) fn on_reply(&mut self, client: usize, bytes: &[u8]) {
        let signed: Signed<Reply> = codec::decode(bytes, LIMIT).expect("what was encoded decodes");
        let verified: Verified<Reply> = signed.verify(&self.members.keyring).expect("a member's reply");
        if let Some(effect) = self.clients[client].client.on_reply(&verified) {
            self.on_client_effect(client, effect);
        }
    }

    pub(crate) fn on_client_time(&mut self, client: usize) {
        for effect in self.clients[client].client.on_time(Moment::new(self.now)) {
            self.on_client_effect(client, effect);
        }
        if let Some(at) = self.clients[client].client.next_deadline() {
            self.schedule(at.get().saturating_sub(self.now).max(1), Event::ClientTime { client });
        }
    }
}
