//! What scripts say about a world, in few words.

use std::collections::BTreeSet;

use bezant_pbft::Input;
use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::{Batch, Standing};
use bezant_pbft::packet::Packet;
use bezant_types::{Bundle, Digest, Signed};

use crate::network::{Members, small};
use crate::oracle::{Kind, Matter};
use crate::world::World;

/// How long a script waits for what must happen, in virtual milliseconds.
pub(crate) const PATIENCE: u64 = 20_000;

impl World {
    /// Replica `real` of four among puppets whose words the script writes.
    pub(crate) fn among_puppets(real: u16) -> Self {
        Self::puppets(4, &[real], small())
    }

    /// `real` replicas of `n`; the others are puppets.
    pub(crate) fn puppets(n: u16, real: &[u16], parameters: bezant_types::genesis::Parameters) -> Self {
        let mut world = Self::unstarted(n, parameters, 0);
        for node in world.replicas().into_iter().filter(|node| !real.contains(node)) {
            world.node_mut(node).puppet = true;
            world.node_mut(node).replica = None;
        }
        world.sent = Some(vec![]);
        world.start_all();
        world
    }

    /// Lets `ms` pass.
    pub(crate) fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.next_event().is_some_and(|at| at <= end) {
            self.tick();
        }
        self.now = end;
    }

    /// Runs until `happened`, for at most `ms`.
    pub(crate) fn run_until(&mut self, ms: u64, what: &str, happened: impl Fn(&Self) -> bool) {
        let end = self.now + ms;
        while !happened(self) {
            assert!(self.now <= end && self.tick(), "not within {ms} ms: {what}");
        }
    }

    /// A puppet hands something to a replica, which reads it at once.
    pub(crate) fn tell(&mut self, to: u16, packet: &Packet) {
        let from = (to + 1) % self.nodes.len() as u16;
        self.transmit(from, to, packet);
        self.run(5);
    }

    /// What `tell` was answered with: why the replica ignored it, if it did.
    pub(crate) fn told(&mut self, to: u16, packet: &Packet) -> Option<Ignored> {
        let before = self.ignored.len();
        self.tell(to, packet);
        self.ignored[before..].iter().find(|(node, ..)| *node == to).map(|(.., reason)| *reason)
    }

    /// The replica gets a client's request directly.
    pub(crate) fn give(&mut self, to: u16, bundle: &Signed<Bundle>) {
        self.send_request(0, to, bundle);
        self.run(5);
    }

    /// The client's first request, and the batch of it that a primary would propose now.
    pub(crate) fn bundle_and_batch(&self, number: u64) -> (Signed<Bundle>, Batch) {
        let bundle = self.members.bundle(0, number, "text");
        let batch = self.members.batch(self.now, std::slice::from_ref(&bundle));
        (bundle, batch)
    }

    /// The digest that a replica has bound itself to in a matter, if it has.
    pub(crate) fn word(&self, node: u16, kind: Kind, view: u64, sequence: u64) -> Option<Digest> {
        self.node(node).words.said.get(&Matter { kind, view, sequence }).copied()
    }

    pub(crate) fn prepared(&self, node: u16, view: u64, sequence: u64) -> Option<Digest> {
        self.word(node, Kind::Prepare, view, sequence)
    }

    pub(crate) fn committed(&self, node: u16, view: u64, sequence: u64) -> Option<Digest> {
        self.word(node, Kind::Commit, view, sequence)
    }

    pub(crate) fn view(&self, node: u16) -> u64 {
        self.node(node).replica.as_ref().expect("a replica that is up").report().view.get()
    }

    pub(crate) fn standing(&self, node: u16) -> Standing {
        self.node(node).replica.as_ref().expect("a replica that is up").report().standing
    }

    pub(crate) fn height(&self, node: u16) -> u64 {
        self.node(node).ledger.height
    }

    /// The honest replicas that are up.
    pub(crate) fn honest(&self) -> Vec<u16> {
        self.replicas().into_iter().filter(|node| self.node(*node).honest() && self.node(*node).up()).collect()
    }

    /// Each client asks once, `rounds` times, waiting for the answers: the group makes progress.
    pub(crate) fn work(&mut self, rounds: u64) {
        for _ in 0..rounds {
            for client in 0..self.clients.len() {
                self.ask(client);
            }
            self.finish();
        }
    }

    /// Waits until every request has its outcome.
    pub(crate) fn finish(&mut self) {
        self.finish_within(PATIENCE);
    }

    pub(crate) fn finish_within(&mut self, ms: u64) {
        self.run_until(ms, "every request is answered", |world| {
            world.clients.iter().all(|host| host.client.outstanding() == 0)
        });
    }

    /// Waits until the honest replicas that are up have executed the same.
    pub(crate) fn agree(&mut self, ms: u64) {
        self.run_until(ms, "all honest replicas have executed the same", |world| {
            let heights: BTreeSet<_> = world.honest().iter().map(|node| world.height(*node)).collect();
            heights.len() == 1 && heights.first() >= Some(&world.history.height())
        });
    }

    /// Waits until the honest replicas that are up have executed the same, and have sealed it.
    pub(crate) fn converge(&mut self) {
        self.run_until(PATIENCE, "all honest replicas agree and are stable", |world| {
            let heights: BTreeSet<_> = world.honest().iter().map(|node| world.height(*node)).collect();
            let stables: BTreeSet<_> = world.honest().iter().map(|node| world.stable(*node)).collect();
            heights.len() == 1 && stables == heights && heights.first() >= Some(&world.history.height())
        });
        let roots: BTreeSet<_> = self.honest().iter().map(|node| self.node(*node).ledger.root).collect();
        assert_eq!(roots.len(), 1, "equal heights have equal roots");
    }

    /// How many of a client's requests were executed, according to replica `node`.
    pub(crate) fn executed(&self, node: u16) -> usize {
        self.node(node).ledger.executed()
    }

    /// Cuts a replica off, both ways.
    pub(crate) fn isolate(&mut self, node: u16) {
        for peer in self.replicas().into_iter().filter(|peer| *peer != node) {
            self.links.cut.extend([(node, peer), (peer, node)]);
        }
        for client in 0..self.clients.len() {
            self.links.client_cut.insert((client, node));
        }
        self.note(|| format!("{node} is cut off"));
    }

    pub(crate) fn reconnect(&mut self, node: u16) {
        self.links.cut.retain(|(from, to)| *from != node && *to != node);
        self.links.client_cut.retain(|(_, to)| *to != node);
        self.note(|| format!("{node} is back on the network"));
        for peer in self.replicas().into_iter().filter(|peer| *peer != node) {
            self.input(node, Input::Connected(crate::network::id(peer)));
            self.input(peer, Input::Connected(crate::network::id(node)));
        }
    }

    pub(crate) fn accusations_of(&self, member: u16) -> usize {
        self.accused.iter().filter(|(_, whom)| *whom == member).count()
    }

    /// How much a replica remembers, by the length of its description: a proxy that misses nothing.
    pub(crate) fn memory(&self, node: u16) -> usize {
        format!("{:?}", self.node(node).replica).len()
    }
}

/// Keys of the usual four.
pub(crate) fn four() -> Members {
    Members::new(4, small())
}
