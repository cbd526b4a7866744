//! The tree against a naive model of it, and its shape against its content.

extern crate std;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bezant_types::Amount;
use proptest::prelude::*;

use super::*;

/// Keys that share many bits: real digests would hardly ever exercise deep branches and collapses.
fn crafted(seed: u16) -> Digest {
    let mut bytes = [0; 32];
    bytes[0] = (seed >> 8) as u8 & 0x81;
    bytes[usize::from(seed) % 4 * 10 + 1] = (seed & 0x07) as u8;
    Digest::new(bytes)
}

fn leaf_at(key_hash: Digest, amount: u64) -> Arc<Leaf> {
    let key = Key::Entry(key_hash.as_bytes().to_vec());
    Draft::new(key_hash, key, Item::Balance(Amount::new(amount))).finish()
}

type Model = BTreeMap<Digest, u64>;

/// The definition, word by word, without sharing or collapsing anything.
fn model_root(model: &[(Digest, u64)], depth: usize) -> Digest {
    match model {
        [] => EMPTY_HASH,
        [(key_hash, amount)] => leaf_hash(key_hash, &Item::Balance(Amount::new(*amount)).digest()),
        [..] => {
            let is_left = |entry: &&(Digest, u64)| Side::of(&entry.0, depth) == Side::Left;
            let left: Vec<_> = model.iter().filter(is_left).copied().collect();
            let right: Vec<_> = model.iter().filter(|entry| !is_left(entry)).copied().collect();
            branch_hash(&model_root(&left, depth + 1), &model_root(&right, depth + 1))
        }
    }
}

fn root_of(model: &Model) -> Digest {
    model_root(&model.iter().map(|(key, amount)| (*key, *amount)).collect::<Vec<_>>(), 0)
}

fn apply(tree: &Node, model: &mut Model, batch: &[(u16, Option<u64>)]) -> Node {
    let batch: BTreeMap<_, _> = batch.iter().map(|(seed, amount)| (crafted(*seed), *amount)).collect();
    for (key_hash, amount) in &batch {
        match amount {
            Some(amount) => drop(model.insert(*key_hash, *amount)),
            None => drop(model.remove(key_hash)),
        }
    }
    let update = |(key_hash, amount): (Digest, Option<u64>)| Update {
        key_hash,
        leaf: amount.map(|amount| leaf_at(key_hash, amount)),
    };
    merge(tree, 0, &batch.into_iter().map(update).collect::<Vec<_>>())
}

fn batches() -> impl Strategy<Value = Vec<Vec<(u16, Option<u64>)>>> {
    let write = (any::<u16>(), proptest::option::weighted(0.6, 0u64..3));
    proptest::collection::vec(proptest::collection::vec(write, 0..12), 0..12)
}

proptest! {
    #[test]
    fn the_tree_is_what_the_definition_says_after_every_batch(batches in batches()) {
        let (mut tree, mut model) = (Node::Empty, Model::new());
        for batch in batches {
            tree = apply(&tree, &mut model, &batch);
            prop_assert_eq!(tree.hash(), root_of(&model));
            prop_assert_eq!(tree.leaves().map(|leaf| leaf.key_hash).collect::<Vec<_>>(),
                model.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(tree.weight(), tree.leaves().map(Leaf::weight).sum::<u64>());
            for seed in 0..64 {
                let key = crafted(seed);
                prop_assert_eq!(tree.get(&key).is_some(), model.contains_key(&key));
            }
        }
    }

    #[test]
    fn the_root_does_not_depend_on_how_writes_were_batched(batches in batches()) {
        let (mut together, mut model) = (Node::Empty, Model::new());
        for batch in &batches {
            together = apply(&together, &mut model, batch);
        }
        let (mut singly, mut model_singly) = (Node::Empty, Model::new());
        for write in batches.iter().flatten() {
            singly = apply(&singly, &mut model_singly, &[*write]);
        }
        prop_assert_eq!(together.hash(), singly.hash());
    }

    #[test]
    fn the_difference_of_two_trees_turns_one_into_the_other(before in batches(), after in batches()) {
        let mut model = Model::new();
        let old = before.iter().fold(Node::Empty, |tree, batch| apply(&tree, &mut model, batch));
        let new = after.iter().fold(old.clone(), |tree, batch| apply(&tree, &mut model, batch));
        let mut updates = Vec::new();
        differences(&old, &new, &mut |difference| updates.push(match difference {
            Difference::Removed(leaf) => Update { key_hash: leaf.key_hash, leaf: None },
            Difference::Written(leaf) => Update { key_hash: leaf.key_hash, leaf: Some(Arc::new(leaf.clone())) },
        }));
        for update in &updates {
            let (was, is) = (old.get(&update.key_hash), new.get(&update.key_hash));
            prop_assert_ne!(was.map(|leaf| leaf.hash), is.map(|leaf| leaf.hash), "nothing is listed without need");
        }
        prop_assert_eq!(merge(&old, 0, &updates).hash(), new.hash());
    }

    #[test]
    fn grafting_the_parts_of_a_tree_gives_the_tree(one in batches(), other in batches(), cuts in any::<u64>()) {
        let source = one.iter().fold(Node::Empty, |tree, batch| apply(&tree, &mut Model::new(), batch));
        let base = other.iter().fold(Node::Empty, |tree, batch| apply(&tree, &mut Model::new(), batch));
        let mut parts = Vec::new();
        cut(&source, Prefix::ROOT, cuts, &mut parts);
        prop_assert_eq!(graft(&base, 0, &parts).hash(), source.hash());
    }

    #[test]
    fn a_prefix_reads_back_only_from_its_own_bytes(bits in any::<[u8; 32]>(), length in 0usize..300) {
        let mut bytes = bits.to_vec();
        bytes.extend_from_slice(&(length as u16).to_le_bytes());
        if let Ok(prefix) = borsh::from_slice::<Prefix>(&bytes) {
            prop_assert_eq!(borsh::to_vec(&prefix).unwrap(), bytes);
            prop_assert!(prefix.covers(&Digest::new(bits)));
        }
    }
}

/// Cuts a tree into parts at places chosen by the bits of `cuts`.
fn cut(node: &Node, prefix: Prefix, cuts: u64, parts: &mut Vec<(Prefix, Node)>) {
    if prefix.len() < 20 && (cuts >> (prefix.len() % 64)) & 1 == 1 {
        let (left, right) = node.split(prefix.len());
        cut(left, prefix.child(Side::Left).unwrap(), cuts.rotate_left(7), parts);
        cut(right, prefix.child(Side::Right).unwrap(), cuts.rotate_left(13), parts);
    } else {
        parts.push((prefix, node.clone()));
    }
}

#[test]
fn two_keys_that_differ_in_the_last_bit_go_to_the_bottom_and_back() {
    let mut bytes = [0xab; 32];
    let first = Digest::new(bytes);
    bytes[31] ^= 1;
    let second = Digest::new(bytes);
    let updates = [first, second].map(|key_hash| Update { key_hash, leaf: Some(leaf_at(key_hash, 1)) });
    let mut sorted = updates;
    sorted.sort_by_key(|update| update.key_hash);
    let tree = merge(&Node::Empty, 0, &sorted);
    assert!(tree.get(&first).is_some() && tree.get(&second).is_some());
    let less = merge(&tree, 0, &[Update { key_hash: second, leaf: None }]);
    assert_eq!(less.hash(), leaf_at(first, 1).hash, "the lone leaf rises to the root");
}

#[test]
fn what_does_not_change_stays_the_same_node() {
    let keys: Vec<_> = (0..8).map(|i| Digest::of("test", &i)).collect();
    let mut updates: Vec<_> =
        keys.iter().map(|key_hash| Update { key_hash: *key_hash, leaf: Some(leaf_at(*key_hash, 1)) }).collect();
    updates.sort_by_key(|update| update.key_hash);
    let tree = merge(&Node::Empty, 0, &updates);
    let again = merge(&tree, 0, &updates);
    match (&tree, &again) {
        (Node::Branch(one), Node::Branch(other)) => assert!(Arc::ptr_eq(one, other)),
        _ => panic!("eight leaves make a branch"),
    }
}

#[test]
fn prefixes_cover_what_begins_so() {
    let digest = Digest::new([0b1010_0000; 32]);
    let prefix =
        [Side::Right, Side::Left, Side::Right].iter().try_fold(Prefix::ROOT, |prefix, side| prefix.child(*side));
    assert!(prefix.unwrap().covers(&digest));
    let other = [Side::Right, Side::Right].iter().try_fold(Prefix::ROOT, |prefix, side| prefix.child(*side));
    assert!(!other.unwrap().covers(&digest));
    let deepest =
        (0..MAX_DEPTH).try_fold(Prefix::ROOT, |prefix, depth| prefix.child(Side::of(&digest, depth))).unwrap();
    assert!(deepest.covers(&digest));
    assert_eq!(deepest.child(Side::Left), None);
}
